"""What the oracle says where it has no answer."""


class Uncovered(Exception):
    """The oracle does not compute this; the text says what."""
