"""Golden cases for the port's tests, read by a parser of their own: these tests know nothing of tools."""

import json
import math
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from nanobragg_torch.config import Config
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.io.load import loaded
from nanobragg_torch.scan import evaluate, simulate, summation
from nanobragg_torch.scan.experiment import prepare

GOLDEN = Path(__file__).parents[1] / "golden"
INPUTS = GOLDEN / "inputs"
EPS = 2.0**-52

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|inf|nan)")


@dataclass(frozen=True)
class Row:
    """One line of a log: its name, with PHI rows named after their field, and its numbers."""

    name: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Case:
    name: str
    flags: tuple[str, ...]
    pixels: tuple[tuple[int, int], ...]

    def config(self, *extra: str) -> Config:
        return parse([*self.flags, *extra], [INPUTS])

    def log(self, slow: int, fast: int) -> list[Row]:
        text = (GOLDEN / self.name / f"trace_{slow}_{fast}.log").read_text(encoding="utf-8")
        return parse_log(text, "TRACE_C")

    def image(self) -> np.ndarray:
        return np.fromfile(GOLDEN / self.name / "float.bin", dtype="<f4")


def load(name: str) -> Case:
    record = json.loads((GOLDEN / name / "case.json").read_text())
    pixels = tuple((slow, fast) for slow, fast in record["traced_pixels_slow_fast"])
    return Case(name, tuple(record["flags"].split()), pixels)


CASES = sorted(path.parent.name for path in GOLDEN.glob("*/case.json"))
TRACES = [(name, slow, fast) for name in CASES for slow, fast in load(name).pixels]


def parse_log(text: str, prefix: str) -> list[Row]:
    """Rows of the lines that start with the prefix; text values are left out."""
    rows = []
    for line in text.splitlines():
        geometry = re.match(rf"{prefix}:(\w+)=(.*)", line)
        pixel = re.match(rf"{prefix}(_SOURCE2)?: (\w+) (.*)", line)
        if line.startswith(f"{prefix}_PHI "):
            rows.extend(_phi_rows(line))
        elif geometry and geometry[1] not in ("detector_convention", "convention_mapping"):
            rows.append(Row(geometry[1], _numbers(re.sub(r"[a-zA-Z_]+:", " ", geometry[2]))))
        elif pixel:
            rows.append(Row(pixel[2], _numbers(pixel[3])))
    return rows


def _phi_rows(line: str) -> list[Row]:
    fields = (cell.split("=") for cell in line.split()[1:])
    return [Row(f"PHI.{key}", (float(value),)) for key, value in fields]


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(word) for word in _NUMBER.findall(text))


def deviation(ours: Row, theirs: Row) -> float:
    """Largest difference of a component relative to the vector's length (a matrix counts as a vector)."""
    length = math.hypot(*theirs.values)
    worst = max((abs(x - y) for x, y in zip(ours.values, theirs.values)), default=0.0)
    return worst / length if length > 0 else worst


@dataclass(frozen=True)
class Conditions:
    """How much an ulp of the Miller indices can change, relatively: semantics 10.1, computed.

    F_latt: per (sub-pixel, orientation) of source 0, and its factors per axis; intensity: of the sum.
    """

    factors: np.ndarray
    F_latt: np.ndarray
    intensity: float


@cache
def conditions(name: str, slow: int, fast: int) -> Conditions:
    """Conditioning of the traced pixel in float64; SQUARE crystals only, 0 for the others."""
    config = load(name).config()
    run = simulate.start(prepare(loaded(config), device="cpu", dtype=torch.float64))
    exp, roi = run.exp, config.detector.rendered
    order = (slow - roi.slow_min) * (roi.fast_max - roi.fast_min + 1) + fast - roi.fast_min
    first = run.first[1] if run.first is not None and run.first[0] == order else None
    pixel = summation.Pixels(order, order + 1, first)
    sums = summation.empty_sums(exp, 1)
    f, s = exp.pixel_indices(order, order + 1)
    factors, total, spread = [], 0.0, 0.0
    for sub, _, scattered in summation.scattered_blocks(run, sums, f, s):
        q = scattered.q.flatten(0, 1)
        axes = [
            summation.orientation_block(run, pixel, sub * exp.n_sources, e, e + 1, 0, exp.n_orientations)
            for e in range(q.shape[0])
        ]
        for e, abc in enumerate(axes):
            terms = evaluate.lattice_terms(exp, q[e : e + 1].unsqueeze(1), abc)
            relative = _grating_conditions(terms, exp.cells.tolist(), exp.repeats)
            f_cell = evaluate.structure_terms(exp, terms, None)
            term = evaluate.intensity_term(f_cell, terms.F_latt).flatten().numpy()
            total += term.sum()
            spread += (term * 2 * relative.sum(axis=0)).sum()
            if e % exp.n_sources == 0:
                factors.append(relative)
    table = np.stack(factors)
    return Conditions(table, table.sum(axis=1), spread / total if total else 0.0)


def _grating_conditions(terms: evaluate.Terms, cells: list[float], repeats: tuple[bool, bool, bool]) -> np.ndarray:
    """(axes, orientations): 4 eps |h| max(1 / |h - h0|, N |cot(pi N h)|)."""
    rows = []
    for h, h0, n, repeated in zip(terms.hkl, terms.nearest, cells, repeats):
        if terms.factors is None or not repeated:
            rows.append(np.zeros(h.numel()))
            continue
        x, away = h.flatten().numpy(), np.abs((h - h0).flatten().numpy())
        with np.errstate(divide="ignore"):
            steep = np.maximum(1 / away, n / np.abs(np.tan(math.pi * n * x)))
        rows.append(4 * EPS * np.abs(x) * steep)
    return np.stack(rows)


DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here"),
    ),
]
