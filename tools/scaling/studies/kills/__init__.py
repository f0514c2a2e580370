"""What evidence is left when a run is killed at a random moment."""
