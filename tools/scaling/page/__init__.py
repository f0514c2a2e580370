"""report.html of a bundle and index.html of all."""
