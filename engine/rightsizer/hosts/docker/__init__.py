"""Servers as containers of a Docker engine, here or far."""
