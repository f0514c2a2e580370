"""Quirks of what is read: flags, headers, lists, seeds."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_cases import INPUTS
from quirk_checks import (
    BASE,
    config,
    experiment,
    geometry,
    image,
    quirk,
    sources,
    write_smv,
)

from nanobragg_torch.config import Spread
from nanobragg_torch.errors import FlagError, InputError
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.io.fdump import fdump_pieces
from nanobragg_torch.io.load import loaded
from nanobragg_torch.physics import detector, mosaic
from nanobragg_torch.scan.experiment import Experiment, prepare
from nanobragg_torch.units import RTD

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


def dumped(folder: Path, flags: str = "") -> Experiment:
    read = loaded(parse(f"{BASE} {flags}".split(), [folder], dump=folder / "Fdump.bin"))
    return prepare(read, device="cpu", dtype=torch.float64)


@quirk("Q07")
def _(folder: Path) -> None:
    write_smv(folder / "own.img", {"PIXEL_SIZE": 0.1, "DISTANCE": 100, "CLOSE_DISTANCE": 100})
    found = config("-cell 30 -default_F 1", "-img own.img -distance 500", folder)
    assert float(detector.build_geometry(found, torch.empty(0)).distance) == pytest.approx(0.1)
    assert "-distance: has no effect, the header's CLOSE_DISTANCE wins (Q07)" in found.warnings
    right = config("-cell 30 -default_F 1", "-img own.img -distance 500 --quirk Q07=off", folder)
    assert float(detector.build_geometry(right, torch.empty(0)).distance) == pytest.approx(0.5)
    for both in ("-close_distance 300 -distance 500", "-distance 500 -close_distance 300"):
        typed = config("-cell 30 -default_F 1", f"-img own.img {both} --quirk Q07=off", folder)
        assert (typed.detector.distance_m, typed.detector.close_distance_m) == (0.5, 0.3)  # as without a header


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


@quirk("Q35")
def _(tmp_path: Path) -> None:
    """Every documented form is in test_flags.py."""
    assert config(BASE, "-hdiv 2").beam.horizontal == Spread()
    assert config(BASE, "-hdiv 2 --quirk Q35=off").beam.horizontal == config(BASE, "-hdivrange 2").beam.horizontal
    assert config(BASE, "-phi 3 -fluence").beam == config(BASE).beam
    with pytest.raises(FlagError, match="^-fluence: expected a number, got nothing$"):
        config(BASE, "-phi 3 -fluence --quirk Q35=off")


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
    assert mosaic.draws(replace(found.crystal, misset_seed=None)).domains.tolist() == mosaic.deviates(1, -1).tolist()
    assert mosaic.draws(found.crystal).misset.tolist() == mosaic.deviates(1, -1).tolist()


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
