"""Bad command lines of the port: words that are no numbers, extremes, unknown flags, missing values, clashing names."""

import shlex
from pathlib import Path
from random import Random

from tools.scaling.studies.inputs.attempt import STILL, Attempt, Kind, still

NUMBER_FLAGS = shlex.split(
    "-distance -close_distance -Xbeam -Ybeam -ORGX -ORGY -twotheta -detector_rotx -detsize -pixel -lambda -energy"
    " -fluence -flux -exposure -beamsize -dispersion -divergence -hdivrange -polar -phi -osc -phistep -mosaic -fudge"
    " -default_F -xtalsize -sample_x -water -dmin -detector_abs -detector_thick -scale -pgmscale -adc"
)
COUNT_FLAGS = shlex.split(
    "-N -Na -Nb -Nc -detpixels -detpixels_f -detpixels_s -oversample -phisteps -mosaic_dom -hdivsteps -vdivsteps"
    " -dispsteps -thicksteps -seed -mosaic_seed"
)
VECTOR_FLAGS = shlex.split(
    "-fdet_vector -sdet_vector -odet_vector -beam_vector -polar_vector -spindle_axis -twotheta_axis -pix0_vector_mm"
)
NO_NUMBER = (
    "", " ", "abc", "1_0", "\u0661\u0662", "0x10", "1,5", "1e", "--", "1.2.3", "5mm", "nan", "1e999", "+-3", "\uff11",
    "1\u00a0", "0b1", "1j", "True", "None", "\x1b[31m7", "7\n8", "$(id)", "%s", "1" * 400 + "x",
)  # fmt: skip
EXTREME = (
    "0", "-0", "-1", "1", "2147483648", "9223372036854775808", "1" + "0" * 30, "-1" + "0" * 30, "1" * 5000,
)  # fmt: skip
EXTREME_REAL = (*EXTREME, "1e-320", "1e-300", "1e300", "-1e300", "1e308", "90", "180", "-90", "360")
MODES = ((), ("--mode", "spec"), ("--mode", "c-parity"))


def no_number(rng: Random, folder: Path) -> Attempt:
    return still(rng.choice(NUMBER_FLAGS + COUNT_FLAGS), rng.choice(NO_NUMBER))


def extreme_number(rng: Random, folder: Path) -> Attempt:
    return still(rng.choice(NUMBER_FLAGS), rng.choice(EXTREME_REAL), *rng.choice(MODES), refused=False)


def extreme_count(rng: Random, folder: Path) -> Attempt:
    return still(rng.choice(COUNT_FLAGS), rng.choice(EXTREME), *rng.choice(MODES), refused=False)


def two_extremes(rng: Random, folder: Path) -> Attempt:
    first, second = rng.sample(NUMBER_FLAGS + COUNT_FLAGS, 2)
    return still(first, rng.choice(EXTREME), second, rng.choice(EXTREME), *rng.choice(MODES), refused=False)


def broken_vector(rng: Random, folder: Path) -> Attempt:
    components = [rng.choice(("0", "1", "-1", "1e300", "1e-300", "x", "nan", "1e-160")) for _ in range(3)]
    refused = "x" in components or "nan" in components
    return still(rng.choice(VECTOR_FLAGS), *components, *rng.choice(MODES), refused=refused)


def zero_vector(rng: Random, folder: Path) -> Attempt:
    flag = rng.choice(["-fdet_vector", "-sdet_vector", "-beam_vector"])
    return still(flag, "0", "0", "0", *rng.choice(MODES))


def broken_cell(rng: Random, folder: Path) -> Attempt:
    cells = (
        "10 10 10 60 60 120", "10 10 10 30 30 120", "10 10 10 90 90 200", "10 10 10 170 170 170", "10 10 10 180 90 90",
        "10 10 10 90 90 x", "0 0 0 90 90 90", "10 10 10 120 120 120.1", "1e300 1e300 1e300", "1e-300 10 10",
    )  # fmt: skip
    return still("-cell", *rng.choice(cells).split(), *rng.choice(MODES), refused=False)


def unknown_flag(rng: Random, folder: Path) -> Attempt:
    letters = "".join(rng.choice("abcdefghijklmnopqrstuvwxyz_") for _ in range(rng.randint(4, 12)))
    return still(rng.choice((f"-zz{letters}", f"--zz{letters}", f"--zz{letters}=1", "-\u03bb", "-", "---", "-\x1b[2J")))


def stray_value(rng: Random, folder: Path) -> Attempt:
    return still(rng.choice(("7", "P1.hkl", "distance", "-5", "1e3")), rng.choice(("8", "x", "-nonoise")))


