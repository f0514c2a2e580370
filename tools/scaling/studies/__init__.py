"""Studies: what measures the product itself, each a subcommand of `python -m tools.scaling study`."""
