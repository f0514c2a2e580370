"""The sum of a pixel's terms compiled by numba: the fast twin of `scan.summation`, for float64 on the CPU."""
