"""Random mixtures of everything that an image can be made of, as command lines of small images."""

import random

from nanobragg_torch.quirks import TABLE, VARIANTS


class Dice(random.Random):
    def one_of(self, *choices: str) -> str:
        return self.choice(choices)

    def number(self, low: float, high: float) -> str:
        return f"{self.uniform(low, high):.6g}"


def mixture(seed: int) -> list[str]:
    """The flags of mixture `seed`: each feature is there or not, whatever the others are."""
    dice = Dice(seed)
    flags = _base(dice)
    for features, chance in ((_usual(dice), 0.3), (_rare(dice), 0.05)):
        for feature in features:
            if dice.random() < chance:
                flags += feature.split()
    return flags


def _base(dice: Dice) -> list[str]:
    """What every image needs."""
    one_of, number = dice.one_of, dice.number
    cells = [number(20, 90) for _ in range(3)] + one_of("90 90 90", "90 101.3 90", "85 96 107").split()
    flags = ["-cell", *cells, "-lambda", number(0.7, 1.6), "-distance", number(60, 250), "-pixel", number(0.1, 0.9)]
    flags += ["-detpixels_x", str(dice.randint(5, 27)), "-detpixels_y", str(dice.randint(5, 27))]
    flags += one_of("-N 5", "-Na 7 -Nb 1 -Nc 4", "-N 2", "-Na 12 -Nb 9 -Nc 3", "-xtalsize 0.0003").split()
    flags += one_of("-default_F 100", "-hkl p1.hkl", "-hkl p1.hkl -default_F 3").split()
    flags += ["-oversample", one_of("1", "1", "2", "3")]
    return flags


def _usual(dice: Dice) -> tuple[str, ...]:
    one_of, number = dice.one_of, dice.number
    return (
        f"-misset {number(-40, 40)} {number(-40, 40)} {number(-40, 40)}",
        f"-phi {number(-20, 20)} -osc {number(0.1, 3)} -phisteps {dice.randint(1, 4)}",
        f"-mosaic {number(0.1, 2)} -mosaic_dom {dice.randint(1, 5)}",
        f"-hdivrange {number(0.1, 2)} -hdivsteps {dice.randint(1, 3)}",
        f"-vdivrange {number(0.1, 2)} -vdivsteps {dice.randint(1, 3)}",
        f"-dispersion {number(0.1, 3)} -dispsteps {dice.randint(1, 3)}",
        one_of("-round_xtal", "-gauss_xtal", "-tophat_spots"),
        f"-fudge {number(0.5, 1.5)}",
        one_of("-interpolate", "-nointerpolate"),
        f"-dmin {number(1.5, 8)}",
        f"-water {number(1, 20)}",
        "-curved_det",
        "-point_pixel",
        f"-detector_thick {number(50, 500)} -detector_abs {number(100, 500)} -thicksteps {dice.randint(1, 3)}",
        one_of("-oversample_thick", "-oversample_polar", "-oversample_omega"),
        one_of("-oversample_thick -oversample_polar", "-oversample_polar -oversample_omega"),
        one_of("-nopolar", f"-polar {number(-1, 1)}"),
        f"-detector_rotx {number(-10, 10)} -detector_roty {number(-10, 10)} -detector_rotz {number(-10, 10)}",
        f"-twotheta {number(-15, 15)}",
        one_of("-adxv", "-xds", "-dials", "-denzo", "-mosflm"),
        f"-roi {dice.randint(0, 2)} 4 {dice.randint(0, 2)} 4",
        f"--quirk {dice.choice(TABLE).id}={one_of('on', 'off')}",
        f"--quirk {dice.choice(TABLE).id}=off",
    )


def _rare(dice: Dice) -> tuple[str, ...]:
    """Edges of every number, and what few command lines have."""
    one_of, number = dice.one_of, dice.number
    return (
        f"-beam_vector 1 {number(-0.2, 0.2)} {number(-0.2, 0.2)}",
        f"-polar_vector {number(-1, 1)} 1 {number(-1, 1)} -spindle_axis {number(-1, 1)} 1 {number(-1, 1)}",
        one_of("-pivot beam", "-pivot sample"),
        f"-Xbeam {number(-5, 20)} -Ybeam {number(-5, 20)}",
        f"-ORGX {number(-5, 40)} -Yclose {number(-5, 20)}",
        one_of("-sourcefile sources.txt", "-sourcefile sources.txt --quirk Q13=off"),
        one_of("-mat A.mat", f"-misset random -misset_seed {dice.randint(1, 99)}"),
        f"--vectors {one_of('as-given', 'odet', 'beam')}",
        f"--mode {one_of('spec', *VARIANTS)}",
        one_of("-N 1", "-Na 0 -Nb 33 -Nc -4"),
        one_of("-fudge 0", "-fudge 50"),
        one_of("-phi -1 -osc 2 -phisteps 4", "-phi 0 -osc 1 -phisteps 3", "-phi 0 -phistep 0 -phisteps 4 -osc 1"),
        "-mosaic 1 -mosaic_dom 70",
        one_of("-detpixels 1", "-detpixels_x 1"),
        one_of("-detector_roty 90", "-detector_rotx 179", "-twotheta 120", "-distance 1e-7"),
        one_of("-dmin 0.1", "-dmin 1e3"),
        f"-detector_thick 450 -detector_abs {one_of('inf', '-50', '1e-3')} -thicksteps 7",
        "-water 100 " + one_of("-oversample_omega", "-oversample_polar", "-oversample_thick"),
        one_of("-default_F -5", "-default_F 1e100", "-default_F 1e-200"),
        one_of("-hkl one.hkl", "-hkl one.hkl -default_F 2 -interpolate"),
        one_of("-cell 5 5 5 90 90 90", "-cell 1000 10 10 60 60 60", "-lambda 10"),
        one_of("-polar 3", "-roi -1 -1 -1 -1", "-roi 3 3 4 2"),
        "-hdivrange 3 -vdivrange 2 -divsteps 4 " + one_of("-square_div", "-round_div"),
        "-fluence 0",
    )
