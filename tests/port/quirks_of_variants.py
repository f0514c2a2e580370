"""Quirks that other programs have than the reference of the golden cases, and what its own last flags do."""

from pathlib import Path

import numpy as np
import pytest
from quirk_checks import BASE, FLAT, config, experiment, image, quirk

from nanobragg_torch.errors import FlagError, InputError
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.physics import mosaic
from nanobragg_torch.physics.generator import Generator
from nanobragg_torch.products import outputs
from nanobragg_torch.scan import simulate
from nanobragg_torch.units import radians


@quirk("Q36")
def _(_folder: Path) -> None:
    for flag in ("-detector_abs", "-detector_thick", "-detector_thicksteps", "-thicksteps"):
        with pytest.raises(FlagError, match=f"{flag}: expected .*, got nothing"):
            config(BASE, flag)
        right = config(BASE, f"{flag} --quirk Q36=off")
        assert right.warnings[0].startswith(f"{flag}: has no effect without its value, as in the reference (Q35)")
        assert right.detector == config(BASE).detector
        with pytest.raises(FlagError):
            config(BASE, f"{flag} --mode spec")
    assert config(BASE, "-detector_thick 300 --quirk Q36=off").detector.sensor.present


@quirk("Q53")
def _(_folder: Path) -> None:
    on = "--quirk Q53=on"

    def misset(flags: str, switch: str = on) -> tuple[object, int | None]:
        crystal = config("-cell 30 40 50 -default_F 1", f"{flags} {switch}").crystal
        return crystal.misset_rad, crystal.misset_seed

    def angles(*degrees: float) -> tuple[object, None]:
        return tuple(map(radians, degrees)), None

    assert misset("-misset random -misset_seed 1234 -N 3 -phi 2") == angles(1234, 0, 3)
    assert misset("-misset 10 20 30 -misset_seed 7 -oversample 1") == angles(7, 0, 1)
    assert misset("-misset_seed 7 -misset 10 20 30") == angles(10, 20, 30)
    assert misset("-misset_seed 1234 -misset random -N 3") == (None, -1234)
    assert misset("-misset random -N 3 -misset_seed 1234") == (None, -1234)
    assert misset("-misset random -misset_seed 5 -point_pixel") == (None, -5)
    assert misset("-misset_seed 5 -dmin 2.5") == angles(5, 0, 2.5)
    assert misset("-misset 1 2 3 -misset_seed random")[0] is None
    assert misset("-N 3", on) == misset("-misset_seed 7 -N 3", "") == (None, None)
    assert misset("-misset random -misset_seed 1234 -N 3 -phi 2", "") == (None, -1234)
    (_folder / "nano.hkl").write_text("0 0 1 7\n")
    found = config(BASE, f"-misset_seed 7 -hkl nano.hkl {on}", _folder).crystal.misset_rad
    assert isinstance(found, tuple)
    assert np.isnan(found[2])  # atof reads the beginning of the name


@quirk("Q61")
def _(folder: Path) -> None:
    on = "--quirk Q61=on"
    bare = "-cell 30 40 50 -default_F 2 -detpixels 4"
    assert config(bare, f"-dump_pixel 5 6 {on}").output.dump_file == Path("5")
    assert config(bare, f"-dump_pixel 5 6 {on}").output.trace_pixel is None
    assert config(bare, f"-trace_pixel 1 2 {on}").output.trace_pixel == (1, 2)
    plain = config(bare, "-dump_pixel 1 2").output
    assert (plain.dump_file, plain.trace_pixel) == (Path("Fdump.bin"), (1, 2))
    stray = folder / "Fdump.bin"
    stray.write_bytes(b"of somebody else")

    def read(flags: str) -> tuple[Path | None, Path]:
        made = parse(f"{bare} {flags}".split(), [folder], dump=stray)
        return made.structure.dump_file, made.output.dump_file

    # the cache is there, is not, and -dump is unknown
    assert read(f"-dump Fdump.bin {on}") == (stray, stray)
    assert read(f"-dump absent {on}") == (None, Path("absent"))
    assert read(f"-dump {on}") == (stray, Path("Fdump.bin"))
    for mode in ("golden", "c-parity", "cctbx-standalone", "hoidn-ref", "bl831-2022"):
        assert read(f"-dump absent --mode {mode}") == (stray, Path("Fdump.bin"))
    assert read("-dump absent --mode bl831-main") == (None, Path("absent"))
    with pytest.raises(InputError, match="-dump absent: expected a file, or -hkl to make it of, found neither"):
        read("-dump absent --mode spec")


