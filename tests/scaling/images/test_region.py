"""A window or the whole detector: planned before torch, simulated, compared, in the bundle and in its replay."""

import hashlib
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from nanobragg_torch.memory import Limit
from nanobragg_torch.scan.plan import FOOTPRINT, footprint_here
from tools.scaling.base.errors import BadInput, MemoryStopped
from tools.scaling.base.repo import ROOT
from tools.scaling.bundle.bundle import Bundle
from tools.scaling.cases.case import Extent
from tools.scaling.images.region import find_region, plan_region, simulate_region
from tools.scaling.procedure.replay import _compared

GOLDEN = ROOT / "tests" / "golden"
MIB = 2**20


@pytest.mark.parametrize(
    ("case", "extent", "window", "reference"),
    [
        ("supervisor", "window", (650, 729, 1000, 1079), "supervisor_one_reflection"),
        ("supervisor", "whole", (0, 2526, 0, 2462), None),
        ("supervisor_synthetic", "window", (1160, 1259, 1180, 1279), "supervisor_synthetic"),
        ("supervisor_synthetic", "whole", (0, 2526, 0, 2462), None),
        ("cubic_mosflm", "whole", (0, 63, 0, 63), "cubic_mosflm"),
    ],
)
def test_the_window_and_the_reference_of_a_case(case, extent, window, reference):
    region = find_region(case, Extent(extent))
    assert region.window == window
    assert region.reference == (GOLDEN / reference / "float.bin" if reference else None)
    # another reflection list makes another image than the one that the case holds
    assert find_region(case, Extent(extent), hkl=GOLDEN / "inputs" / "p1.hkl").reference is None


def test_a_case_without_a_window_is_cut_around_the_pixel_and_at_the_edge(case_folder):
    folder = case_folder()
    case = json.loads((folder / "case.json").read_text())
    del case["window"]
    (folder / "case.json").write_text(json.dumps(case))
    assert find_region(str(folder), Extent.window).window == (635, 734, 989, 1088)
    assert find_region(str(folder), Extent.window, pixel=(10, 2460)).window == (0, 59, 2410, 2462)
    del case["traced_pixels_slow_fast"]
    (folder / "case.json").write_text(json.dumps(case))
    with pytest.raises(BadInput, match="names neither a window nor a traced pixel; expected --pixel SLOW FAST"):
        find_region(str(folder), Extent.window)


def test_a_list_that_does_not_fit_is_refused_as_the_guard_would(tmp_path):
    (tmp_path / "case.json").write_text('{"flags": "-cell 50 -hkl long -detpixels 9", "window": [0, 8, 0, 8]}')
    with (tmp_path / "long").open("wb") as stream:
        stream.truncate(1 << 42)
    with pytest.raises(MemoryStopped, match=r"long, 4398046511104 bytes: needs 8\d{4}\.\d GiB of memory, there are"):
        plan_region(find_region(str(tmp_path), Extent.window), device="cpu", dtype="float64")


@pytest.mark.parametrize(
    ("window", "told"), [([2600, 2700, 0, 9], "got slow 2600-2526 fast 0-9"), ([5, 4, 0, 9], "5-4")]
)
def test_a_window_beside_the_detector_is_refused(case_folder, window, told):
    folder = case_folder()
    case = json.loads((folder / "case.json").read_text()) | {"window": window}
    (folder / "case.json").write_text(json.dumps(case))
    with pytest.raises(BadInput, match=f"expected a window on the detector, .*{told}"):
        find_region(str(folder), Extent.window)


def test_the_golden_window_is_the_reference_s_to_the_last_bit(tmp_path):
    region = find_region("supervisor_synthetic", Extent.window)
    report, written = simulate_region(region, tmp_path, device="cpu", dtype="float64", block=5000, threads=2)
    assert report is not None and sorted(written) == sorted(tmp_path.iterdir())
    assert (report.origin, report.roi) == ((1160, 1180), (1160, 1259, 1180, 1279))
    assert (report.passed, report.pixels, report.unequal) == (True, 10_000, 0)
    written = (tmp_path / "image.bin").read_bytes()
    assert written == (GOLDEN / "supervisor_synthetic" / "float.bin").read_bytes()
    record = json.loads((tmp_path / "image.json").read_text())
    assert record["sha256"] == hashlib.sha256(written).hexdigest()
    assert (record["shape_slow_fast"], record["kept"]) == ([100, 100], True)
    assert json.loads((tmp_path / "images.json").read_text())["passed"] is True


