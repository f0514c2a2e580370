"""The reference computed once more, in plain floats from its specification: it shares only the records of the port."""
