"""Load: steps go in, progress and a file of samples come out."""
