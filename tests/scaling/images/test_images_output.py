"""What is written of an image comparison: lines, Markdown, JSON, pictures, the bar, memory."""

import errno
import io
import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tools.scaling.base.errors import BadInput
from tools.scaling.base.repo import ROOT, protected_state
from tools.scaling.images.compare import compare_image_files
from tools.scaling.images.text import images_lines, images_markdown, progress_bar

pytest.importorskip("matplotlib", reason="pictures need matplotlib")


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two files of 60 x 50 pixels; one pixel, slow 20 and fast 30, differs."""
    x = np.random.default_rng(5).gamma(1.0, 3.0, (60, 50)).astype(np.float32)
    x[20, 30], y = 2.0, x.copy()
    y[20, 30] = 2.5
    x.tofile(tmp_path / "c.bin")
    y.tofile(tmp_path / "py.bin")
    return tmp_path / "c.bin", tmp_path / "py.bin"


def size(data: bytes) -> tuple[int, int]:
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


def test_a_folder_gets_markdown_json_and_three_pictures_the_same_each_time(pair, tmp_path):
    report = compare_image_files(*pair, shape=(60, 50), out=tmp_path / "out", command="python -m tools.scaling images")
    first = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert sorted(first) == ["images.json", "images.md", "scatter.png", "triptych.png", "ulp.png"]
    text = first["images.md"].decode("ascii")
    assert text.startswith("# Image comparison\n\n- **FAIL: 1 of 3000 pixels not bitwise equal, 1 beyond the limits**")
    assert "    python -m tools.scaling images\n" in text
    assert "| max abs | 0.5 at slow 20, fast 30 |" in text and "| max relative | 0.25 at slow 20, fast 30 |" in text
    assert all(f"]({name})" in text for name in ("triptych.png", "scatter.png", "ulp.png"))
    data = json.loads(first["images.json"])
    assert data == json.loads(json.dumps(report.to_dict()))
    assert (data["passed"], data["unequal"], data["max_abs"]["slow"], data["max_abs"]["fast"]) == (False, 1, 20, 30)
    for name in ("triptych.png", "scatter.png", "ulp.png"):
        wide, high = size(first[name])
        assert wide > 400 and high > 300, name
        assert b"tEXt" not in first[name] and b"tIME" not in first[name], name
    compare_image_files(*pair, shape=(60, 50), out=tmp_path / "2", command="python -m tools.scaling images")
    assert {path.name: path.read_bytes() for path in (tmp_path / "2").iterdir()} == first


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_images_without_contrast_are_drawn_all_the_same(tmp_path, value):
    np.full((9, 8), value, np.float32).tofile(tmp_path / "c.bin")
    compare_image_files(tmp_path / "c.bin", tmp_path / "c.bin", shape=(9, 8), out=tmp_path / "out")
    assert size((tmp_path / "out" / "triptych.png").read_bytes())[0] > 400


def test_the_overview_keeps_the_brightest_pixel_and_the_sign_of_the_residual(tmp_path, monkeypatch):
    from tools.scaling.images import overview as image_views
    from tools.scaling.images.open import open_image
    from tools.scaling.images.overview import overview

    monkeypatch.setattr(image_views, "SIDE", 60)
    monkeypatch.setattr(image_views, "_PART", 1000)
    x = np.ones((150, 160), np.float32)
    y = x.copy()
    x[70, 80], y[70, 80], y[3, 5] = 9.0, 4.0, 3.0
    x.tofile(tmp_path / "c.bin")
    y.tofile(tmp_path / "py.bin")
    report = compare_image_files(tmp_path / "c.bin", tmp_path / "py.bin", shape=(150, 160))
    view = overview(*(open_image(tmp_path / name, (150, 160)) for name in ("c.bin", "py.bin")), report)
    assert view.factor == 3 and tuple(view.reference.shape) == (50, 54)
    assert view.reference[23, 26] == 9.0 and view.candidate[23, 26] == 4.0
    assert view.residual[23, 26] == -5.0 and view.residual[1, 1] == 2.0 and view.farthest == 5.0
    assert int(view.pairs.sum()) == 150 * 160 and view.unpaired == 0


@pytest.mark.parametrize("part", [1, 700, 1 << 17])
@pytest.mark.parametrize("shape", [(50, 47), (1, 900), (900, 1), (130, 31)])
def test_the_overview_is_numpys_whatever_the_parts(monkeypatch, shape, part):
    import torch

    from tools.scaling.images import overview as image_views
    from tools.scaling.images.measure import measure
    from tools.scaling.images.open import in_memory

    monkeypatch.setattr(image_views, "SIDE", 20)
    monkeypatch.setattr(image_views, "_PART", part)
    r = np.random.default_rng(7)
    x = r.gamma(1.0, 3.0, shape) * (r.random(shape) < 0.5)
    y = x * (1.0 + 0.1 * r.standard_normal(shape))
    y.flat[40] = np.nan
    before = x.tobytes(), y.tobytes()
    reference, candidate = in_memory(torch.from_numpy(x)), in_memory(torch.from_numpy(y))
    view = image_views.overview(reference, candidate, measure(reference, candidate))
    assert (x.tobytes(), y.tobytes()) == before
    n = view.factor
    for row in range(view.reference.shape[0]):
        for column in range(view.reference.shape[1]):
            tile = np.s_[row * n : (row + 1) * n, column * n : (column + 1) * n]
            a, b = x[tile], y[tile]
            assert view.reference[row, column] == a.max()
            if np.isfinite(b).any():
                assert view.candidate[row, column] == np.nanmax(b)
                assert abs(view.residual[row, column]) == np.nanmax(np.abs(b - a))
            else:
                assert view.candidate[row, column].isnan() and view.residual[row, column].isnan()
    assert int(view.pairs.sum()) == ((x > 0) & (y > 0)).sum() == x.size - view.unpaired


def test_rounding_to_both_sides_is_no_bias_in_the_residual(monkeypatch):
    """Each tile has a pixel 1 too high and one 1 too low: half of the tiles show either."""
    import torch

    from tools.scaling.images import overview as image_views
    from tools.scaling.images.measure import measure
    from tools.scaling.images.open import in_memory

    monkeypatch.setattr(image_views, "SIDE", 20)
    x = torch.full((40, 40), 5.0)
    y = x.clone()
    y[::2, ::2], y[1::2, ::2] = 6.0, 4.0
    reference, candidate = in_memory(x), in_memory(y)
    residual = image_views.overview(reference, candidate, measure(reference, candidate)).residual
    assert ((residual == 1.0).sum(), (residual == -1.0).sum()) == (200, 200)


def test_what_is_not_finite_is_told_from_what_is_dark(tmp_path):
    """The reference keeps its own scale beside a candidate of nothing but NaN, which is drawn in green."""
    import torch
    from matplotlib import image

    from tools.scaling.images.measure import measure
    from tools.scaling.images.open import in_memory
    from tools.scaling.images.overview import overview
    from tools.scaling.images.pictures import triptych

    x = torch.linspace(0.5, 5000.0, 900).view(30, 30)
    reference, candidate = in_memory(x), in_memory(torch.full_like(x, float("nan")))
    report = measure(reference, candidate)
    view = overview(reference, candidate, report)
    assert view.shown[1] == 5000.0 and view.candidate.isnan().all() and view.residual.isnan().all()
    assert images_lines(report)[-1].endswith("900 of 900 pixels not bitwise equal, 0 beyond the limits, 900 not finite")
    pixels = image.imread(io.BytesIO(triptych(report, view)))[..., :3]
    green = (np.abs(pixels - [0x7F / 255, 0xB0 / 255, 0x69 / 255]).max(axis=2) < 0.01).mean()
    assert 0.3 < green < 0.7  # two panels of three


def test_the_verdict_stands_right_above_the_panels():
    """A broad image leaves no white between them."""
    import torch
    from matplotlib import image

    from tools.scaling.images.measure import measure
    from tools.scaling.images.open import in_memory
    from tools.scaling.images.overview import overview
    from tools.scaling.images.pictures import triptych

    x = torch.linspace(1.0, 9.0, 20 * 50).view(20, 50)
    report = measure(in_memory(x), in_memory(x))
    pixels = image.imread(io.BytesIO(triptych(report, overview(in_memory(x), in_memory(x), report))))[..., :3]
    white = (pixels > 0.99).all(axis=(1, 2))
    longest = max(len(run) for run in "".join("w" if row else "." for row in white).split("."))
    assert longest < 0.12 * len(white)


def test_the_command_in_the_folder_can_be_run_again(pair, tmp_path, monkeypatch, capsys):
    from tools.scaling.cli import main

    files = ["--c", str(pair[0]), "--py", str(pair[1])]
    given = ["images", *files, "--shape", "60", "50", "--roi", "0", "59", "0", "40"]
    assert main([*given, "--out", str(tmp_path / "out")]) == 0
    first = capsys.readouterr().out
    lines = (tmp_path / "out" / "images.md").read_text().splitlines()
    command = next(line for line in lines if line.startswith("    python "))
    assert command.split()[3:] == given
    assert main(command.split()[3:]) == 0 and capsys.readouterr().out == first


def test_a_picture_has_a_point_for_each_tile():
    """Fewer would leave tiles out, and with them the one pixel that is wrong."""
    import torch
    from matplotlib import image

    from tools.scaling.images.measure import measure
    from tools.scaling.images.open import in_memory
    from tools.scaling.images.overview import SIDE, overview
    from tools.scaling.images.pictures import triptych

    x = torch.zeros(SIDE, SIDE)
    x[::2, ::2] = 1.0
    same = in_memory(x)
    report = measure(same, same)
    pixels = image.imread(io.BytesIO(triptych(report, overview(same, same, report))))[..., :3].sum(axis=2)
    bright = pixels > 2.5
    middle = pixels.shape[0] // 2
    row = bright[middle - 2 : middle + 2].any(axis=0)  # a dark row of tiles may be in the middle
    assert np.count_nonzero(np.diff(row.astype(int)) == -1) >= 2 * (SIDE // 2)  # reference and port


def test_a_folder_that_cannot_be_made_is_one_line(pair, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"file/out: expected a folder to write to, got: Not a directory$"):
        compare_image_files(*pair, shape=(60, 50), out=tmp_path / "file" / "out")


def test_no_folder_takes_the_place_of_a_protected_file(pair):
    before = protected_state()
    for folder in (ROOT / "loop.sh", ROOT / "docs" / ".." / "supervisor.sh" / "images"):
        with pytest.raises(BadInput, match=r"refused, (loop|supervisor).sh is protected and no tool writes it$"):
            compare_image_files(*pair, shape=(60, 50), out=folder)
    assert protected_state() == before
    assert not (ROOT / "loop.sh").is_dir() and not (ROOT / "supervisor.sh").is_dir()


def test_a_disk_that_is_full_at_the_fifth_file_leaves_the_old_five(pair, tmp_path, monkeypatch):
    from tools.scaling.images import pictures

    out, left, drawn = tmp_path / "out", [None] * 4, iter("abcdef")
    monkeypatch.setattr(pictures, "_png", lambda figure: next(drawn).encode())
    compare_image_files(*pair, shape=(60, 50), out=out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def full(handle: int) -> None:
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        left.pop()

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(BadInput, match=r"out/ulp.png: cannot be written: No space left on device$"):
        compare_image_files(*reversed(pair), shape=(60, 50), out=out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_the_ticks_of_a_scale_without_a_power_of_ten_are_its_ends(tmp_path, monkeypatch):
    from tools.scaling.images import pictures

    drawn = []
    monkeypatch.setattr(pictures, "_png", lambda figure: drawn.append(figure) or b"")
    np.full((9, 8), 3.0, "f4").tofile(tmp_path / "c.bin")
    compare_image_files(tmp_path / "c.bin", tmp_path / "c.bin", shape=(9, 8), out=tmp_path / "out")
    triptych, scatter, _ = drawn
    for axis in (triptych.axes[3].xaxis, triptych.axes[4].xaxis):
        assert [tick.get_text() for tick in axis.get_ticklabels()] == ["2.997", "3"]
    for axis in (scatter.axes[0].xaxis, scatter.axes[0].yaxis):
        assert [tick.get_text() for tick in axis.get_ticklabels()] == ["2.9993", "3"]
        assert not len(axis.get_minorticklocs())


def test_a_loosened_tolerance_is_the_first_thing_said(pair):
    report = compare_image_files(*pair, shape=(60, 50), tolerance=0.5)
    assert report.passed
    assert images_lines(report)[0].startswith("TOLERANCE LOOSENED: 0.5 relative")
    assert "TOLERANCE LOOSENED" in "\n".join(images_markdown(report).splitlines()[:5])
    with pytest.raises(BadInput, match=r"^expected a tolerance of at least 0 and below 1, got nan$"):
        compare_image_files(*pair, shape=(60, 50), tolerance=float("nan"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "patience", "drawn"), [
    (Terminal(), 0.0, True), (Terminal(), 60.0, False), (io.StringIO(), 0.0, False),
])  # fmt: skip
def test_the_bar_appears_late_and_only_where_a_person_is_looking(stream, patience, drawn):
    pytest.importorskip("rich")
    with progress_bar(stream, patience) as show:
        show(1, 4)
        show(4, 4)
    assert ("images" in stream.getvalue()) is drawn


LIMIT = """
import sys
from pathlib import Path
from tools.scaling.images.compare import compare_image_files
import torch, numpy
def most():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
before = most()
report = compare_image_files(Path(sys.argv[1]), Path(sys.argv[2]), shape=(6000, 7000))
print(most() - before)
print(report.pixels, report.unequal, report.max_abs.slow, report.max_abs.fast)
print([name for name in ("matplotlib", "rich") if name in sys.modules])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_bounded_at_42_million_pixels(tmp_path):
    """Sparse files; neither matplotlib nor rich is loaded for the figures alone."""
    for name in ("c.bin", "py.bin"):
        with (tmp_path / name).open("wb") as stream:
            stream.truncate(4 * 6000 * 7000)
            stream.seek(4 * (5999 * 7000 + 5))
            stream.write(np.float32(7.0 if name == "c.bin" else 8.0).tobytes())
    peaks = []
    while not peaks or (len(peaks) < 3 and peaks[-1] >= 64 * 2**20):  # threads that a busy machine delays add to a peak
        done = subprocess.run(
            [sys.executable, "-c", LIMIT, str(tmp_path / "c.bin"), str(tmp_path / "py.bin")],
            capture_output=True, text=True, cwd=ROOT,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        grown, found, loaded = done.stdout.splitlines()
        assert (found, loaded) == ("42000000 1 5999 5", "[]")
        peaks.append(int(grown))
    assert min(peaks) < 64 * 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_page_stays_mapped_when_the_figures_are_there(tmp_path):
    """The kernel maps up to 2 MiB where one pixel is read: thirty of them would be a whole file."""
    x = np.random.default_rng(3).gamma(1.0, 3.0, (2000, 2000)).astype(np.float32)
    x.tofile(tmp_path / "c.bin")
    (x * (1.0 + 1e-4 * np.random.default_rng(4).standard_normal(x.shape))).astype(np.float32).tofile(
        tmp_path / "py.bin"
    )
    from tools.scaling.images.measure import measure
    from tools.scaling.images.open import open_image

    images = [open_image(tmp_path / name, x.shape) for name in ("c.bin", "py.bin")]
    assert len(measure(*images).peaks) == 10
    mapped = Path("/proc/self/smaps").read_text().split(str(tmp_path))[1:]
    assert len(mapped) == 2
    for text in mapped:
        kib = next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Rss:"))
        assert kib <= 4096