@quirk("Q62")
def _(_folder: Path) -> None:
    assert not image(FLAT, "-detector_thick 300 --quirk Q62=on").any()
    assert image(FLAT, "-detector_thick 300").all()
    given = "-detector_thick 300 -detector_abs"
    for depth in ("50", "-50"):
        mu = config(FLAT, f"{given} {depth} --quirk Q62=on").detector.sensor.mu_per_m
        assert mu == pytest.approx(1e6 / float(depth))
    assert config(FLAT, f"{given} -50").detector.sensor.mu_per_m == pytest.approx(1e6 / 300)
    assert np.array_equal(image(FLAT, f"{given} 50 --quirk Q62=on"), image(FLAT, f"{given} 50"))


@quirk("Q63")
def _(_folder: Path) -> None:
    flags = "-misset random -seed 5 -misset_seed 9 -mosaic 1 -mosaic_dom 3 -scale 1 -noisefile n --quirk Q63=on"
    given = config(BASE.replace("-default_F 1", "-default_F 100"), flags)
    assert given.crystal.misset_seed == given.output.seed == -5
    again = Generator()
    assert mosaic.draws(given.crystal).misset.tolist() == mosaic.deviates(1, -5, again).tolist()
    state = again.seed
    mosaic.deviates(3, -12345678, again)
    assert state == mosaic.draws(given.crystal).seed > 0
    again.start(state)
    assert outputs.noise_of(given, 1).generator.uniforms(9).tolist() == again.uniforms(9).tolist()

    def noise(flags: str) -> bytes:
        exp = experiment(BASE.replace("-default_F 1", "-default_F 3000"), flags)
        made = np.full((8, 8), 6.0)
        assert simulate.start(exp).exp is exp
        return b"".join(map(bytes, outputs.noise_pieces(exp.config, made, outputs.noise_of(exp.config, 64))))

    seeds, other = "-seed 5 -noisefile n", "--quirk Q63=on"
    assert noise(f"-misset random -mosaic_dom 2 -mosaic 1 {seeds} {other}") != noise(f"-misset random {seeds} {other}")
    assert noise(f"{seeds} {other}") == noise(f"-misset random -misset_seed 3 {seeds}")
    clock = config(BASE, "-misset random --quirk Q63=on")
    assert clock.crystal.misset_seed == clock.output.seed
    assert f"-seed {-clock.output.seed} repeats this run (Q63)" in " ".join(clock.warnings)


@quirk("Q65")
def _(_folder: Path) -> None:
    bare = "-cell 30 40 50 -default_F 1"
    size = "-detpixels_x 20 -detpixels_y 30"
    detector = config(bare, f"{size} --quirk Q65=on").detector
    assert (detector.pixels_fast, detector.pixels_slow) == (1024, 1024)
    detector = config(bare, f"-detpixels_f 7 {size} --quirk Q65=on").detector
    assert (detector.pixels_fast, detector.pixels_slow) == (7, 1024)
    detector = config(bare, size).detector
    assert (detector.pixels_fast, detector.pixels_slow) == (20, 30)


@quirk("Q66")
def _(_folder: Path) -> None:
    water = "-water 20 -phi 1 -osc 1 -phisteps 3 -oversample 2 -default_F 0.0001 --quirk Q27=off"
    usual = image(BASE, water)
    for factors in ("-oversample_omega", "-oversample_polar", "-oversample_omega -oversample_polar"):
        assert image(BASE, f"{water} {factors}") == pytest.approx(usual, rel=1e-3)
    escaped = image(BASE, f"{water} -oversample_omega --quirk Q66=on")
    # 0.1 mm pixels at 100 mm: a solid angle of 1e-6
    assert escaped == pytest.approx(1e6 * usual, rel=1e-3)
    thick = f"{water} -detector_thick 100 -detector_abs 200 -thicksteps 3"
    layers, last = image(BASE, f"{thick} -oversample_thick"), image(BASE, thick)
    # 3 layers 50 um apart: the sum of what they absorb, and what the last one does
    assert layers / last == pytest.approx(np.full((8, 8), 1 + np.exp(0.25) + np.exp(0.5)), rel=1e-3)
    escaped = image(BASE, f"{thick} -oversample_thick --quirk Q66=on")
    assert escaped == pytest.approx(usual, rel=1e-6)
    plain = water.replace(" --quirk Q27=off", "")
    for off in ("Q27", "Q30", "Q26 Q27", "Q26 Q27 Q30"):  # without a switch -oversample_ nothing escapes
        others = " ".join(f"--quirk {quirk}=off" for quirk in off.split())
        assert image(BASE, f"{plain} {others} --quirk Q66=on") == pytest.approx(
            image(BASE, f"{plain} {others}"), rel=1e-12
        )
    empty = "-oversample_thick -water 20 --quirk Q27=off"
    assert image(BASE, f"{empty} --quirk Q66=on").all()
    assert not image(BASE, empty).any()
