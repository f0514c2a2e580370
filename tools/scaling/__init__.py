"""The automation that proves the port right and keeps it so: `python -m tools.scaling`."""
