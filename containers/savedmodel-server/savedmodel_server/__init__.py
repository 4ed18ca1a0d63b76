"""A server over the TensorFlow runtime: the SageMaker contract and TensorFlow Serving's REST."""
