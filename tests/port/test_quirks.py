"""Every switch of the quirk table: what the reference does with it, what is right without it.

One check per quirk, by its number; a quirk of the table without a check fails.
"""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_cases import INPUTS, load, parse_log

from nanobragg_torch.config import Config, Roi, Spread
from nanobragg_torch.errors import FlagError, InputError
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.io.fdump import fdump_pieces
from nanobragg_torch.io.load import loaded
from nanobragg_torch.io.smv import smv_header
from nanobragg_torch.physics import detector, lattice_factor, mosaic
from nanobragg_torch.products import outputs
from nanobragg_torch.products.statistics import statistics
from nanobragg_torch.products.trace import render, trace_pixel
from nanobragg_torch.quirks import IDS, TABLE, Quirks, of_mode
from nanobragg_torch.scan import simulate
from nanobragg_torch.scan.experiment import Experiment, prepare
from nanobragg_torch.units import RTD

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


@pytest.mark.parametrize("identifier", IDS)
def test_quirk(identifier: str, tmp_path: Path) -> None:
    assert identifier in CHECKS, f"{identifier} has a switch and no test"
    CHECKS[identifier](tmp_path)


def test_the_table() -> None:
    assert list(IDS) == sorted(set(IDS))
    assert set(CHECKS) == set(IDS)
    for entry in TABLE:
        assert all((entry.name, entry.reference, entry.right)), entry.id
        assert entry.where.startswith(("nanoBragg.c ~L", "semantics ")), entry.id
    assert of_mode("c-parity") == Quirks()
    assert of_mode("spec").off == set(IDS)
    asked: list[Callable[[], object]] = [
        lambda: Quirks().on("Q99"),
        lambda: Quirks().strict("Q10", "Q99"),
        lambda: Quirks().switched("Q99", True),
        lambda: Quirks().switched("Q99", False),
        lambda: Quirks(off=frozenset({"Q99"})),
        lambda: Quirks(chosen=frozenset({"Q99"})),
    ]
    for ask in asked:
        with pytest.raises(ValueError) as caught:
            ask()
        assert str(caught.value) == f"quirk: expected one of {', '.join(IDS)}, got 'Q99'"
    with pytest.raises(ValueError, match="as_given: expected some of odet, sdet, fdet, beam, got odett"):
        Quirks(as_given=frozenset({"odett"}))


def test_the_page_is_the_table() -> None:
    text = (Path(__file__).parents[2] / "docs" / "bugs" / "quirks.md").read_text(encoding="ascii")
    switches, _, rest = text.partition("## Without a switch")
    listed = [line for line in switches.splitlines() if line.startswith("| Q")]
    assert listed == [f"| {q.id} | {q.name} | {q.reference} | {q.right} | {q.where} |" for q in TABLE]
    others = re.findall(r"^\| (Q\d\d) \| .+ \| .+ \|$", rest, re.MULTILINE)
    numbers = sorted([*IDS, *others])
    assert len(set(numbers)) == len(numbers)
    assert {f"Q{n:02d}" for n in range(1, 59)} <= set(numbers)


def test_switches_of_the_command_line() -> None:
    def off(flags: str) -> frozenset[str]:
        return config(BASE, flags).quirks.off

    assert off("") == frozenset()
    assert off("--mode spec") == set(IDS)
    assert off("--quirk Q29=off --quirk=Q14=off") == {"Q29", "Q14"}
    assert off("--quirk Q29=on --mode spec") == set(IDS) - {"Q29"}
    assert off("--phi-mode spec") == {"Q29"}
    assert off("--mode spec --phi-mode c-parity") == set(IDS) - {"Q29"}
    assert off("--phi-mode spec --quirk Q29=on") == frozenset()


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


@quirk("Q01")
def _(_folder: Path) -> None:
    flags = "-twotheta 20 -twotheta_axis 3 0 0"
    assert config(BASE, flags).detector.twotheta_rad == 3 / RTD
    assert config(BASE, flags).detector.pivot == "SAMPLE"
    right = config(BASE, f"-distance 100 {flags} -pivot beam --quirk Q01=off")
    assert right.detector.twotheta_rad == 20 / RTD
    assert right.detector.pivot == "BEAM"
    assert not any("Q01" in line for line in right.warnings)


@quirk("Q02")
def _(_folder: Path) -> None:
    for flag in ("-pix0_vector_mm 100 2 -3", "-pix0_vector 0.1 0.002 -0.003"):
        assert geometry(flag).pix0.tolist() != pytest.approx([0.1, 0.002, -0.003], rel=1e-3)
        right = geometry(f"{flag} -detector_rotx 3 --quirk Q02=off")
        assert right.pix0.tolist() == pytest.approx([0.1, 0.002, -0.003], rel=1e-14)
        assert float(right.close_distance) == pytest.approx(float(right.pix0 @ right.odet), rel=1e-14)


@quirk("Q03")
def _(_folder: Path) -> None:
    assert geometry("-odet_vector 0.6 0.8 0").odet.tolist() == [0.6, 0.8, 0.0]
    assert geometry("-odet_vector 2 0 0.0002 --quirk Q03=off").odet.tolist() == pytest.approx([1, 0, 1e-4], abs=1e-8)
    with pytest.raises(FlagError) as caught:
        geometry("-odet_vector 0.6 0.8 0 --quirk Q03=off")
    assert str(caught.value) == "-odet_vector: expected the normal of fdet and sdet, got a cosine of 0.8 with one"
    tilted = "-fdet_vector 0 0.6 0.8 -sdet_vector 0 -0.8 0.6"
    assert geometry(tilted).odet.tolist() == [1.0, 0.0, 0.0]
    tilted = "-fdet_vector 0.6 0 0.8"
    assert geometry(tilted).odet.tolist() == [1.0, 0.0, 0.0]
    assert geometry(f"{tilted} --quirk Q03=off").odet.tolist() == pytest.approx([0.8, 0.0, -0.6])
    left_handed = "-adxv -fdet_vector 0.8 0 -0.6 --quirk Q03=off --quirk Q54=off"
    assert geometry(left_handed).odet.tolist() == pytest.approx([0.6, 0.0, 0.8])


