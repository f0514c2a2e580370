"""What was run, on what, and can it be trusted. Knows nothing of `parity`."""
