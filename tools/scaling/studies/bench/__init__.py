"""How fast the port is, as ratios measured in one run."""
