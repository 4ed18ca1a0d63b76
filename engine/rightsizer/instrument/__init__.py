"""Servers whose truth is known, to hold the instrument to. Standard library and numpy alone."""
