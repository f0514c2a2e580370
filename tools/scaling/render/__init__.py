"""Report -> str. No arithmetic, no files."""