@quirk("Q04")
def _(_folder: Path) -> None:
    flags = "-twotheta_axis 0 0 2 -twotheta 20"
    axis_across = f"{flags} -fdet_vector 0 1 0 -sdet_vector 0 0 1"
    for given in (flags, axis_across):
        right = geometry(f"{given} --quirk Q04=off")
        assert right.initial.twotheta_axis.tolist() == [0.0, 0.0, 1.0]
        assert float(right.fdet.norm()) == pytest.approx(1.0, rel=1e-14)
    assert float(geometry(flags).fdet.norm()) == pytest.approx(1.18, abs=0.01)


@quirk("Q05")
def _(_folder: Path) -> None:
    def near(flags: str) -> list[float]:
        return geometry(flags).pix0[:2].tolist()

    plain = near("-xds")
    assert near("-xds -Xclose 0.1 -Ybeam 0.3") == plain == pytest.approx([-4e-4, -4e-4])
    assert near("-xds -Xclose 0.1 -Ybeam 0.3 --quirk Q05=off") == pytest.approx([-1e-4, -3e-4])
    assert near("-dials -Xclose 0.1 -Xbeam 0.2 --quirk Q05=off") == pytest.approx([-1e-4, -4e-4])
    assert near("-xds -ORGX 6.5 -Xclose 0.1 --quirk Q05=off") == pytest.approx([-6e-4, -4e-4])


@quirk("Q06")
def _(_folder: Path) -> None:
    assert config(BASE, "-pivot sample").detector.pivot == "BEAM"
    assert config(BASE, "-pivot sample --quirk Q06=off").detector.pivot == "SAMPLE"
    assert config(BASE, "-xds -pivot beam --quirk Q06=off").detector.pivot == "BEAM"
    assert config(BASE, "-xds -distance 100 --quirk Q06=off").detector.pivot == "SAMPLE"  # nobody asked


def write_smv(path: Path, fields: dict[str, object], pixels: np.ndarray | None = None) -> Path:
    pixels = np.ones((8, 8), np.uint16) if pixels is None else pixels
    slow, fast = pixels.shape
    header = smv_header([(k, str(v)) for k, v in {"SIZE1": fast, "SIZE2": slow, **fields}.items()])
    path.write_bytes(header + pixels.astype(np.uint16).tobytes())
    return path


@quirk("Q07")
def _(folder: Path) -> None:
    write_smv(folder / "own.img", {"PIXEL_SIZE": 0.1, "DISTANCE": 100, "CLOSE_DISTANCE": 100})
    found = config("-cell 30 -default_F 1", "-img own.img -distance 500", folder)
    assert float(detector.build_geometry(found, torch.empty(0)).distance) == pytest.approx(0.1)
    assert "-distance: has no effect, the header's CLOSE_DISTANCE wins (Q07)" in found.warnings
    right = config("-cell 30 -default_F 1", "-img own.img -distance 500 --quirk Q07=off", folder)
    assert float(detector.build_geometry(right, torch.empty(0)).distance) == pytest.approx(0.5)


@quirk("Q08")
def _(_folder: Path) -> None:
    assert float(geometry("-twotheta 20").distance) == pytest.approx(0.1 * math.cos(math.radians(20)), rel=1e-12)
    right = geometry("-twotheta 20 -Xbeam 0.2 --quirk Q08=off")
    assert float(right.distance) == pytest.approx(0.1, rel=1e-14)
    centre = detector.final_centre(right)
    assert float(centre.slow_beam) == pytest.approx(float(right.centre.slow_beam), rel=1e-11)
    assert float(centre.fast_beam) == pytest.approx(float(right.centre.fast_beam), rel=1e-11)
    assert right.pix0.tolist() == geometry("-twotheta 20 -Xbeam 0.2").pix0.tolist()


@quirk("Q09")
def _(_folder: Path) -> None:
    def products(flags: str) -> list[float]:
        found = rows(BASE, f"-phi 30 {flags}")
        direct, stars = ([found[f"rot_{n}{suffix}"][0] for n in "abc"] for suffix in ("_angstroms", "_star_A_inv"))
        return [float(np.dot(u, v)) for u in direct for v in stars]

    identity = np.eye(3).ravel().tolist()
    assert products("--quirk Q09=off") == pytest.approx(identity, abs=1e-13)
    assert products("") != pytest.approx(identity, abs=0.1)


LIST = "0 0 1 7\n0 1 0 5\n1 0 0 4\n-1 0 0 3\n0 0 0 11\n"


def listed(folder: Path, text: str, flags: str = "") -> dict[tuple[int, ...], float]:
    """Reflections that the grid holds."""
    (folder / "list.hkl").write_text(text)
    grid = experiment(BASE.replace("-default_F 1 ", ""), f"-hkl list.hkl --mode c-parity {flags}", folder).grid
    assert grid.values is not None
    values = grid.values.reshape(grid.shape)
    return {
        tuple(i + low for i, low in zip(at, grid.lowest)): float(values[tuple(at)])
        for at in torch.argwhere(values).tolist()
    }


CLEAN = {(0, 0, 1): 7.0, (0, 1, 0): 5.0, (1, 0, 0): 4.0, (-1, 0, 0): 3.0, (0, 0, 0): 11.0}


