"""`images --device`: the figures, the kinds and the pictures are the same wherever the engine computes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tools.scaling.base.repo import ROOT
from tools.scaling.cli import main
from tools.scaling.images.compare import compare_image_files

RNG = np.random.default_rng(11)


def image(dtype: str = "float32") -> np.ndarray:
    """A dim background with spots; a part is dark."""
    x = RNG.gamma(2.0, 1.0, (150, 130))
    x.flat[RNG.integers(0, x.size, 12)] += 10.0 ** RNG.uniform(2, 4, 12)
    x[100:] = 0.0
    return x.astype(dtype)


def pairs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(reference, candidate): every way through the engine."""
    x = image()
    broken = x.copy()
    broken[3, 4], broken[60, 70], broken[70, 5] = np.nan, -np.inf, -2.0
    tiny = x.copy()
    tiny[0, :3] = 1e-45, 1e-40, 3e38
    counts = RNG.integers(0, 60000, x.shape).astype(">u2")
    wide = image("float64")
    return {
        "rounded": (x, (x * (1.0 + 1e-7 * RNG.standard_normal(x.shape))).astype(x.dtype)),
        "wrong": (wide, wide * (1.0 + 1e-4 * RNG.standard_normal(x.shape))),
        "broken": (x, broken),
        "both broken": (broken, broken),
        "tiny": (x, tiny),
        "shifted": (x, np.roll(x, (2, -3), axis=(0, 1))),
        "turned": (x, np.ascontiguousarray(x[::-1, ::-1])),
        "swapped": (x, x.byteswap()),
        "scaled": (wide, 1.5 * wide + 2.0),
        "clipped": (x, x.clip(max=4.0)),
        "counts": (counts, (counts + (counts > 100) * RNG.integers(0, 3, x.shape)).astype(">u2")),
        "dark": (0 * x, 0 * x),
    }


PAIRS = pairs()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NAME_c.npy and NAME_py.npy of all pairs."""
    made = tmp_path_factory.mktemp("images")
    for name, sides in PAIRS.items():
        for side, pixels in zip(("c", "py"), sides):
            np.save(made / f"{name}_{side}.npy", pixels)
    return made


def same(here: dict[str, Any], there: dict[str, Any]) -> None:
    """All of two reports but the last digits of what is added up."""
    for report in (here, there):
        report["totals"] = [report[side].pop("total") for side in ("reference", "candidate")]
    for figure in ("rmse", "correlation", "sum_ratio", "r", "totals"):
        assert (there.pop(figure) or 0.0) == pytest.approx(here.pop(figure) or 0.0, rel=1e-12), figure
    assert there == here


ELSEWHERE = """
import json, sys
from pathlib import Path
from typing import Any
from elsewhere import elsewhere
from tools.scaling.images.compare import compare_image_files
folder, reports = Path(sys.argv[1]), []
with elsewhere() as device:
    for name in sys.argv[2:]:
        files = (folder / f"{name}_{side}.npy" for side in ("c", "py"))
        out = folder / "elsewhere" if name == "broken" else None
        reports.append(compare_image_files(*files, out=out, device=str(device)).to_dict())
print(json.dumps(reports))
"""


def test_images_are_compared_alike_on_a_device_that_is_not_the_cpu(folder: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "src", ROOT / "tests" / "port")))
    command = [sys.executable, "-c", ELSEWHERE, str(folder), *PAIRS]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    for name, there in zip(PAIRS, json.loads(done.stdout), strict=True):
        files, out = (folder / f"{name}_{side}.npy" for side in ("c", "py")), folder / "cpu"
        same(compare_image_files(*files, out=out if name == "broken" else None).to_dict(), there)
    for picture in ("triptych.png", "scatter.png", "ulp.png"):
        assert (out / picture).read_bytes() == (folder / "elsewhere" / picture).read_bytes(), picture


def test_the_subcommand_takes_a_device_and_names_one_that_is_not_there(folder: Path, capsys) -> None:
    files = ["--c", str(folder / "rounded_c.npy"), "--py", str(folder / "rounded_py.npy")]
    assert main(["images", *files, "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pixels"] == 150 * 130
    assert main(["images", *files, "--device", "cuda:9", "--out", str(folder / "none")]) == 3
    assert capsys.readouterr().err.startswith("error: --device cuda:9: not usable for float64 on this machine: ")
    assert not (folder / "none").exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here")
@pytest.mark.parametrize("name", PAIRS)
def test_images_are_compared_alike_on_cuda(folder: Path, name: str) -> None:
    files = (folder / f"{name}_c.npy", folder / f"{name}_py.npy")
    same(*(compare_image_files(*files, device=device).to_dict() for device in ("cpu", "cuda")))
