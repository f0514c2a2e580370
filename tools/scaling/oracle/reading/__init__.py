"""The command line and the files that it names, read once more."""
