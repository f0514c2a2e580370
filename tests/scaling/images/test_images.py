"""The statistics of two images, against numpy and hand-made numbers."""

import json
import math

import numpy as np
import pytest
import torch

from tools.scaling.engine import blocks as image_pass
from tools.scaling.images import measure as image_stats
from tools.scaling.images.measure import measure
from tools.scaling.images.open import in_memory
from tools.scaling.images.report import Bin, ImageReport, Limits

RNG = np.random.default_rng(7)


def image(slow: int = 90, fast: int = 70, seed: int = 1) -> np.ndarray:
    """A dim background with a few spots, float32."""
    rng = np.random.default_rng(seed)
    x = rng.gamma(2.0, 1.0, (slow, fast))
    for at in rng.integers(0, slow * fast, 12):
        x.flat[at] += 10.0 ** rng.uniform(2, 4)
    return x.astype(np.float32)


def compared(x: np.ndarray, y: np.ndarray, **options: object) -> ImageReport:
    return measure(in_memory(torch.from_numpy(x), "c.bin"), in_memory(torch.from_numpy(y), "py.bin"), **options)


def check_against_numpy(report: ImageReport, x: np.ndarray, y: np.ndarray) -> None:
    a, b = x.astype(np.longdouble), y.astype(np.longdouble)
    d = b - a
    with np.errstate(divide="ignore", invalid="ignore"):
        rel = np.where(a == b, 0, abs(d) / abs(a))
    da, db = a - a.mean(), b - b.mean()
    expected = {
        "rmse": np.sqrt((d**2).mean()),
        "correlation": (da * db).sum() / np.sqrt((da**2).sum() * (db**2).sum()),
        "sum_ratio": b.sum() / a.sum(),
        "r": abs(d).sum() / abs(a).sum(),
        "peak_ratio": b.max() / a.max(),
    }
    for name, value in expected.items():
        assert getattr(report, name) == pytest.approx(float(value), rel=1e-12), name
    assert report.max_abs.abs == pytest.approx(float(abs(d).max()), rel=1e-15)
    assert (report.max_abs.slow, report.max_abs.fast) == np.unravel_index(abs(d).argmax(), x.shape)
    assert report.max_rel.rel == pytest.approx(float(rel.max()), rel=1e-15)
    assert (report.max_rel.slow, report.max_rel.fast) == np.unravel_index(rel.argmax(), x.shape)
    assert report.unequal == (x.view(f"i{x.itemsize}") != y.view(f"i{y.itemsize}")).sum()
    assert [pair.abs for pair in report.worst] == pytest.approx(
        np.sort(abs(d).astype(float).ravel())[:-11:-1], rel=1e-15
    )
    assert sum(bin.count for bin in report.histogram) == x.size


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("noise", [1e-7, 1e-3, 1.0])
def test_all_figures_agree_with_numpy(dtype, noise):
    x = image().astype(dtype)
    y = (x * (1 + noise * RNG.standard_normal(x.shape))).astype(dtype)
    check_against_numpy(compared(x, y), x, y)


HARD = {
    "a large offset": lambda r: (1e9 + r.standard_normal((60, 50)), 1e9 + r.standard_normal((60, 50))),
    "a trend over many blocks": lambda r: (
        np.linspace(1e8, 2e8, 3000).reshape(60, 50),
        np.linspace(1e8, 2e8, 3000).reshape(60, 50) + r.standard_normal((60, 50)),
    ),
    "tiny SI magnitudes": lambda r: (7.94e-30 * r.random((60, 50)), 9e-30 * r.random((60, 50))),
    "one giant": lambda r: (
        r.random((60, 50)) + 1e12 * (np.arange(3000).reshape(60, 50) == 77),
        r.random((60, 50)) + 1,
    ),
    "both signs": lambda r: (r.standard_normal((60, 50)) + 0.5, r.standard_normal((60, 50)) + 0.25),
    "zeros in the reference": lambda r: (np.maximum(r.standard_normal((60, 50)), 0), r.random((60, 50))),
}


