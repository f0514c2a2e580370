"""The experiment as tensors, and the sum over its steps: sources, phi, mosaic domains, sub-pixels."""
