"""The SageMaker-compatible API: the reference service's calls, answered by this engine."""