@quirk("Q10")
def _(folder: Path) -> None:
    assert listed(folder, LIST) == CLEAN
    with_sigma = "".join(f"{line} 2\n" for line in LIST.splitlines())
    # groups of four: (0 0 1 7) (2 0 1 0) (5 2 1 0) (0 4 2 -1) (0 0 3 2) (0 0 0 11)
    shifted = {(0, 0, 1): 7.0, (0, 4, 2): -1.0, (0, 0, 3): 2.0, (0, 0, 0): 11.0}
    assert listed(folder, with_sigma) == shifted
    assert listed(folder, with_sigma, "--quirk Q10=off") == CLEAN
    commented = LIST.replace("1 0 0 4\n", "# h k l\n1 0 0 4 # strong\n")
    assert listed(folder, commented) == {(0, 0, 1): 7.0, (0, 1, 0): 5.0}
    assert listed(folder, commented, "--quirk Q10=off") == CLEAN
    (folder / "list.hkl").write_text(commented)
    warnings = experiment(BASE, "-hkl list.hkl --mode c-parity", folder).config.warnings
    assert warnings[:1] == (f"{folder}/list.hkl:3: the list ends here, before '# h k l': 2 reflections (Q10, Q11)",)
    with pytest.raises(InputError, match=r"list.hkl:2: expected h k l F .*, got 'h k l F'"):
        listed(folder, "0 0 1 7\nh k l F\n", "--quirk Q10=off")
    for text, line in ((with_sigma, "1: .*got '0 0 1 7 2'"), (commented, "3: .*got '# h k l'")):
        (folder / "list.hkl").write_text(text)
        with pytest.raises(InputError, match=f"list.hkl:{line}"):  # where nobody chose how to misread it
            experiment(BASE, "-hkl list.hkl", folder)


@quirk("Q11")
def _(folder: Path) -> None:
    text = LIST.replace("1 0 0 4", "1.0 0 0 4")
    lost = {(0, 0, 1): 7.0, (0, 1, 0): 5.0}
    assert listed(folder, text) == lost
    grid = experiment(BASE, "-hkl list.hkl --mode c-parity", folder).grid
    assert grid.counts == (3, 2, 2)  # the box counts what follows
    assert listed(folder, text, "--quirk Q10=off") == lost
    assert listed(folder, text, "--quirk Q11=off") == CLEAN
    assert listed(folder, text, "--mode spec") == CLEAN
    with pytest.raises(InputError, match=r"list.hkl:3: expected h k l F .*, got '1.5 0 0 4'"):
        listed(folder, LIST.replace("1 0 0 4", "1.5 0 0 4"), "--mode spec")


def sources(folder: Path, text: str, flags: str = "") -> Experiment:
    (folder / "sources.txt").write_bytes(text.encode())
    return experiment(BASE, f"-sourcefile sources.txt {flags}", folder)


@quirk("Q12")
def _(folder: Path) -> None:
    text = "# two sources\n-10 0 0 1 1e-10\r\n-10 0 0.1"
    found = sources(folder, text, "--mode c-parity").sources
    assert found.wavelength.tolist()[1:] == [1e-10, 0.0]
    assert found.wavelength.shape[0] == 3
    right = sources(folder, text, "--quirk Q12=off").sources
    assert right.wavelength.tolist() == [1e-10, 1.1 / 1e10]
    assert right.incident[1].tolist() == pytest.approx([10 / math.hypot(10, 0.1), 0.0, -0.1 / math.hypot(10, 0.1)])
    with pytest.raises(InputError, match=r"sources.txt:1: expected sources .*, got 'x'"):
        sources(folder, "x y z\n", "--quirk Q12=off")
    with pytest.raises(InputError, match=r"sources.txt:1: expected a wavelength above 0 m, got 0"):
        sources(folder, "-10 0 0 1 0\n", "--quirk Q12=off")


@quirk("Q13")
def _(folder: Path) -> None:
    lines = ["-10 0 0 {} 1.0e-10\n", "-10 0.03 0 {} 1.1e-10\n"]

    def of(text: str, flags: str = "") -> np.ndarray:
        (folder / "sources.txt").write_text(text)
        return image(BASE, f"-nopolar -sourcefile sources.txt {flags}", folder)

    first, second = of(lines[0].format(1)), of(lines[1].format(1))
    both = lines[0].format(1) + lines[1].format(3)
    assert of(both) == pytest.approx((first + second) / 2, rel=1e-12)
    assert of(both, "--quirk Q13=off") == pytest.approx((first + 3 * second) / 4, rel=1e-12)


@quirk("Q14")
def _(_folder: Path) -> None:
    flags = "-detector_thick 300 -detector_thicksteps"
    assert config(BASE, f"{flags} 4").detector.sensor.step_m == pytest.approx(1e-4)
    assert config(BASE, f"{flags} 4 --quirk Q14=off").detector.sensor.step_m == pytest.approx(7.5e-5)
    assert config(BASE, f"{flags} 1").detector.sensor.layers == 2
    single = config(BASE, f"{flags} 1 --quirk Q14=off").detector.sensor
    assert (single.layers, single.step_m) == (1, pytest.approx(3e-4))
    thick = image(FLAT, f"{flags} 1 --quirk Q14=off") / image(FLAT)
    assert thick == pytest.approx(np.full((8, 8), 1 - math.exp(-1)), rel=1e-4)


@quirk("Q15")
def _(_folder: Path) -> None:
    flags = "-detector_thick 300 -detector_abs 150 -detector_thicksteps 3 --quirk Q14=off"
    layer = [math.exp(-k * 2 / 3) - math.exp(-(k + 1) * 2 / 3) for k in range(3)]
    plain = image(FLAT)
    assert image(FLAT, flags) / plain == pytest.approx(np.full((8, 8), 3 * layer[2]), rel=1e-3)
    assert image(FLAT, f"{flags} --quirk Q15=off") / plain == pytest.approx(np.full((8, 8), sum(layer)), rel=1e-3)


