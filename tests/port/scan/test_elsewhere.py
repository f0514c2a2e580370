"""The port on a device that is not the CPU: its numbers are the same, and nothing of it stays behind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]
CASES = [
    *("curved_detector", "divergence_dispersion", "oversample_flags", "phi_zero_carryover_mosaic", "thick_detector"),
    *("point_pixel_nopolar_dmin", "tophat_crystal", "tricubic_falls_out", "water_background"),
]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A process of its own: a device is registered for good."""
    paths = {"PYTHONPATH": f"{HERE.parents[1] / 'src'}:{HERE}"}
    return subprocess.run([sys.executable, *arguments], env=paths, capture_output=True, text=True)


@pytest.fixture(scope="module", autouse=True)
def device():
    pytest.importorskip("torch.utils.backend_registration")
    from torch.utils import backend_registration

    if not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"):
        pytest.skip("this torch cannot register a device in Python")


def test_every_feature_gives_the_same_numbers_elsewhere():
    done = run(str(HERE / "elsewhere.py"), *CASES)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert [*measured] == CASES
    assert {name: each[:2] for name, each in measured.items()} == {name: [0, 0] for name in CASES}
    assert max(each[2] for each in measured.values()) < 1e-12


FORGETFUL = {
    "torch.ones(2, device=device) + torch.ones(2)": "add: expected all tensors on the same device",
    "torch.ones(2, device=device)[torch.arange(2)]": "index: expected all tensors on the same device",
    "torch.ones(2, device=device).numpy()": ".numpy() is not supported",
}
ATTEMPT = """
import sys, torch
from elsewhere import elsewhere
for expression in sys.argv[1:]:
    with elsewhere() as device:
        try:
            print("passed", eval(expression))
        except RuntimeError as error:
            print(error)
"""


def test_what_forgets_the_device_is_refused():
    told = run("-c", ATTEMPT, *FORGETFUL).stdout.splitlines()
    assert len(told) == len(FORGETFUL)
    assert all(line.startswith(message) for line, message in zip(told, FORGETFUL.values())), told
