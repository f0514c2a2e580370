"""The float image: little-endian float32, slow-major, no header (semantics 7.1)."""

import numpy as np


def float_bytes(image: np.ndarray) -> bytes:
    """Return the bytes of `image` (slow, fast), or of some of its rows, rounded to float32."""
    return np.ascontiguousarray(image, dtype="<f4").tobytes()