@quirk("Q16")
def _(_folder: Path) -> None:
    distance = one(BASE, "R_distance_meters")[0]
    assert one(BASE, "omega_pixel_sr", "-point_pixel")[0] == pytest.approx(distance**-2)
    right = one(BASE, "omega_pixel_sr", "-point_pixel --quirk Q16=off")[0]
    assert right == pytest.approx(1e-8 / distance**2)


@quirk("Q17")
def _(_folder: Path) -> None:
    for convention in ("-xds", "-mosflm", "-adxv"):
        flags = f"{convention} -curved_det 1 -distance 10 --quirk Q17=off"
        found = rows(BASE, flags, slow=6, fast=2)
        g = geometry(flags)
        position = torch.tensor(found["pixel_pos_meters"][0], dtype=torch.float64)
        assert found["R_distance_meters"][0][0] == pytest.approx(0.01, rel=1e-13)
        assert found["omega_pixel_sr"][0][0] == pytest.approx(1e-8 / 0.01**2, rel=1e-12)
        centre = detector.final_centre(g)
        arcs = (2.5 * 1e-4 - float(centre.fast_close), 6.5 * 1e-4 - float(centre.slow_close))
        # fast first, along the equator; then slow, by a turn about fdet
        assert float(position @ g.fdet) == pytest.approx(0.01 * math.sin(arcs[0] / 0.01), rel=1e-9)
        slow = 0.01 * math.cos(arcs[0] / 0.01) * math.sin(arcs[1] / 0.01)
        assert float(position @ g.sdet) == pytest.approx(slow, rel=1e-9)
    # the reference turns by lab y and z, of which XDS has none along the beam
    flags = "-xds -curved_det 1 -distance 10"
    flat, curved = (rows(BASE, f, slow=6, fast=2)["pixel_pos_meters"][0] for f in ("-xds -distance 10", flags))
    assert abs(curved[0] - flat[0]) > 1e-4


@quirk("Q19")
def _(_folder: Path) -> None:
    flags = "-misset random -misset_seed 5"
    crystal = config(BASE, flags).crystal
    draws = torch.tensor(mosaic.draws(crystal).misset, dtype=torch.float64)
    a_star = one(BASE, "rot_a_star_A_inv", flags)
    right = one(BASE, "rot_a_star_A_inv", f"{flags} --quirk Q19=off")
    plain = one(BASE, "rot_a_star_A_inv")
    turned = mosaic.uniform_rotation(draws)[0].numpy() @ np.array(plain)
    assert right == pytest.approx(turned.tolist(), rel=1e-9, abs=1e-12)
    assert a_star != pytest.approx(right, rel=1e-3)
    # uniform over SO(3): every element of the mean is 0, and 1/3 of its square
    many = torch.tensor(mosaic.deviates(4000, -3), dtype=torch.float64)
    matrices = mosaic.uniform_rotation(many)
    assert float((matrices @ matrices.mT - torch.eye(3, dtype=torch.float64)).abs().max()) < 1e-14
    assert float(torch.linalg.det(matrices).min()) == pytest.approx(1.0)
    assert float(matrices.mean(0).abs().max()) < 0.05
    assert float((matrices.square().mean(0) - 1 / 3).abs().max()) < 0.03
    cosine = (matrices.diagonal(dim1=1, dim2=2).sum(-1) - 1) / 2
    assert float(cosine.mean()) == pytest.approx(-0.5, abs=0.05)  # E cos(angle) of the Haar measure


@quirk("Q20")
def _(_folder: Path) -> None:
    right = config(BASE, "-misset random -seed 5 --quirk Q20=off")
    assert right.crystal.misset_seed == -5
    assert config(BASE, "-misset random -misset_seed 7 -seed 5 --quirk Q20=off").crystal.misset_seed == -7
    clock = config(BASE, "-misset random -seed 5")
    assert clock.crystal.misset_seed is not None
    assert clock.crystal.misset_seed < -1_000_000_000
    assert clock.warnings[:1] == (
        f"-misset random: the clock is the seed; -misset_seed {-clock.crystal.misset_seed} repeats this run (Q20)",
    )


def dumped(folder: Path, flags: str = "") -> Experiment:
    read = loaded(parse(f"{BASE} {flags}".split(), [folder], dump=folder / "Fdump.bin"))
    return prepare(read, device="cpu", dtype=torch.float64)


@quirk("Q22")
def _(folder: Path) -> None:
    values = np.zeros((3, 3, 3))
    values[0, 0, 0] = np.frombuffer(b"\x20\x0a\x00\x00\x00\x00\xf0\x3f", "<f8")[0]
    values[1, 1, 1] = 5.0
    (folder / "Fdump.bin").write_bytes(b"".join(fdump_pieces(values, (0, 0, 0), (2, 2, 2))))
    skewed, right = dumped(folder).grid, dumped(folder, "--quirk Q22=off --fdump Fdump.bin").grid
    assert skewed.values is not None
    assert right.values is not None
    assert np.array_equal(right.values.reshape(3, 3, 3), values)
    assert skewed.values.reshape(3, 3, 3)[0, 0, 0] < 1e-300
    assert skewed.values.reshape(3, 3, 3)[1, 1, 1] < 1e-300


@quirk("Q23")
def _(_folder: Path) -> None:
    flags = "-nopolar -oversample_polar"
    assert one(BASE, "polar", flags)[0] < 1.0
    assert one(BASE, "polar", f"{flags} --quirk Q23=off") == (1.0,)
    assert image(BASE, f"{flags} --quirk Q23=off") == pytest.approx(image(BASE, "-nopolar"), rel=1e-14)


