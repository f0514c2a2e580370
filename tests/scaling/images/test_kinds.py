"""What kind of difference two images have: each kind is made, and its sentence read."""

import numpy as np
import pytest
import torch

from tools.scaling.images.compare import compare_image_files, compare_opened
from tools.scaling.images.open import in_memory
from tools.scaling.images.text import images_lines, images_markdown


def image(slow=90, fast=120, dark=0.0):
    """Gamma distributed values; a share of `dark` pixels is 0, as between spots."""
    rng = np.random.default_rng(1)
    values = rng.gamma(0.5, 10.0, (slow, fast)).astype(np.float32)
    values[rng.random((slow, fast)) < dark] = 0.0
    return values


def report_of(x, y, **options):
    pair = (in_memory(torch.from_numpy(np.ascontiguousarray(side)), "image") for side in (x, y))
    return compare_opened(*pair, **options)


def kinds(x, y, **options):
    return [f"{kind.name}: {kind.text}" for kind in report_of(x, y, **options).kinds]


def changed(where, value=None, factor=None):
    def change(x):
        y = x.copy()
        y[where] = value if factor is None else y[where] * np.float32(factor)
        return y

    return change


PLACES = [
    (changed(np.s_[12], factor=2), ["row: slow 12, fast 0-119 (120 pixels)", "scale: the port is 2 times"]),
    (changed(np.s_[:, 7], 0), ["column: fast 7, slow 0-89 (90 pixels)", "constant: the port is 0 in all of them"]),
    (changed(np.s_[[5, 50]], 0), ["rows: slow 5, 50 (240 pixels)", "constant: the port is 0"]),
    (
        changed(np.s_[10:30, 40:80], factor=1.5),
        ["block: slow 10-29, fast 40-79, 800 pixels in all (800 pixels)", "scale: the port is 1.5 times"],
    ),
    (
        changed(np.s_[:, 64:], factor=1.25),
        [
            "panel edge: all on one side of an edge through the whole image, slow 0-89, fast 64-119 (5040 pixels)",
            "scale: the port is 1.25 times the reference",
        ],
    ),
    (changed(np.s_[::20], 0), ["panel edge: slow 0, 20, 40, 60, 80, every 20 (600 pixels)", "constant: the port is 0"]),
    (
        lambda x: changed(np.s_[:, 30::30], 0)(changed(np.s_[20::20], 0)(x)),
        ["panel edge: slow 20, 40, 60, 80, every 20 and fast 30, 60, 90, every 30 (738 pixels)", "constant: the port"],
    ),
    (changed(np.s_[3, 4], 5000.0), ["pixel: slow 3, fast 4 (1 pixel)"]),
    (changed(np.s_[10, 40], np.inf), ["not finite: in the port, pixel slow 10, fast 40 (1 pixel)"]),
    (
        changed(np.s_[10:20, 40:50], np.nan),
        ["not finite: in the port, block slow 10-19, fast 40-49, 100 pixels in all"],
    ),
]


@pytest.mark.parametrize(("change", "said"), PLACES, ids=lambda value: value[0][:24] if isinstance(value, list) else "")
def test_where_a_difference_lies_and_what_became_of_the_values(change, said):
    found = kinds(image(), change(image()))
    assert len(found) == len(said), found
    for line, begin in zip(found, said):
        assert line.startswith(begin), found


VALUES = [
    (lambda x: x * np.float32(1.003), "scale: the port is 1.003 times"),
    (lambda x: -x, "scale: the port is -1 times the reference"),
    (lambda x: x + np.float32(2), "offset: the port is the reference +2"),
    (lambda x: x * np.float32(2) + np.float32(3), "scale and offset: the port is 2 times the reference +3"),
    (lambda x: np.minimum(x, np.float32(20)), "clipped: the port is cut off at 20"),
    (lambda x: x.byteswap(), "swapped bytes: the bytes of each float32 are in reverse order"),
    (lambda x: x[::-1], "mirror: the port's rows are in reverse order"),
    (lambda x: x[:, ::-1], "mirror: the port's columns are in reverse order"),
    (lambda x: x[::-1, ::-1], "mirror: the port is turned by 180 degrees"),
    (lambda x: x.T.reshape(x.shape), "transposition: the port's slow and fast axes are exchanged"),
    (lambda x: np.rot90(x[:, :90]), "transposition: the port is turned by 90 degrees, the other way"),
    (lambda x: np.rot90(x[:, :90], 3), "transposition: the port is turned by 90 degrees"),
    (lambda x: x[:, :90][::-1, ::-1].T, "transposition: the port is mirrored at the other diagonal"),
    (lambda x: np.roll(x, (7, -9), (0, 1)), "shift: the port is shifted by +7 along slow and -9 along fast"),
    (lambda x: np.nextafter(x, np.float32(1e9)), "rounding: 10800 pixels, none beyond the limits"),
]


