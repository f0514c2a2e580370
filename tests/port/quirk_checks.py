"""What the checks of the quirks share: who they are, and how flags become an experiment, an image, a trace."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from golden_cases import INPUTS, parse_log

from nanobragg_torch.config import Config
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.io.load import loaded
from nanobragg_torch.io.smv import smv_header
from nanobragg_torch.physics import detector
from nanobragg_torch.products.trace import render, trace_pixel
from nanobragg_torch.scan import simulate
from nanobragg_torch.scan.experiment import Experiment, prepare

BASE = "-cell 30 40 50 80 95 105 -default_F 1 -lambda 1.1 -distance 100 -detpixels 8 -pixel 0.1 -N 5 -oversample 1"


FLAT = BASE.replace("-N 5", "-N 1")  # F_latt 1 everywhere


Check = Callable[[Path], None]


CHECKS: dict[str, Check] = {}


def quirk(identifier: str) -> Callable[[Check], Check]:
    def register(check: Check) -> Check:
        assert identifier not in CHECKS
        CHECKS[identifier] = check
        return check

    return register


def config(base: str, flags: str = "", folder: Path = INPUTS) -> Config:
    return parse(f"{base} {flags}".split(), [folder, INPUTS])


def experiment(base: str, flags: str = "", folder: Path = INPUTS) -> Experiment:
    return prepare(loaded(config(base, flags, folder)), device="cpu", dtype=torch.float64)


def geometry(flags: str, folder: Path = INPUTS) -> detector.Geometry:
    return detector.build_geometry(config(BASE, flags, folder), torch.empty(0, dtype=torch.float64))


def image(base: str, flags: str = "", folder: Path = INPUTS) -> np.ndarray:
    return simulate.simulate(config(base, flags, folder), device="cpu", dtype=torch.float64).numpy()


def rows(base: str, flags: str = "", slow: int = 1, fast: int = 1) -> dict[str, list[tuple[float, ...]]]:
    """Values of each traced quantity, every occurrence."""
    text = render(trace_pixel(config(base, flags), slow, fast, device="cpu", dtype=torch.float64))
    found: dict[str, list[tuple[float, ...]]] = {}
    for row in parse_log(text, "TRACE_PY"):
        found.setdefault(row.name, []).append(row.values)
    return found


def one(base: str, name: str, flags: str = "") -> tuple[float, ...]:
    return rows(base, flags)[name][0]


def write_smv(path: Path, fields: dict[str, object], pixels: np.ndarray | None = None) -> Path:
    pixels = np.ones((8, 8), np.uint16) if pixels is None else pixels
    slow, fast = pixels.shape
    header = smv_header([(k, str(v)) for k, v in {"SIZE1": fast, "SIZE2": slow, **fields}.items()])
    path.write_bytes(header + pixels.astype(np.uint16).tobytes())
    return path


def sources(folder: Path, text: str, flags: str = "") -> Experiment:
    (folder / "sources.txt").write_bytes(text.encode())
    return experiment(BASE, f"-sourcefile sources.txt {flags}", folder)