@quirk("Q24")
def _(_folder: Path) -> None:
    def expected(shape: str) -> float:
        h, k, l = one(BASE, "hkl_frac", shape)  # noqa: E741
        square = sum((5 * (x - math.ceil(x - 0.5))) ** 2 for x in (h, k, l))
        return (125 * math.exp(-square / 0.63)) ** 2 if shape == "-gauss_xtal" else 125.0**2 * (square < 0.3969)

    for shape in ("-gauss_xtal", "-tophat_spots"):
        found = one(BASE, "I_before_scaling", f"{shape} --quirk Q24=off")[0]
        assert found == pytest.approx(expected(shape), rel=1e-12)
    assert one(BASE, "I_before_scaling", "-gauss_xtal") != one(BASE, "I_before_scaling", "-gauss_xtal --quirk Q24=off")
    wide = "-fudge 0.3 -tophat_spots"
    assert image(BASE, wide)[0, 0] > 0 == image(BASE, f"{wide} --quirk Q24=off")[0, 0]


@quirk("Q25")
def _(_folder: Path) -> None:
    case = load("tricubic_falls_out")
    whole = case.config()
    roi = whole.detector.rendered
    run = simulate.start(prepare(loaded(whole), device="cpu", dtype=torch.float64))
    assert run.tricubic_end is not None
    reference, right = simulate.render_image(run), None
    right = simulate.simulate(case.config("--quirk", "Q25=off"), device="cpu", dtype=torch.float64)
    differing = (reference != right).nonzero().tolist()
    assert len(differing) > 10
    slow, fast = differing[-1]  # alone, this pixel does not fall out
    alone = replace(whole, detector=replace(whole.detector, roi=Roi(fast, fast, slow, slow)))
    assert roi.slow_min < slow
    assert simulate.simulate(alone, device="cpu", dtype=torch.float64)[slow, fast] == right[slow, fast]
    nearest = simulate.simulate(case.config("-nointerpolate"), device="cpu", dtype=torch.float64)
    assert nearest[slow, fast] == reference[slow, fast]


@quirk("Q26")
def _(_folder: Path) -> None:
    water = f"{BASE.replace('-default_F 1', '-default_F 1e-20').replace('-oversample 1', '')} -water 50 -oversample"
    once, twice = image(f"{water} 1"), image(f"{water} 2")
    assert once / twice == pytest.approx(np.full((8, 8), 4.0), rel=1e-3)
    found = rows(f"{water} 1", "--quirk Q26=off")
    molecules = (50e-6) ** 3 * 1e6 * 6.02214179e23 / 18
    photons = 2.57**2 * molecules * 7.94079248018965e-30 * found["fluence_photons_per_m2"][0][0]
    expected = photons * found["omega_pixel"][0][0] * found["polar"][0][0]
    assert found["I_pixel_final"][0][0] == pytest.approx(expected, rel=1e-12)
    assert image(f"{water} 2", "--quirk Q26=off") == pytest.approx(image(f"{water} 1", "--quirk Q26=off"), rel=1e-5)


@quirk("Q27")
def _(_folder: Path) -> None:
    plain = image(BASE, "-phi 1 -osc 1 -phisteps 4")
    flags = "-phi 1 -osc 1 -phisteps 4 -oversample_omega -oversample_polar"
    last = image(BASE, "-phi 1.75")  # all that is left is the last of four terms
    assert image(BASE, flags) == pytest.approx(last / 4, rel=1e-3)
    assert image(BASE, f"{flags} --quirk Q27=off") == pytest.approx(plain, rel=1e-13)


@quirk("Q28")
def _(_folder: Path) -> None:
    assert not image(BASE, "-oversample_thick").any()
    assert np.array_equal(image(BASE, "-oversample_thick --quirk Q28=off"), image(BASE))
    thick = "-oversample_thick -detector_thick 100"
    assert np.array_equal(image(BASE, f"{thick} --quirk Q28=off"), image(BASE, thick))


@quirk("Q29")
def _(_folder: Path) -> None:
    flags = "-phi 0 -osc 3 -phisteps 3"
    first, last = (rows(BASE, flags)["PHI.k_frac"][i] for i in (0, 2))
    assert first == last
    right = rows(BASE, f"{flags} --quirk Q29=off")["PHI.k_frac"]
    assert right[0] == rows(BASE, "")["PHI.k_frac"][0]
    assert right[1:] == rows(BASE, flags)["PHI.k_frac"][1:]


@quirk("Q30")
def _(_folder: Path) -> None:
    """Without it, a pixel of 2 x 2 sub-pixels is the sum of four pixels of half the size."""
    near = "-cell 30 40 50 80 95 105 -default_F 1 -lambda 1.1 -distance 3 -N 1 -polar 0.9 -denzo -Xbeam 0.1 -Ybeam 0.2"
    coarse = f"{near} -detpixels 8 -pixel 0.1 -oversample 2"
    fine = image(f"{near} -detpixels 16 -pixel 0.05 -oversample 1").reshape(8, 2, 8, 2).sum(axis=(1, 3))
    assert image(coarse, "--quirk Q30=off") == pytest.approx(fine, rel=1e-12)
    assert image(coarse) != pytest.approx(fine, rel=1e-3)
    assert len(set(rows(coarse, "--quirk Q30=off", slow=5)["omega_pixel_sr"])) == 4
    assert len(set(rows(coarse, slow=5)["omega_pixel_sr"])) == 1


@quirk("Q32")
def _(_folder: Path) -> None:
    def scan(flags: str) -> tuple[float, float, int]:
        found = config(BASE, flags).scan
        return float(found.phi_step_rad) * RTD, found.osc_rad * RTD, found.phi_steps

    assert scan("-phisteps 5") == pytest.approx((0.2, 1.0, 5))
    assert scan("-phistep 0.2 -phisteps 5") == pytest.approx((0.2, 0.2, 2))
    assert scan("-phistep 0.2 -phisteps 5 --quirk Q32=off") == pytest.approx((0.2, 1.0, 5))
    assert scan("-phisteps 1 --quirk Q32=off") == (0.0, 0.0, 1)
    with pytest.raises(FlagError, match="-phisteps 5: expected -osc or -phistep too, got neither"):
        scan("-phisteps 5 --quirk Q32=off")