@pytest.mark.parametrize("block", [256, 1024, 65536])
@pytest.mark.parametrize("name", HARD)
def test_one_pass_moments_keep_their_digits(monkeypatch, name, block):
    """A sum of squares less the square of the sum would lose all of them at an offset of 1e9; nine are kept."""
    monkeypatch.setattr(image_pass, "BLOCK", block)
    monkeypatch.setattr(image_stats, "BLOCK", block)
    x, y = HARD[name](np.random.default_rng(3))
    report = compared(x, y)
    a, b = x.astype(np.longdouble), y.astype(np.longdouble)
    da, db = a - a.mean(), b - b.mean()
    correlation = (da * db).sum() / np.sqrt((da**2).sum() * (db**2).sum())
    assert report.correlation == pytest.approx(float(correlation), rel=1e-9, abs=1e-9)
    assert report.rmse == pytest.approx(float(np.sqrt(((b - a) ** 2).mean())), rel=1e-12)
    assert report.sum_ratio == pytest.approx(float(b.sum() / a.sum()), rel=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_histogram_counts_steps_that_numpys_nextafter_takes(dtype):
    x = image().astype(dtype)
    y = x.copy()
    steps = [0, 1, 2, 3, 4, 7, 8, 1023, 1024]
    whole = y.view(f"i{y.itemsize}").ravel()
    whole[: len(steps)] += np.array(steps, whole.dtype)
    found = {bin: bin.count for bin in compared(x, y).histogram}
    expected = [(0, 0, x.size - 8), (1, 1, 1), (2, 3, 2), (4, 7, 2), (8, 15, 1), (512, 1023, 1), (1024, 2047, 1)]
    assert [bin for bin in found if bin.count] == [Bin(*row) for row in expected]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_that_no_float_of_the_same_width_holds_are_counted_exactly(dtype):
    x, y = image().astype(dtype), image().astype(dtype)
    limit = 24 if dtype == "float32" else 53
    x[0, :4] = np.array([2**limit - 1, 2**limit, 2 ** (limit + 1) - 1, 1], f"i{x.itemsize}").view(dtype)
    y[0, :4] = 0.0
    found = {bin.low: bin.count for bin in compared(x, y).histogram if bin.count}
    assert found == {0: x.size - 4, 1: 1, 2 ** (limit - 1): 1, 2**limit: 2}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_sign_takes_the_longer_way_to_the_same_figures(dtype):
    """One negative pixel far away: everything else must come out as without it."""
    x = image(200, 300).astype(dtype)
    y = (x * (1 + 1e-4 * RNG.standard_normal(x.shape))).astype(dtype)
    x2, y2 = x.copy(), y.copy()
    x2[100, 7], y2[100, 7] = -1.0, -1.0
    x[100, 7], y[100, 7] = 1.0, 1.0
    plain, signed = compared(x, y), compared(x2, y2)
    for name in ("max_abs", "max_rel", "worst", "outlying", "outliers", "histogram", "peaks", "unequal"):
        assert getattr(plain, name) == getattr(signed, name), name
    check_against_numpy(signed, x2, y2)


def test_minus_zero_is_another_bit_pattern_and_no_step():
    x, y = image(), image()
    x[3, 4], y[3, 4] = 0.0, -0.0
    report = compared(x, y)
    assert (report.unequal, report.max_abs, report.outliers, report.passed) == (1, None, 0, True)


def test_a_float32_denormal_one_step_off_is_rounding_and_a_normal_pixel_is_not():
    x, y = image(), image()
    x[3, 4], y[3, 4] = 1e-45, 3e-45
    report = compared(x, y)
    assert report.max_rel.rel == 1.0 and report.outliers == 0 and report.passed
    y[3, 4] = 1e-40
    report = compared(x, y)
    assert report.outliers == 1 and [(p.slow, p.fast) for p in report.outlying] == [(3, 4)]


def test_the_result_does_not_depend_on_threads_or_the_block(monkeypatch):
    x = image(300, 400)
    y = (x * (1 + 1e-5 * RNG.standard_normal(x.shape))).astype(np.float32)
    monkeypatch.setattr(image_stats, "BLOCK", 4096)
    one = compared(x, y, threads=1)
    assert all(compared(x, y, threads=n) == one for n in (2, 3))
    monkeypatch.setattr(image_stats, "BLOCK", 700)
    other = compared(x, y)
    for name in ("max_abs", "worst", "outliers", "histogram", "peaks", "unequal"):
        assert getattr(other, name) == getattr(one, name), name
    assert other.correlation == pytest.approx(one.correlation, rel=1e-14)


def test_a_region_is_compared_as_if_it_were_the_image():
    x, y = image(), image(seed=2)
    whole, part = compared(x, y, roi=(10, 49, 5, 64)), compared(x[10:50, 5:65].copy(), y[10:50, 5:65].copy())
    assert whole.pixels == part.pixels == 40 * 60
    for name in ("rmse", "correlation", "sum_ratio", "r", "peak_ratio", "histogram", "outliers"):
        assert getattr(whole, name) == getattr(part, name), name
    assert (whole.max_abs.slow, whole.max_abs.fast) == (part.max_abs.slow + 10, part.max_abs.fast + 5)
    assert [(p.slow - 10, p.fast - 5, p.reference, p.moved) for p in whole.peaks] == [
        (p.slow, p.fast, p.reference, p.moved) for p in part.peaks
    ]


def test_a_row_wider_than_a_block_is_cut(monkeypatch):
    x = image(3, 900)
    y = (x * 1.5).astype(np.float32)
    monkeypatch.setattr(image_stats, "BLOCK", 256)
    report = compared(x, y)
    check_against_numpy(report, x, y)


# Peaks


def test_peaks_are_found_by_brute_force_too():
    x = image(60, 80)
    expected = []
    for s in range(60):
        for f in range(80):
            window = x[max(s - 3, 0) : s + 4, max(f - 3, 0) : f + 4]
            if x[s, f] == window.max():
                expected.append((-float(x[s, f]), s, f))
    found = compared(x, x.copy(), kept=25).peaks
    assert [(-p.reference, p.slow, p.fast) for p in found] == sorted(expected)[:25]
    assert {p.moved for p in found} == {(0, 0)}


def test_of_a_plateau_the_first_pixel_is_the_peak_and_neighbours_across_blocks_count(monkeypatch):
    monkeypatch.setattr(image_stats, "BLOCK", 64)
    x = np.zeros((20, 32), np.float32)
    x[9:13, 10:14] = 5.0
    x[2, 31] = 4.0
    found = compared(x, x.copy()).peaks
    assert [(p.slow, p.fast) for p in found] == [(9, 10), (2, 31)]


@pytest.mark.parametrize("shift", [(0, 1), (-1, 0), (2, -2)])
def test_a_shift_is_the_displacement_of_every_peak(shift):
    x = np.full((60, 60), 0.1, np.float32)
    x[10, 10], x[30, 42], x[50, 20] = 100.0, 90.0, 80.0
    report = compared(x, np.roll(x, shift, axis=(0, 1)), kept=3)
    assert [p.moved for p in report.peaks] == [shift] * 3
    assert report.displacement == math.hypot(*shift)
    assert any(
        line.startswith("peaks: expected none displaced by more than 0 pixels, got 3 of 3") for line in report.problems
    )


def test_a_lost_peak_is_infinitely_far():
    x, y = image(), image()
    top = np.unravel_index(x.argmax(), x.shape)
    y[max(top[0] - 3, 0) : top[0] + 4, max(top[1] - 3, 0) : top[1] + 4] = 0.0
    report = compared(x, y)
    assert report.peaks[0].moved is None and report.displacement == math.inf
    assert any(f"that at {top[0]} {top[1]} is lost" in line for line in report.problems)


# The gate


def test_a_flux_error_of_three_per_mille_passes_the_correlation_and_fails_the_gate():
    x = image()
    report = compared(x, (x * np.float32(1.003)).astype(np.float32))
    assert report.correlation > 1 - 1e-12
    assert [line.split(":")[0] for line in report.problems[:2]] == ["sum ratio", "peak maximum ratio"]


@pytest.mark.parametrize("value", [0.0, 3.0])
@pytest.mark.parametrize("sides", ["reference", "candidate", "both"])
def test_a_constant_image_fails(value, sides):
    flat = np.full((90, 70), value, np.float32)
    x = image() if sides == "candidate" else flat
    y = image() if sides == "reference" else flat
    problems = compared(x, y).problems
    for side in ("reference", "candidate"):
        line = f"{side}: expected an image, got {value:g} in every pixel"
        assert (line in problems) is (sides in (side, "both"))
    assert "correlation: expected a number, got none: it does not exist for these images" in problems


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_fails_even_on_both_sides(value):
    x, y = image(), image()
    x[5, 6] = y[5, 6] = value
    report = compared(x, y)
    assert report.problems[:2] == (
        "reference: expected finite pixels, got 1 that are NaN or infinite",
        "candidate: expected finite pixels, got 1 that are NaN or infinite",
    )
    assert (report.worst[0].slow, report.worst[0].fast) == (5, 6)
    assert report.rmse == 0.0 and report.unequal == 0
    json.dumps(report.to_dict(), allow_nan=False)


def test_an_image_of_nan_alone_has_no_figures():
    x = np.full((4, 5), np.nan, np.float32)
    report = compared(x, x.copy())
    assert (report.correlation, report.rmse, report.sum_ratio, report.peaks, report.passed) == (
        None,
        None,
        None,
        (),
        False,
    )
    json.dumps(report.to_dict(), allow_nan=False)


def test_one_dim_pixel_fails_and_can_be_allowed_only_aloud():
    x, y = image(), image()
    y[8, 9] *= 1.01
    report = compared(x, y)
    assert len(report.problems) <= 2
    assert report.problems[-1].startswith(
        "pixels: expected at most 0 off by more than 1e-06 relative, got 1; pixel 8 9"
    )
    wider = compared(x, y, limits=Limits(tolerance=0.02))
    assert wider.passed and wider.limits.loosened and wider.to_dict()["loosened"] is True
