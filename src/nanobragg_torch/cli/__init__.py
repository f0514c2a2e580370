"""The command line: what it prints about a run, and the only printer of the port."""
