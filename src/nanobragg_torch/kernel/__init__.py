"""The sum of a pixel's terms compiled: by numba for float64 on the CPU, and in `device` by Triton for a GPU."""