@pytest.mark.slow
def test_a_whole_detector_is_kept_and_in_a_bundle_its_digest(tmp_path):
    region = find_region("supervisor", Extent.whole)
    out = tmp_path / "mine"
    report, written = simulate_region(region, out, device="cpu", dtype="float64")
    assert report is None and written == [out / "image.bin", out / "image.json"]
    assert sorted(path.name for path in out.iterdir()) == ["image.bin", "image.json"]
    data = (out / "image.bin").read_bytes()
    record = json.loads((out / "image.json").read_text())
    assert len(data) == 4 * 2527 * 2463 and record["sha256"] == hashlib.sha256(data).hexdigest()
    assert (record["kept"], record["shape_slow_fast"], record["reference"]) == (True, [2527, 2463], None)
    # in a bundle, and in blocks of two rows, by one thread
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "provenance.json").write_text("{}")
    again = tmp_path / "bundle" / "image"
    simulate_region(region, again, device="cpu", dtype="float64", block=5000, threads=1)
    assert [path.name for path in again.iterdir()] == ["image.json"]
    assert json.loads((again / "image.json").read_text()) == record | {"kept": False}


def test_a_reference_that_is_refused_leaves_the_folder_as_it_was(tmp_path):
    region, out = find_region("supervisor_synthetic", Extent.window), tmp_path / "out"
    simulate_region(region, out, device="cpu", dtype="float64")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    other = find_region("supervisor", Extent.window)
    (tmp_path / "c.bin").write_bytes(bytes(400))
    with pytest.raises(BadInput, match="c.bin: expected 25600 bytes"):
        simulate_region(other, out, c=tmp_path / "c.bin", device="cpu", dtype="float64")
    # nor does an image without a reference lie beside the comparison of another
    with pytest.raises(BadInput, match=r"out/images.json: compares another image; expected a reference \(--c\)"):
        simulate_region(replace(other, reference=None), out, device="cpu", dtype="float64")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_the_plan_needs_no_torch_and_refuses_with_the_numbers(pristine):
    done = pristine.tool("plan", "--extent", "whole", "--memory-limit", "100")
    assert done.code == 4 and done.out == ""
    assert re.fullmatch(
        r"error: does not fit, nothing was started: memory plan: \d+ MiB = .*; there are 80 MiB, 80 % of 100 MiB "
        r"\(--memory-limit\); 1 worker with blocks of 1 row \(2463 terms\)\n",
        done.err,
    ), done.err
    code = "import sys; from tools.scaling.cli import main; main(['plan']); print('torch' in sys.modules)"
    told = pristine.python("-c", code)
    assert told.out.startswith("memory plan: ") and told.out.endswith("False\n"), told
    region = find_region("supervisor", Extent.whole)
    with pytest.raises(MemoryStopped):
        plan_region(region, device="cpu", dtype="float64", there=Limit(100 * MIB, "host", 100 * MIB))


def test_another_image_fails_the_gate_and_the_evidence_stays(pristine, tmp_path):
    values = np.fromfile(GOLDEN / "supervisor_one_reflection" / "float.bin", "<f4")
    (values * np.float32(1.001)).tofile(tmp_path / "c.bin")
    done = pristine.tool("simulate", "--c", str(tmp_path / "c.bin"), "--out", str(tmp_path / "out"))
    assert done.code == 1
    assert (
        done.last == f"error: {tmp_path}/out: the port's image does not agree with the reference's, see images.md there"
    )
    assert f"wrote {tmp_path}/out/image.bin, {tmp_path}/out/image.json, {tmp_path}/out/images.md, " in done.out
    assert "FAIL" in done.out and "sum ratio           0.999" in done.out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"image.bin", "image.json", "images.json", "images.md", "triptych.png", "scatter.png", "ulp.png"}


