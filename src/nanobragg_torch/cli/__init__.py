"""`python -m nanobragg_torch`: the only place of the port that prints."""
