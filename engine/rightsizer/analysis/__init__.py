"""Samples to figures, intervals and doubts. Pure: no clock, no I/O, no unseeded randomness."""