def value_left_out(rng: Random, folder: Path) -> Attempt:
    return still(
        rng.choice([*VECTOR_FLAGS, "-roi", "-misset", "-lambda", "-hkl"]), *rng.choice(((), ("1",))), refused=False
    )


def region(rng: Random, folder: Path) -> Attempt:
    bounds = [str(rng.choice((-1, 0, 5, 31, 32, 10**9, -(10**9), 10**30))) for _ in range(4)]
    return still("-roi", *bounds, refused=False)


def huge_detector(rng: Random, folder: Path) -> Attempt:
    size = rng.choice(("60000", "100000", "1000000000", "1" + "0" * 30))
    return still("-detpixels", size, *rng.choice(((), ("-roi", "0", "1", "0", "1"), ("-pixel", "1e-9"))), refused=False)


def our_options(rng: Random, folder: Path) -> Attempt:
    words = rng.choice(
        (
            ("--device", "mps"), ("--device", "meta"), ("--device", "xla"), ("--device", "cuda:99"),
            ("--device", "\x1b[31m"), ("--dtype", "int8"), ("--dtype", "float16"), ("--mode", "best"),
            ("--quirk", "Q99=off"), ("--quirk", "Q29"), ("--phi-mode", ""), ("--threads", "0"), ("--threads", "-1"),
            ("--threads", "1_0"), ("--block", "0"), ("--block", "x"), ("--device",), ("--dtype",),
        )
    )  # fmt: skip
    return still(*words)


def many_threads(rng: Random, folder: Path) -> Attempt:
    return still(rng.choice(("--threads", "--block")), rng.choice(("100000", "1" + "0" * 30)), refused=False)


def output_over_input(rng: Random, folder: Path) -> Attempt:
    (folder / "one.hkl").write_text("0 0 0 1\n1 0 0 5\n")
    name = rng.choice(("one.hkl", "./one.hkl", str(folder / "one.hkl")))
    return still("-hkl", "one.hkl", rng.choice(("-floatfile", "-intfile", "-noisefile", "-pgmfile")), name)


def two_outputs(rng: Random, folder: Path) -> Attempt:
    first, second = rng.sample(("-floatfile", "-intfile", "-noisefile", "-pgmfile"), 2)
    return still(first, "same.out", second, rng.choice(("same.out", "./same.out")))


def output_nowhere(rng: Random, folder: Path) -> Attempt:
    (folder / "folder").mkdir()
    name = rng.choice(("no/such/folder/x", "folder", "", "x" * 300, "a\x00b".replace("\x00", "\x01") + "/y"))
    return still("-floatfile", name)


def no_experiment(rng: Random, folder: Path) -> Attempt:
    flags = (
        "-dispersion 200", "-dispersion 300 -dispsteps 3", "-fluence -1", "-flux -1e12", "-water -5", "-N 2.7",
        "-round_xtal -fudge -1", "-flux 1e12 -beamsize 0", "-lambda 0", "-energy -12000", "-pixel 0",
    )  # fmt: skip
    return still(*rng.choice(flags).split(), *rng.choice(MODES))


def another_unit(rng: Random, folder: Path) -> Attempt:
    flags = ("-lambda 12398", "-lambda 1e-10", "-energy 12.4", "-distance 0.1", "-pixel 172", "-detector_thick 0.45")
    return still(*rng.choice(flags).split(), *rng.choice(MODES), refused=False)


def no_crystal(rng: Random, folder: Path) -> Attempt:
    left_out = rng.choice(("-cell", "-default_F"))
    start = STILL.index(left_out)
    return Attempt((*STILL[:start], *STILL[start + (7 if left_out == "-cell" else 2) :]))


KINDS: dict[str, Kind] = {
    "a word where a number belongs": no_number,
    "an extreme number": extreme_number,
    "an extreme count": extreme_count,
    "two extremes": two_extremes,
    "a vector that is none": broken_vector,
    "a vector of length 0": zero_vector,
    "a cell that cannot be": broken_cell,
    "an unknown flag": unknown_flag,
    "a value that no flag takes": stray_value,
    "a value left out at the end": value_left_out,
    "a region outside the detector": region,
    "a detector that does not fit": huge_detector,
    "an option of ours": our_options,
    "more threads than cores": many_threads,
    "an output that is an input": output_over_input,
    "two outputs of one name": two_outputs,
    "an output that cannot be opened": output_nowhere,
    "what no experiment has": no_experiment,
    "a number in another unit": another_unit,
    "no crystal": no_crystal,
}