@quirk("Q34")
def _(_folder: Path) -> None:
    h, n = torch.tensor([1.0, 3.0, -2.0, 5 + 2.0**-30], dtype=torch.float64), torch.tensor(29.0, dtype=torch.float64)
    assert float(lattice_factor.grating(h, n)[0]) == pytest.approx(-0.0101, abs=1e-4)
    right = lattice_factor.reduced_grating(h, torch.round(h), n)
    assert right.tolist() == pytest.approx([29.0, 29.0, 29.0, 29.0], rel=1e-12)
    even = torch.tensor(4.0, dtype=torch.float64)
    assert lattice_factor.reduced_grating(h[:3], h[:3], even).tolist() == [-4.0, -4.0, 4.0]
    away = torch.tensor([6.8, -3.3, 2.49], dtype=torch.float64)
    for count in (n, even):
        found = lattice_factor.reduced_grating(away, torch.round(away), count)
        assert found.tolist() == pytest.approx(lattice_factor.grating(away, count).tolist(), rel=1e-12)
    direct = (
        "-cell 40 40 40 -misset 0 0 0 -default_F 1 -lambda 1 -distance 100 -detpixels 9 -pixel 0.1 -N 7 -oversample 1"
    )
    centre = "-denzo -Xbeam 0.45 -Ybeam 0.45"  # q = 0 at the middle pixel, hkl 0 0 0 either way
    assert image(f"{direct} {centre}", "--quirk Q34=off")[4, 4] == image(f"{direct} {centre}")[4, 4]
    assert image(f"{direct} {centre}", "--quirk Q34=off") == pytest.approx(image(f"{direct} {centre}"), rel=1e-9)
    assert one(BASE, "hkl_rounded", "-pixel 9")[1] != 0
    assert one(BASE, "F_latt_b", "-pixel 9 --quirk Q34=off") != one(BASE, "F_latt_b", "-pixel 9")


@quirk("Q35")
def _(tmp_path: Path) -> None:
    """Every documented form is in test_flags.py."""
    assert config(BASE, "-hdiv 2").beam.horizontal == Spread()
    assert config(BASE, "-hdiv 2 --quirk Q35=off").beam.horizontal == config(BASE, "-hdivrange 2").beam.horizontal
    assert config(BASE, "-phi 3 -fluence").beam == config(BASE).beam
    with pytest.raises(FlagError, match="^-fluence: expected a number, got nothing$"):
        config(BASE, "-phi 3 -fluence --quirk Q35=off")


@quirk("Q37")
def _(_folder: Path) -> None:
    flags = "-adxv -Xbeam 0.3 -detector_rotx 2 -twotheta 5"
    text = {
        mode: render(trace_pixel(config(BASE, f"{flags} {mode}"), 1, 1, device="cpu", dtype=torch.float64))
        for mode in ("", "--quirk Q37=off")
    }
    assert "TRACE_PY:detector_convention=MOSFLM\n" in text[""]
    assert "TRACE_PY:detector_convention=ADXV\n" in text["--quirk Q37=off"]
    assert one(BASE, "initial_fdet", flags) == (0.0, 0.0, 1.0)
    assert one(BASE, "initial_fdet", f"{flags} --quirk Q37=off") == (1.0, 0.0, 0.0)
    assert one(BASE, "beam_center_m", flags)[0] == pytest.approx(3e-7)
    assert one(BASE, "beam_center_m", f"{flags} --quirk Q37=off")[0] == pytest.approx(3e-4)
    right = rows(BASE, f"{flags} --quirk Q37=off")
    assert right["sdet_after_rotz"][0] == right["sdet_after_rotz"][1] != right["sdet_after_twotheta"][0]
    near = one(BASE, "beam_center_m", "-xds --quirk Q37=off")
    assert near[0] == pytest.approx(1000 * one(BASE, "beam_center_m", "-xds")[0])


@quirk("Q38")
def _(_folder: Path) -> None:
    metres, angstroms = (one(BASE, "scattering_vec_A_inv", f) for f in ("", "--quirk Q38=off"))
    assert angstroms == pytest.approx([x * 1e-10 for x in metres], rel=1e-14)


@quirk("Q39")
def _(_folder: Path) -> None:
    def solid(flags: str) -> float:
        run = simulate.start(experiment(BASE, flags))
        return statistics(run, simulate.render_image(run).numpy()).solid_angle_sr

    plain = solid("")
    assert plain == pytest.approx(8e-4**2 / 0.1**2, rel=1e-3)
    flags = "-hdivrange 1 -hdivsteps 5 -square_div"
    assert solid(flags) == pytest.approx(plain / 5, rel=1e-9)
    assert solid(f"{flags} --quirk Q39=off") == pytest.approx(plain, rel=1e-9)


@quirk("Q40")
def _(_folder: Path) -> None:
    assert config(BASE, "-xtalsize 0.2").crystal.size_m == (2e-4, 1e-4, 1e-4)
    assert config(BASE, "-xtalsize 0.2 --quirk Q40=off").crystal.size_m == (2e-4, 2e-4, 2e-4)
    both = "-xtalsize 0.2 -beamsize 0.15 --quirk Q40=off"
    assert config(BASE, both).crystal.size_m == pytest.approx((2e-4, 1.5e-4, 1.5e-4))


