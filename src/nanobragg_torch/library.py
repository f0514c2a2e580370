"""What `import nanobragg_torch` offers to compute with: on the CPU and in float64 where nothing is said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from nanobragg_torch.config import Config
from nanobragg_torch.errors import FlagError, InputError, NoDevice
from nanobragg_torch.io.load import loaded
from nanobragg_torch.products import trace
from nanobragg_torch.scan import chosen
from nanobragg_torch.scan import simulate as scan
from nanobragg_torch.scan.experiment import prepare

if TYPE_CHECKING:
    import numpy as np

Pixels: TypeAlias = "Sequence[tuple[int, int]] | np.ndarray | Tensor"
DTYPES = (torch.float64, torch.float32)


def simulate(
    config: Config,
    *,
    pixels: Pixels | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float64,
    whole: bool = True,
    block: int | None = None,
    threads: int | None = None,
) -> Tensor:
    """Simulate the float image of a Config, or some of its pixels; differentiable by every tensor in the Config.

    A gradient renders the image again, block after block, so that it needs little memory; pixels on which nothing
    depends are left out. One that is to be differentiated itself (create_graph=True) holds the graph of all pixels.
    torch.func's transforms and vectorized Jacobians do not pass.

    Args:
        config: what is simulated; files that it names and that were not read yet are read.
        pixels: (n, 2) integers, each row the (slow, fast) of a pixel, in any order; a pixel may come twice. None: all.
        device: where it is computed: cpu, or cuda with or without a number.
        dtype: torch.float64, or torch.float32, which is for small crystals: phases need the digits.
        whole: the whole detector, or else the region of interest alone; of no account with `pixels`.
        block: most terms x pixels that a thread evaluates at a time: it bounds the memory.
        threads: on the CPU, as many as there are cores where None.

    Returns:
        The intensities in photons a pixel: (slow, fast), 0 outside the region of interest; or (n,), in the order of
        `pixels`, each with every bit that it has in the whole image. Neither `block` nor `threads` changes a bit of
        them or, `threads`, of a gradient. The formula: semantics 6.

    Raises:
        InputError: for a file that cannot be read, and for pixels that are none or that the image does not render.
        FlagError: for a device, a dtype or a geometry that cannot be.
        NoDevice: where the device is not there.
    """
    places = None if pixels is None else _pairs(pixels)
    run = _start(config, device, dtype, block, threads)
    if places is not None:
        some, order = chosen.choose(run, *places.to(run.exp.cells.device).unbind(1))
        return scan.render_pixels(some, threads)[order]
    return scan.render_image(run, threads) if whole else scan.render_window(run, threads)


def simulate_pixels(
    config: Config,
    pixels: Pixels,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float64,
    block: int | None = None,
    threads: int | None = None,
) -> Tensor:
    """Simulate some pixels: the same as `simulate` with `pixels`.

    Args:
        config: as in `simulate`.
        pixels: as in `simulate`.
        device: as in `simulate`.
        dtype: as in `simulate`.
        block: as in `simulate`.
        threads: as in `simulate`.

    Returns:
        The intensities (n,) in photons, in the order of `pixels`.

    Raises:
        InputError: as in `simulate`.
        FlagError: as in `simulate`.
        NoDevice: as in `simulate`.
    """
    return simulate(config, pixels=pixels, device=device, dtype=dtype, block=block, threads=threads)


def trace_pixel(
    config: Config,
    slow: int,
    fast: int,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float64,
) -> list[trace.TraceLine]:
    """Trace one pixel: the named intermediates of its intensity, from the detector's geometry to the last factor.

    Args:
        config: as in `simulate`.
        slow: the pixel's place along the slow axis, from 0.
        fast: the pixel's place along the fast axis, from 0.
        device: as in `simulate`.
        dtype: as in `simulate`.

    Returns:
        The lines that `-trace_pixel S F` prints, in the reference's names, units and order (semantics 8).

    Raises:
        InputError: for a pixel that the image does not render; and as in `simulate`.
        FlagError: as in `simulate`.
        NoDevice: as in `simulate`.
    """
    return trace.trace_pixel(_checked(config), slow, fast, device=find_device(device), dtype=_dtype(dtype))


def find_device(device: torch.device | str, name: str = "device") -> torch.device:
    """The torch device of that name; `name` is what the error calls it.

    Raises FlagError for a device of another kind, NoDevice where torch sees none.
    """
    try:
        place = torch.device(device)
    except (RuntimeError, TypeError):
        raise FlagError(f"{name}: expected cpu or cuda, got {device!r}") from None
    if place.type not in ("cpu", "cuda"):
        raise FlagError(f"{name}: expected cpu or cuda, got {device!r}")
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        none = "no such CUDA device" if torch.cuda.is_available() else "no CUDA device"
        raise NoDevice(f"{name} {device}: torch sees {none} here")
    return place


def _start(
    config: Config, device: torch.device | str, dtype: torch.dtype, block: int | None, threads: int | None
) -> scan.Run:
    for name, count in (("block", block), ("threads", threads)):
        if count is not None and count < 1:
            raise ValueError(f"{name}: expected at least 1, got {count}")
    exp = prepare(loaded(_checked(config)), device=find_device(device), dtype=_dtype(dtype))
    return scan.start(exp, block)


def _checked(config: Config) -> Config:
    if not isinstance(config, Config):
        raise TypeError(f"config: expected a Config, as parse(flags) returns, got {type(config).__name__}")
    return config


def _dtype(dtype: torch.dtype) -> torch.dtype:
    if dtype not in DTYPES:
        raise FlagError(f"dtype: expected torch.float64 or torch.float32, got {dtype}")
    return dtype


def _pairs(pixels: Pixels) -> Tensor:
    """(slow, fast) of each pixel (n, 2). Raises InputError for what is no list of pairs of integers."""
    expected = "pixels: expected (slow, fast) pairs of integers"
    try:
        pairs = torch.as_tensor(pixels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{expected}, got {str(error).splitlines()[0]}") from None
    if pairs.numel() == 0:
        return pairs.new_zeros((0, 2), dtype=torch.int64)
    if pairs.dim() != 2 or pairs.shape[1] != 2 or pairs.is_floating_point() or pairs.is_complex():
        raise InputError(f"{expected}, got shape {tuple(pairs.shape)} of {pairs.dtype}")
    return pairs.to(torch.int64)
