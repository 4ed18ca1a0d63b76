"""Inference recommendation jobs: from a request to a job of the engine, and back to an answer."""