@pytest.mark.parametrize("dark", [0.0, 0.97])
@pytest.mark.parametrize(("change", "said"), VALUES, ids=lambda value: value[:30] if isinstance(value, str) else "")
def test_what_has_been_done_to_a_whole_image(change, said, dark):
    x = image(dark=dark)
    y = np.ascontiguousarray(change(x))
    found = kinds(x if y.shape == x.shape else x[:, :90], y)
    assert found[-1].startswith(said), found
    # of swapped bytes some are no finite number, which is said, too; nothing else is
    assert all(line.startswith("not finite: in the port") for line in found[:-1])


def test_noise_is_of_no_kind_and_equal_images_have_none():
    x = image()
    y = x * (1 + 0.1 * np.random.default_rng(2).standard_normal(x.shape)).astype(np.float32)
    report = report_of(x, y)
    assert report.kinds == () and "difference          no kind that is known" in images_lines(report)
    assert kinds(x, x) == [] and not any(line.startswith("difference") for line in images_lines(report_of(x, x)))


def test_a_large_block_has_its_own_extent_and_noise_over_many_pixels_is_none():
    x = image(1000, 1200)
    assert kinds(x, changed(np.s_[10:810, 40:900], factor=1.5)(x))[0] == (
        "block: slow 10-809, fast 40-899, 688000 pixels in all (688000 pixels)"
    )
    strays = changed(np.s_[10:210, 40:240], factor=1.5)(x)
    strays[[900, 950], [1100, 3]] += 1.0
    assert kinds(x, strays)[0] == "block: slow 10-209, fast 40-239, 40000 pixels in all (40002 pixels)"
    noisy = x * (1 + 0.1 * np.random.default_rng(2).standard_normal(x.shape)).astype(np.float32)
    assert kinds(x, noisy) == []


def test_a_few_strays_do_not_hide_a_mirror_and_its_share_is_said():
    x = image()
    y = x[::-1].copy()
    y[:3, 5] += 1.0
    report = report_of(x, y)
    (kind,) = report.kinds
    assert kind.name == "mirror" and 0.999 < kind.share < 1.0
    assert any(line.endswith("(mirrored along slow) (99.97%)") for line in images_lines(report))


def test_parts_and_a_region_give_the_same_kinds(monkeypatch):
    x, y = image(), np.roll(image(), 5, 0)
    whole = kinds(x, y)
    monkeypatch.setattr("tools.scaling.images.kinds._PART", 700)
    assert kinds(x, y) == whole
    square = image()[:, :90]
    assert kinds(square, square.T, roi=(10, 49, 10, 49)) == [
        "transposition: the port's slow and fast axes are exchanged"
    ]


def test_a_nan_is_named_with_its_place_in_terminal_markdown_and_json(tmp_path):
    x = image()
    y = changed(np.s_[3, 4], np.nan)(x)
    np.save(tmp_path / "c.npy", x)
    np.save(tmp_path / "py.npy", y)
    report = compare_image_files(tmp_path / "c.npy", tmp_path / "py.npy", origin=(100, 200), out=tmp_path)
    place = f"slow 103, fast 204, reference {x[3, 4]:.9g}, port nan"
    lines = images_lines(report)
    assert f"not finite          0 in the reference, 1 in the port; the first: {place}" in lines
    assert "difference          not finite: in the port, pixel slow 103, fast 204 (1 pixel)" in lines
    assert f"the first: {place} |" in images_markdown(report)
    data = report.to_dict()
    assert (data["worst"][0]["slow"], data["worst"][0]["fast"], data["origin"]) == (103, 204, [100, 200])
    assert data["kinds"] == [
        {"name": "not finite", "text": "in the port, pixel slow 103, fast 204 (1 pixel)", "share": 1.0}
    ]


def test_a_window_counts_from_the_corner_of_the_detector():
    x = image()
    y = changed(np.s_[10:12, 7], 1e4)(x)
    whole, window = report_of(x, y), report_of(x[5:60, 3:90], y[5:60, 3:90], origin=(5, 3))
    assert (window.max_abs, window.worst) == (whole.max_abs, whole.worst)
    assert all(x[peak.slow, peak.fast] == peak.reference for peak in window.peaks) and len(window.peaks) == 10
    assert window.roi == (5, 59, 3, 89)
    part = report_of(x[5:60, 3:90], y[5:60, 3:90], origin=(5, 3), roi=(8, 20, 4, 40))
    assert part.roi == (8, 20, 4, 40) and part.unequal == 2 and part.worst[:2] == window.worst[:2]
