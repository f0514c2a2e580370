"""PGM images: 8 bits a pixel (semantics 7.3)."""

import numpy as np


def pgm_bytes(image: np.ndarray, scale: float) -> bytes:
    """`image` (slow, fast) in uint8, with the scale that made it as a comment."""
    slow, fast = image.shape
    text = f"P5\n{fast} {slow}\n# pixels scaled by {scale:g}\n255\n"
    return text.encode("ascii") + np.ascontiguousarray(image, np.uint8).tobytes()