@quirk("Q41")
def _(_folder: Path) -> None:
    assert config(BASE, "-hdivsteps 3").beam.horizontal == Spread(1.0, 1 / 3, 3)
    with pytest.raises(FlagError, match="-hdivsteps 3: expected -hdivrange or -hdivstep too, got neither"):
        config(BASE, "-hdivsteps 3 --quirk Q41=off")
    assert config(BASE, "-vdivsteps 1 --quirk Q41=off").beam.vertical == Spread()
    assert config(BASE, "-hdivsteps 3 -hdivrange 2 --quirk Q41=off").beam.horizontal.count == 3


@quirk("Q42")
def _(_folder: Path) -> None:
    def wavelengths(flags: str) -> list[float]:
        return [1e10 * x for x in experiment(BASE, flags).sources.wavelength.tolist()]

    assert wavelengths("-dispsteps 3") == pytest.approx([1.1])
    assert wavelengths("-dispsteps 3 --quirk Q42=off") == pytest.approx([1.1, 1.1, 1.1])
    assert wavelengths("-dispersion 2 -dispsteps 1") == pytest.approx([1.089, 1.111])
    assert wavelengths("-dispersion 2 -dispsteps 1 --quirk Q42=off") == pytest.approx([1.1])
    assert wavelengths("-dispersion 2 -dispsteps 3 --quirk Q42=off") == pytest.approx([1.089, 1.1, 1.111])


@quirk("Q43")
def _(_folder: Path) -> None:
    values = np.full((8, 8), 3.0, np.float32)
    flags = "-roi 2 3 4 5 -adc 7 -seed 1"
    for mode, outside in (("", 0), ("--quirk Q43=off", 7)):
        made = config(BASE, f"{flags} {mode}")
        images = outputs.integer_pieces(made, values, 2.0), outputs.noise_pieces(made, values, outputs.Counted())
        files = (b"".join(map(bytes, pieces)) for pieces in images)
        exact, noisy = (np.frombuffer(data, "<u2").reshape(8, 8) for data in files)
        for found in (exact, noisy):
            window = np.zeros((8, 8), bool)
            window[4:6, 2:4] = True
            assert set(found[~window].tolist()) == {outside}
            assert found[window].min() >= 7
        assert exact[4, 2] == 13


@quirk("Q44")
def _(_folder: Path) -> None:
    """2^16 phi steps of 16 domains and 4096 sub-pixels are 2^32 terms; dmin spares both programs to sum them."""
    base = BASE.replace("-detpixels 8", "-detpixels 2").replace("-oversample 1", "-oversample 64")
    flags = "-osc 1 -phisteps 65536 -mosaic 1 -mosaic_dom 16 -dmin 1e15"
    assert experiment(base, flags).n_steps == 0
    assert experiment(base, f"{flags} --quirk Q44=off").n_steps == 2**32
    assert experiment(base, flags.replace("16 -dmin", "12 -dmin")).n_steps == 12 * 2**28 - 2**32
    assert np.isnan(image(base, flags)).all()
    assert not image(base, f"{flags} --quirk Q44=off").any()


@quirk("Q46")
def _(folder: Path) -> None:
    fields = {"PIXEL_SIZE": 0.1, "DISTANCE": 100, "CLOSE_DISTANCE": 93.9693, "TWOTHETA": 20}
    write_smv(folder / "own.img", fields)
    found = config("-cell 30 -default_F 1", "-img own.img", folder)
    assert found.detector.twotheta_rad == 0
    assert "TWOTHETA 20 has no effect (Q46)" in found.warnings[0]
    right = config("-cell 30 -default_F 1", "-img own.img --mode spec", folder)
    assert right.detector.twotheta_rad == 20 / RTD
    placed = detector.build_geometry(right, torch.empty(0, dtype=torch.float64))
    assert float(placed.distance_in) == pytest.approx(0.1, rel=1e-6)  # the near point stays 93.9693 mm away
    assert float(placed.close_distance) == pytest.approx(0.0939693, rel=1e-12)
    own = config("-cell 30 -default_F 1", "-img own.img -twotheta 5 --mode spec", folder)
    assert own.detector.twotheta_rad == 5 / RTD


@quirk("Q47")
def _(folder: Path) -> None:
    write_smv(folder / "own.img", {"PIXEL_SIZE": 0.1, "BEAM_CENTER_X": 0.3, "BEAM_CENTER_Y": 0.2})

    def y_beam(flags: str) -> float:
        return float(config("-cell 30 -default_F 1", flags, folder).detector.y_beam_m)  # type: ignore[arg-type]

    assert y_beam("-img own.img") == pytest.approx(0.0002)
    assert y_beam("-mask own.img") == pytest.approx(0.0006)
    assert y_beam("-mask own.img --quirk Q47=off") == pytest.approx(0.0002)
    assert y_beam("-mask own.img -Ybeam 0.5") == pytest.approx(0.0005)


@quirk("Q48")
def _(folder: Path) -> None:
    fields = {"PIXEL_SIZE": 0.1, "DISTANCE": 120, "CLOSE_DISTANCE": 110, "XDS_ORGX": 3.5}
    write_smv(folder / "own.img", fields)
    found = config("-cell 30 -default_F 1", "-img own.img", folder).detector
    assert (found.distance_m, found.close_distance_m, found.orgx_pixels) == (0.11, 0.11, 3.5)
    right = config("-cell 30 -default_F 1", "-img own.img --quirk Q48=off", folder).detector
    assert (right.distance_m, right.close_distance_m, right.orgx_pixels) == (0.12, 0.11, 3.5)


@quirk("Q51")
def _(_folder: Path) -> None:
    flags = "-hkl p1.hkl -xtalsize 0.05"
    base = BASE.replace("-N 5 ", "")
    assert experiment(base, flags).interpolate is True
    assert experiment(base, f"{flags} --quirk Q51=off").interpolate is False
    assert experiment(base, "-hkl p1.hkl --quirk Q51=off").interpolate is True
    assert experiment(base, f"{flags} -interpolate --quirk Q51=off").interpolate is True


