"""PGM images: 8 bits a pixel after the header (semantics 7.3)."""


def pgm_header(shape: tuple[int, ...], scale: float) -> bytes:
    """Return what stands before the pixels, uint8, of an image of `shape` (slow, fast).

    scale: the factor by which the pixels were made of the image; it is kept as a comment.
    """
    slow, fast = shape
    return f"P5\n{fast} {slow}\n# pixels scaled by {scale:g}\n255\n".encode("ascii")
