"""Stand-ins whose labels have other units, transposed components and noise between their lines, on the command line."""

import json
import re

import torch

from nanobragg_torch.flags.parse import parse
from nanobragg_torch.products.trace import render, trace_pixel
from tests.scaling.implementations.standins import stand_in
from tools.scaling import cli
from tools.scaling.cases.case import find_case

CASE, PIXEL = "phi_crosses_zero", (20, 21)
SIZE = 40
# our name: (their label, our unit in theirs, order of their components)
THEIRS = {
    "rot_a_angstroms": ("a_zyx_nm", 0.1, (2, 1, 0)),
    "rot_b_angstroms": ("b_nm", 0.1, (0, 1, 2)),
    "pixel_pos_meters": ("where_mm", 1e3, (1, 2, 0)),
    "R_distance_meters": ("way_mm", 1e3, (0,)),
    "scattering_vec_A_inv": ("q_per_A", 1e-10, (0, 1, 2)),
}
LABELS = """[trace]
prefix = "DUMP"
[trace.labels]
a_zyx_nm = { name = "rot_a_angstroms", factor = 10, order = [2, 1, 0] }
b_nm = { name = "rot_b_angstroms", factor = 10 }
where_mm = { name = "pixel_pos_meters", factor = 1e-3, order = [2, 0, 1] }
way_mm = { name = "R_distance_meters", factor = 1e-3 }
q_per_A = { name = "scattering_vec_A_inv", factor = 1e10 }
F_cell = { name = "F_cell", print_only = true }
"PHI.phi_mrad" = { name = "PHI.phi_deg", factor = 0.057295779513082 }
"""


def theirs(*options: str) -> list[str]:
    """The lines of our port with `options`, as a port with habits of its own prints them."""
    case = find_case(CASE)
    config = parse((*case.flags, *options), folders=case.folders)
    lines = []
    for line in render(trace_pixel(config, *PIXEL, device="cpu", dtype=torch.float64)).splitlines():
        line = line.replace("TRACE_PY", "DUMP")
        named = re.fullmatch(r"(DUMP: )(\w+) (.*)", line)
        if named and named[2] in THEIRS:
            label, factor, order = THEIRS[named[2]]
            values = [float(x) * factor for x in named[3].split()]
            line = f"{named[1]}{label} [{', '.join(f'{values[i]:.15g}' for i in order)}]"
        elif named and named[2] == "F_cell":
            line = "DUMP: F_cell 1e9"
        line = re.sub(r"phi_deg=(\S+)", lambda m: f"phi_mrad={float(m[1]) / 0.057295779513082:.15g}", line)
        lines.append(line)
    return lines


def program(folder, *options):
    return str(stand_in(folder, "noise", LABELS, image=bytes(4 * SIZE * SIZE), trace=theirs(*options)))


def test_compare_reads_other_units_and_orders(tmp_path, capsys):
    out = tmp_path / "out" / "summary.md"
    out.parent.mkdir()
    right = program(tmp_path / "right")
    words = ["compare", "--case", CASE, "--pixel", *map(str, PIXEL), "--candidate", right, "--out", str(out), "--gate"]
    assert cli.main(words) == 0
    assert "first_upstream_divergence: none" in capsys.readouterr().out
    compared = json.loads((out.parent / "metrics.json").read_text())
    assert compared["num_divergent"] == 0


def test_labels_are_applied_once(tmp_path, capsys):
    """What the harness wrote has our names and units: the same table behind it changes nothing."""
    wrong, log = program(tmp_path / "wrong", "--quirk", "Q29=off"), tmp_path / "theirs.log"
    at = ["--case", CASE, "--pixel", *map(str, PIXEL)]
    assert cli.main(["harness", *at, "--candidate", wrong, "--out", str(log)]) == 0
    capsys.readouterr()
    reference = str(find_case(CASE).reference(PIXEL))
    told = []
    for labels in ([], ["--labels", wrong]):
        assert cli.main(["explain", *at, "--c", reference, "--py", str(log), *labels]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
    assert "rotated afresh at phi = 0 (Q29 off)" in told[0].splitlines()[-1]
    raw = tmp_path / "raw.log"
    raw.write_text("\n".join(theirs("--quirk", "Q29=off")).replace("DUMP", "TRACE_PY") + "\n")
    assert cli.main(["explain", *at, "--c", reference, "--py", str(raw), "--labels", wrong]) == 0
    assert "rotated afresh at phi = 0 (Q29 off)" in capsys.readouterr().out.splitlines()[-1]
