"""Implementations of nanoBragg: other programs, described in small TOML files, run and read by the automation."""
