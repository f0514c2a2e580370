"""An image taken a few rows at a time: what is made of it needs no second image."""

from collections.abc import Iterator

TOGETHER = 2**16  # pixels; in float64 they stay in a core's cache


def row_blocks(slow: int, fast: int) -> Iterator[slice]:
    """The rows 0 .. slow-1 of `fast` pixels each, in order: blocks of at most TOGETHER pixels, or one row."""
    rows = max(1, TOGETHER // max(fast, 1))
    return (slice(start, min(start + rows, slow)) for start in range(0, slow, rows))
