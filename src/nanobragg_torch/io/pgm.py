"""PGM images: 8 bits a pixel after the header (semantics 7.3)."""


def pgm_header(shape: tuple[int, ...], scale: float) -> bytes:
    """What stands before the pixels (slow, fast) = `shape`, uint8, with the scale that made them as a comment."""
    slow, fast = shape
    return f"P5\n{fast} {slow}\n# pixels scaled by {scale:g}\n255\n".encode("ascii")
