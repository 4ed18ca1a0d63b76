"""The self-test: the instrument measured on this machine against servers that are known."""
