"""`study campaign`: does the campaign find a mistake in the port, shrink its case and name it? Planted ones tell."""