def test_a_reference_of_another_size_is_one_line(pristine, tmp_path):
    (tmp_path / "c.bin").write_bytes(bytes(400))
    done = pristine.tool("simulate", "--c", str(tmp_path / "c.bin"), "--out", str(tmp_path / "out"))
    assert done.code == 2 and done.err.count("\n") == 1
    assert "c.bin: expected" in done.err and "400" in done.err
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def imaged(pristine, tmp_path_factory):
    """A phase_m1 with the image of the window."""
    checkout = pristine.copy_to(tmp_path_factory.mktemp("imaged") / "repo")
    return checkout, checkout.tool("phase-m1", "--no-stage", "--image", "window")


@pytest.mark.slow
def test_phase_m1_compares_the_image_and_shows_it(imaged):
    checkout, done = imaged
    assert (done.code, done.err) == (0, ""), done
    assert "PASS: 0 of 6400 pixels not bitwise equal" in done.out
    (folder,) = checkout.bundles()
    commands = (folder / "commands.txt").read_text()
    assert commands.count("| memory plan: ") == 2
    assert commands.index("| memory plan: ") < commands.index("tools.scaling harness")
    assert '<img alt="The images of the reference' in (folder / "report.html").read_text()
    assert "- Image: PASS, 6400 pixels, 0 not bitwise equal\n" in (checkout.root / "docs/fix_plan.md").read_text()
    assert Bundle(folder).problems() == []


@pytest.mark.slow
def test_a_replay_compares_the_image(imaged, tmp_path):
    checkout, _ = imaged
    (folder,) = checkout.bundles()
    then, now = (Bundle(shutil.copytree(folder, tmp_path / side / folder.name)) for side in ("then", "now"))
    result = _compared(then, now, then.provenance(), patched=False)
    assert result.ok and "image/image.json" in result.compared
    path = now.path("image/image.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sha256": "0" * 64}))
    first = _compared(then, now, then.provenance(), patched=False).first
    assert (first.step, first.file, first.quantity) == ("image", "image/image.json", "sha256")
    done = checkout.tool("replay", str(folder), "--trust")
    assert done.code == 0, done
    assert "equal bit for bit" in done.out


@pytest.mark.slow
def test_an_image_that_cannot_fit_blocks_the_run_before_it_begins(pristine, tmp_path):
    checkout = pristine.copy_to(tmp_path / "repo")
    done = checkout.tool("phase-m1", "--no-stage", "--image", "whole", "--memory-limit", "150")
    assert done.code == 4
    assert done.last.startswith("BLOCKED provenance: does not fit, nothing was started: memory plan: ")
    (folder,) = checkout.bundles()
    assert not (folder / "trace_py_scaling.log").exists() and Bundle(folder).problems() == []


@pytest.mark.slow
def test_the_whole_detector_fits_into_its_plan_after_the_other_steps(pristine, tmp_path):
    """The traces and their explanation leave some 20 MiB in the process that made them: the image gets a new one.

    As the root lies outside the repository, nothing is written in that.
    """
    checkout = pristine.copy_to(tmp_path / "repo")

    def state():
        paths = (path for path in checkout.root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in paths}

    before, root = state(), tmp_path / "elsewhere"
    case = ("--case", "supervisor_synthetic", "--image", "whole", "--reports-root", str(root))
    limit = str(360 + (footprint_here().base - FOOTPRINT.base) // MIB * 5 // 4)
    done = checkout.tool("phase-m1", *case, "--memory-limit", limit)
    assert done.code == 0 and done.last.startswith(f"PASS: {root}/"), done
    assert state() == before
    assert "lies outside the repository: not staged" in done.out
    (folder,) = root.iterdir()
    assert f"80 % of {limit} MiB (--memory-limit)" in (folder / "commands.txt").read_text()
    assert json.loads((folder / "image/image.json").read_text())["shape_slow_fast"] == [2527, 2463]
