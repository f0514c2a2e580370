"""The float image: little-endian float32, slow-major, no header (semantics 7.1)."""

from pathlib import Path

import numpy as np

from nanobragg_torch.io.files import write_files


def float_bytes(image: np.ndarray) -> bytes:
    """`image` (slow, fast), rounded to float32."""
    return np.ascontiguousarray(image, dtype="<f4").tobytes()


def write_float_image(path: Path, image: np.ndarray) -> None:
    """Write `image` (slow, fast), rounded to float32, to `path`: whole or not at all.

    What is no regular file (/dev/null, a pipe) is opened as it is. Raises InputError when the file system
    refuses.
    """
    write_files({path: float_bytes(image)})