@quirk("Q54")
def _(_folder: Path) -> None:
    flags = "-twotheta 20 -spindle_axis 0 1 0"
    assert config(BASE, flags).detector.convention == "CUSTOM"
    assert geometry(flags).initial.twotheta_axis.tolist() == [0.0, 1.0, 0.0]
    right = geometry(f"{flags} --quirk Q54=off")
    assert right.initial.twotheta_axis.tolist() == [0.0, 0.0, -1.0]
    assert right.initial.spindle.tolist() == [0.0, 1.0, 0.0]
    assert right.pix0.tolist() == geometry("-twotheta 20").pix0.tolist()
    assert config(BASE, f"-xds {flags} --quirk Q54=off").detector.convention == "XDS"


@quirk("Q55")
def _(_folder: Path) -> None:
    flags = "-seed -5 -mosaic_seed -6 -misset random -misset_seed -7"
    found = config(BASE, flags)
    assert (found.output.seed, found.crystal.mosaic_seed, found.crystal.misset_seed) == (5, 6, 7)
    right = config(BASE, f"{flags} --quirk Q55=off")
    assert (right.output.seed, right.crystal.mosaic_seed, right.crystal.misset_seed) == (-5, -6, -7)
    # a positive state with an empty table becomes 1
    assert mosaic.draws(replace(found.crystal, misset_seed=None)).domains == mosaic.deviates(1, -1)
    assert mosaic.draws(found.crystal).misset == mosaic.deviates(1, -1)


@quirk("Q57")
def _(folder: Path) -> None:
    (folder / "Fdump.bin").write_bytes(b"".join(fdump_pieces(np.full((3, 3, 3), 9.0), (-1, -1, -1), (2, 2, 2))))
    found = dumped(folder, "-nointerpolate")
    assert found.config.warnings == (
        f"{folder}/Fdump.bin: structure factors are read from it, there is no -hkl (Q57): in the box of its "
        "indices they replace -default_F 1; remove it, or give --quirk Q57=off",
    )
    assert found.grid.values is not None
    assert dumped(folder, "--quirk Q57=off").grid.values is None
    asked = dumped(folder, "--quirk Q57=off --fdump Fdump.bin")
    assert asked.grid.counts == (2, 2, 2)
    assert dumped(folder, f"-hkl {INPUTS}/one.hkl").config.structure.dump_file is None


@quirk("Q58")
def _(_folder: Path) -> None:
    def angles(flags: str) -> list[float]:
        a, b, c = (np.array(one(BASE, f"rot_{n}_angstroms", flags)) for n in "abc")
        pairs = ((b, c), (c, a), (a, b))
        return [math.degrees(math.acos(u @ v / np.linalg.norm(u) / np.linalg.norm(v))) for u, v in pairs]

    assert angles("--quirk Q58=off") == pytest.approx([80.0, 95.0, 105.0], abs=1e-10)
    assert angles("") != pytest.approx([80.0, 95.0, 105.0], abs=1e-2)


@quirk("Q59")
def _(folder: Path) -> None:
    def scan(flags: str) -> tuple[float, float, int]:
        found = config(BASE, flags, folder).scan
        return float(found.phi_step_rad) * RTD, found.osc_rad * RTD, found.phi_steps

    write_smv(folder / "back.img", {"OSC_RANGE": -0.1})
    right = "--quirk Q59=off"
    assert scan("-osc -1 -phisteps 10") == pytest.approx((0.1, 1.0, 10))
    assert scan(f"-osc -1 -phisteps 10 {right}") == pytest.approx((-0.1, -1.0, 10))
    assert scan("-osc -1") == (0.0, 0.0, 1)
    assert scan(f"-osc -1 {right}") == pytest.approx((-0.5, -1.0, 2))
    assert scan("-img back.img") == (0.0, 0.0, 1)
    assert scan(f"-img back.img {right}") == pytest.approx((-0.05, -0.1, 2))
    assert scan(f"-img back.img -osc 1 {right}") == pytest.approx((0.5, 1.0, 2))
    assert scan(f"-phistep -0.2 -phisteps 5 {right} --quirk Q32=off") == pytest.approx((-0.2, -1.0, 5))
    assert scan(f"-osc -1 -phistep -0.3 {right}") == pytest.approx((-0.3, -1.0, 4))
    assert np.array_equal(image(BASE, "-phi 10 -osc -1 -phisteps 10"), image(BASE, "-phi 10 -osc 1 -phisteps 10"))
    back = image(BASE, f"-phi 10 -osc -1 -phisteps 4 {right}")
    each = [image(BASE, f"-phi {10 - 0.25 * step}") for step in range(4)]
    assert back == pytest.approx(sum(each) / 4, rel=1e-9)
    with pytest.raises(FlagError) as caught:
        scan(f"-osc 1 -phistep -0.1 {right}")
    assert str(caught.value) == "-osc and -phistep: expected one sense of rotation, got one above and one below 0"
    with pytest.raises(FlagError, match=r"-phisteps 5: expected -osc or -phistep too, got one below 0 \(Q59\)"):
        scan("-osc -1 -phisteps 5 --quirk Q32=off")


@quirk("Q67")
def _(tmp_path: Path) -> None:
    last = config(BASE, "-curved_det --quirk Q35=off")
    assert not last.detector.curved
    assert last.warnings == ("-curved_det: has no effect as the last word, as in the reference (Q67)",)
    assert config(BASE, "-curved_det 1").detector.curved
    assert config(BASE, "-curved_det -phi 3").detector.curved
    right = config(BASE, "-curved_det --quirk Q67=off")
    assert right.detector.curved
    assert "Q67" not in " ".join(right.warnings)
