"""The oracle's reading of a command line against the port's, and whether a mistake of either is seen."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanobragg_torch.config import Config, Scan, Sensor, Spread
from nanobragg_torch.flags import assemble, parse, record, sampling
from nanobragg_torch.io import load
from nanobragg_torch.io.smv import smv_header
from nanobragg_torch.quirks import Quirks
from tools.scaling.base.repo import ROOT
from tools.scaling.campaign.generator import draw
from tools.scaling.oracle.reading.command import read_command
from tools.scaling.oracle.reading.fields import differing
from tools.scaling.oracle.uncovered import Uncovered

GOLDEN, VARIANTS = ROOT / "tests/golden", ROOT / "tests/golden_variants"
BASE = "-cell 50 60 70 80 95 105 -default_F 5 -detpixels 8 -seed 1"
DRAWN = 150
COVERED = 145


def ported(words: list[str], folder: Path) -> Config:
    return load.loaded(parse.parse(words, [folder], dump=folder / "Fdump.bin"))


def differs(flags: str, folder: Path) -> list[str]:
    words = flags.split()
    return differing(ported(words, folder), read_command(words, folder))


def recorded() -> Iterator[tuple[str, Path]]:
    for path in sorted(GOLDEN.glob("*/case.json")):
        if path.parent.name != "supervisor_synthetic":  # a list of 65,000 reflections
            yield json.loads(path.read_text())["flags"], GOLDEN / "inputs"
    for path in sorted(VARIANTS.glob("*/*/case.json")):
        case = json.loads(path.read_text())
        yield f"--mode {case['variant']} {case['flags']}", VARIANTS / "inputs"


def test_the_command_lines_of_the_golden_cases_are_read_alike() -> None:
    cases = list(recorded())
    assert len(cases) == 130
    assert [(flags, found) for flags, folder in cases if (found := differs(flags, folder))] == []


def test_drawn_command_lines_are_read_alike(tmp_path: Path) -> None:
    covered = 0
    for drawn in map(draw, range(DRAWN)):
        folder = tmp_path / str(drawn.seed)
        folder.mkdir()
        for name, content in drawn.files.items():
            (folder / name).write_bytes(content)
        try:
            expected = read_command(drawn.flags, folder)
        except Uncovered:
            continue
        covered += 1
        assert differing(ported(list(drawn.flags), folder), expected) == [], drawn
    assert covered > COVERED


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "A.mat").write_text("0.01 0.02 0.03 0.04 0.05 0.06 0.07 0.08 0.1\n")
    (tmp_path / "list.hkl").write_text("0 0 1 7\n1 -1 0 2.5\n2 0 3 4\n")
    (tmp_path / "s").write_text("-10 0 0.1 1 1e-10\n-10 0.1 0\n")
    for name, words, centre in (("mask.img", np.arange(64) % 5, 0.7), ("own.img", np.ones(64), 0.3)):
        fields = {"SIZE1": 8, "SIZE2": 8, "PIXEL_SIZE": 0.2, "CLOSE_DISTANCE": 90, "BEAM_CENTER_Y": centre}
        header = smv_header([(key, str(value)) for key, value in fields.items()])
        (tmp_path / name).write_bytes(header + words.astype(np.uint16).tobytes())
    return tmp_path


UNITS = """
-default_F 3           structure.default_F
-samplesize 0.05       crystal.size_m[0]
-sample_y 0.05         crystal.size_m[1]
-fudge 0.5             crystal.fudge
-mosaic 0.5            crystal.mosaic_spread_rad
-distance 120          detector.distance_m
-close_distance 120    detector.close_distance_m
-Xbeam 3               detector.x_beam_m
-Yclose 3              detector.y_close_m
-ORGX 3                detector.orgx_pixels
-fdet_vector 0 0.1 1   detector.fdet_vector[1]
-pix0_vector_mm 1 2 3  detector.pix0_vector_m[0]
-twotheta 3            detector.twotheta_rad
-detector_rotz 3       detector.rotz_rad
-pixel 0.2             detector.pixel_m
-detector_thick 300    detector.sensor.thickness_m
-lambda 1.1            beam.wavelength_m
-energy 12000          beam.wavelength_m
-fluence 1e24          beam.fluence_per_m2
-flux 1e12             beam.fluence_per_m2
-dispersion 1          beam.dispersion.width
-hdivrange 2           beam.horizontal.width
-vdivstep 2            beam.vertical.width
-polar 0.5             beam.kahn
-water 3               water_m
-dmin 3                dmin_m
-phi 3                 scan.phi_start_rad
-osc 3                 scan.phi_step_rad
-phistep 3             scan.phi_step_rad
-scale 3               output.scale
-adc 3                 output.adc
"""


@pytest.mark.parametrize("row", UNITS.strip().splitlines())
def test_a_wrong_unit_is_named_by_its_field(row: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    *words, field = row.split()
    flags = f"{BASE} {' '.join(words)}"
    assert differs(flags, folder) == []
    converted = record.Flag.converted

    def wrong(flag: record.Flag, value: Any) -> Any:
        right = converted(flag, value)
        if not flag.matches(words[0]):
            return right
        return tuple(x * (1 + 2e-15) for x in right) if isinstance(right, tuple) else right * (1 + 2e-15)

    monkeypatch.setattr(record.Flag, "converted", wrong)
    assert field in [said.partition(":")[0] for said in differs(flags, folder)]


def reversed_list(config: Config, read: Any = load.reflections_of) -> Any:
    listed = read(config)
    return listed and replace(listed, F=listed.F[::-1])


def filled_sources(path: Path, quirks: Quirks, read: Any = load.read_sources) -> Any:
    found = read(path, quirks)
    return replace(found, rows=[tuple(x or 0.0 for x in row) for row in found.rows])


def swapped_headers(given: Any, mask: Any, image: Any, read: Any = parse.read_headers) -> None:
    read(given, image, mask)


# flags, the field that is wrong, and where: a function of the port and what stands in for it
MISTAKES: list[tuple[str, str, Any, str, Callable[..., Any]]] = [
    ("-osc 1 -phisteps 4", "scan.phi_step_rad", sampling, "phi_scan", lambda a, b, c, n: Scan(a, b / (n - 1), n, b)),
    ("-phistep 1", "scan.phi_steps", sampling, "phi_scan", lambda a, b, c, n: Scan(a, c, 1, c)),
    ("-hdivrange 1 -hdivsteps 3", "beam.horizontal.step", sampling, "spread", lambda n, a, b: Spread(a, a / n, n)),
    ("-dispersion 1", "beam.dispersion.count", sampling, "spread", lambda n, a, b: Spread(a, a, 1)),
    ("-detector_thick 300 -thicksteps 4", "detector.sensor.parts", sampling, "sensor",
     lambda a, mu, n, **_: Sensor(a, n, 1 / a, n)),
    ("-mosaic 1", "crystal.mosaic_domains", sampling, "mosaic", lambda n, a: (11, a)),
    ("-flux 1e12 -exposure 3", "beam.fluence_per_m2", assemble, "_fluence", lambda of: of.flux / of.beamsize**2),
    ("-xtalsize 0.2", "crystal.size_m[0]", assemble, "_size", lambda of: (of.beamsize,) * 3),
    ("-mosaic_seed 5", "crystal.mosaic_seed", assemble, "_seed", lambda of, seed: seed),
    ("-detpixels 0 -detsize 1.06", "detector.pixels_fast", assemble, "_pixels", lambda _, n, a, b: (int(a / b), a)),
    ("-mat A.mat", "crystal.matrix[1]", assemble, "read_matrix",
     lambda path: tuple(np.loadtxt(path).reshape(3, 3).T.flat)),
    ("-mask mask.img -img own.img", "detector.y_beam_m", parse, "read_headers", swapped_headers),
    ("-mask mask.img", "detector.mask[0, 0]", load, "read_pixels", lambda header: np.ones((8, 8))),
    ("-hkl list.hkl", "structure.reflections.F[0]", load, "reflections_of", reversed_list),
    ("-sourcefile s", "beam.sources[1][3]", load, "read_sources", filled_sources),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "field", "room", "name", "wrong"), MISTAKES, ids=[row[3] for row in MISTAKES])
def test_a_mistake_is_named_by_its_field(
    flags: str, field: str, room: Any, name: str, wrong: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert differs(f"{BASE} {flags}", folder) == []
    monkeypatch.setattr(room, name, wrong)
    assert field in [said.partition(":")[0] for said in differs(f"{BASE} {flags}", folder)]
