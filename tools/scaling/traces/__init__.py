"""Traces of one pixel: read, conditioned, compared, reported."""
