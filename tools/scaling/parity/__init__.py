"""Is it the same, and if not, why. Knows nothing of `evidence`."""
