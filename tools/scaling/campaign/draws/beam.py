"""The flags of the beam and of the scan: dose, polarization, spread of directions and wavelengths, sources, phi."""

from tools.scaling.campaign.draws.case import Draft
from tools.scaling.campaign.draws.dice import Dice

_UNUSED = ("-dispersion 1", "-dispsteps 3", "-hdivrange 1", "-hdivsteps 3", "-vdivrange 2", "-vdivsteps 2",
           "-hdivstep 0.7", "-vdivstep 0.6", "-divergence 3", "-divsteps 4")  # fmt: skip


def draw_beam(draft: Draft) -> None:
    _dose(draft)
    _polarization(draft)
    if draft.dice.chance(0.12):
        _source_file(draft)
        if draft.dice.chance(0.15):  # not used beside it
            for text in draft.dice.some(_UNUSED, 0.4):
                draft.add(text)
    else:
        _dispersion(draft)
        _divergence(draft)
    dice = draft.dice
    draft.maybe(0.12, f"-water {dice.of(dice.number(1, 20), dice.number(1, 100), '1e4')}")
    # of reflections half way to the edge of the detector
    spacing = 2 * sorted(draft.edges_a)[1] / max(draft.reach, 0.1)
    near = f"{spacing * dice.real(0.4, 1.5):.4g}"
    draft.maybe(0.15, f"-dmin {dice.of(near, near, near, near, dice.number(1.5, 8), dice.of('0.1', '1e3', '-1'))}")


def _dose(draft: Draft) -> None:
    dice = draft.dice
    kind = dice.whole(0, 19)
    if kind < 3:
        draft.add("-fluence", "0" if dice.chance(0.04) else dice.of(dice.power(20, 30), dice.power(10, 32)))
    elif kind < 6:
        draft.add("-flux", dice.power(8, 14))
        draft.maybe(0.7, f"-exposure {dice.of(dice.number(0.01, 5), '0.1', '0', '-1')}")
        draft.maybe(0.7, f"-beamsize {dice.of(dice.number(0.001, 0.3), '0.1')}")
    elif kind < 8:
        draft.add(dice.of("-exposure 0.1", "-beamsize 0.05", "-beamsize 0", "-beamsize -1", "-flux 0 -exposure 2"))


def _polarization(draft: Draft) -> None:
    dice = draft.dice
    if dice.chance(0.35):
        draft.add("-polar", dice.of(dice.number(-1, 1), dice.number(0.8, 1), "1", "0", "0.93", "0.93"))
        if dice.chance(0.02):
            draft.add("-polar 3")  # the factor may be below 0
            draft.quiet = True
    elif dice.chance(0.15):
        draft.add(*dice.order(["-nopolar", *dice.some(["-polar 0.5"], 0.2)]))


def _dispersion(draft: Draft) -> None:
    dice = draft.dice
    if not dice.chance(0.22):
        draft.maybe(0.02, dice.of("-dispersion 0", "-dispsteps 1"))
        return
    width = dice.of(dice.number(0.05, 3), dice.number(0.05, 3), "0.1", "150")
    count = draft.count(dice.of(2, 3, dice.whole(2, 6)))
    if count >= 3 or (count == 2 and dice.chance(0.4)):
        draft.add(*dice.order([f"-dispersion {width}", f"-dispsteps {count}"]))
    elif count == 2:
        draft.add("-dispersion", dice.of(width, f"{width} -dispsteps 1"))


def _divergence(draft: Draft) -> None:
    """Each direction by the half-given options of semantics D6."""
    dice = draft.dice
    if dice.chance(0.06) and draft.left >= 4:
        edge = draft.count(dice.whole(2, 4))
        edge = edge if draft.count(edge) == edge and edge > 1 else 0
        if edge:
            early = dice.of("-hdivrange 1 -vdivsteps 3", "-vdivrange 2 -hdivsteps 3") if dice.chance(0.2) else ""
            draft.add(early, f"-divergence {dice.number(0.1, 5)} -divsteps {edge}")
    elif dice.chance(0.25):
        for axis in dice.some(("h", "v"), 0.7):
            _axis(draft, axis)
    else:
        draft.maybe(0.03, dice.of("-hdivrange 0", "-hdivsteps 1 -hdivrange 0", "-divergence 0 -vdivstep 1"))
    draft.maybe(0.1, dice.of("-round_div", "-square_div", "-square_div"))


def _axis(draft: Draft, axis: str) -> None:
    dice = draft.dice
    width = dice.real(0.1, 5)
    count = draft.count(dice.of(2, 3, dice.whole(2, 5)))
    if count < 2:
        return
    name, steps, step = f"-{axis}divrange {width:.4f}", f"-{axis}divsteps {count}", f"-{axis}divstep"
    kind = dice.whole(0, 9)
    if kind < 4 or count > 2:
        if dice.chance(0.25):  # so many steps of a given size reach the range, or are as wide
            within = dice.of(0.0, dice.real(0.2, 0.8))
            width = width if within else float(count * dice.of(1, 2, 3))
            draft.add(f"-{axis}divrange {width:.4f}", f"{step} {width / (count - within):.4f}")
        else:
            draft.add(*dice.order([name, steps]))
    elif kind < 6:
        draft.add(dice.of(name, f"{name} -{axis}divsteps 1"))
    elif kind < 8:
        draft.add(f"{step} {width:.4f}", dice.of("", f"-{axis}divsteps 7"))
    elif kind < 9 and draft.on("Q41"):
        draft.add(steps)  # over one radian
    else:
        draft.add(name, steps, f"{step} {width / (count - 1):.4f}")


def _source_file(draft: Draft) -> None:
    """Lines of X Y Z weight wavelength, columns may be missing; odd ones only where it is said how they are read."""
    dice = draft.dice
    count = draft.count(dice.of(1, 2, 3, dice.whole(2, 8)))
    rows = [_source(dice, draft.wavelength_a) for _ in range(count)]
    lines = [dice.of(" ", " ", "\t", ", ", " ; ", ":", "  ").join(row) for row in rows]
    if dice.chance(0.15):
        lines[0] = f" {lines[0]} "
    if dice.chance(0.1):
        lines.insert(dice.whole(0, len(lines)), "")
    text = "\n".join(lines) + "\n"
    if not draft.quirks.strict("Q12") and dice.chance(0.5):
        text = _odd(draft, lines, rows)
    draft.add("-sourcefile", draft.file(("sources.txt", "beam.src"), text.encode("ascii")))


def _source(dice: Dice, wavelength: float) -> list[str]:
    """A source about ten metres up the beam of MOSFLM, XDS or neither."""
    spread = [dice.real(-0.2, 0.2) for _ in range(2)]
    place = dice.of([-10.0, *spread], [*spread, -10.0], [-9.0, 3.0, spread[0]])
    columns = [f"{value:.6g}" for value in place]
    columns += [dice.of("1", f"{dice.real(0.1, 3):.3f}"), f"{wavelength * dice.real(0.97, 1.03):.6f}e-10"]
    return columns[: dice.of(5, 5, 5, 5, 5, 4, 4, 3, 3, 2, 1)]


def _odd(draft: Draft, lines: list[str], rows: list[list[str]]) -> str:
    """Comments and line ends that the reference reads as sources and zeros (Q12); the pixels may be NaN."""
    dice, whole = draft.dice, all(len(row) == 5 for row in rows)
    text = "\n".join(lines)
    if draft.on("Q12") and draft.tricubic and draft.listed:
        # a wavelength of 0 makes indices that are no number: the reference may crash when it interpolates there
        return text + "\n"
    if draft.on("Q12") and not (whole and dice.chance(0.5)):
        draft.quiet = True
        if draft.left >= 2:
            draft.count(2)  # one source more
            text = dice.of("# X Y Z weight wavelength\n" + text, text + "\n# the end", text)
    elif not draft.on("Q12"):
        text = dice.of("# X Y Z\n" + text, text + " # last", text.replace("\n", "\r\n"), text)
    return text + dice.of("", "\n", "\r\n")


def draw_scan(draft: Draft) -> None:
    """phi by the half-given options of semantics D5; phi of exactly 0 and sweeps through it come often (Q29)."""
    dice = draft.dice
    if draft.swept or dice.chance(0.55):
        draft.maybe(0.15, f"-phi {dice.of(dice.number(-180, 180), '90', '-90', '0')}")
        return
    start = dice.of(dice.number(-30, 30), "0", "0", "-1", "-0.5", dice.number(-180, 180))
    draft.maybe(0.8, f"-phi {start}")
    count = draft.count(dice.of(2, 2, 3, 4, dice.whole(2, 10)))
    width = dice.of(dice.number(0.1, 3), "1", "2", "0.5")
    kind = dice.whole(0, 19)
    if count < 2:
        draft.add(dice.of(f"-osc {width} -phisteps 1", "-osc 1 -phisteps 0", "-phisteps 1", "-osc -1"))
    elif kind < 10 or (count > 2 and kind < 14):
        draft.add(*dice.order([f"-osc {width}", f"-phisteps {count}"]))
    elif kind < 12:
        draft.add("-osc", width)
    elif kind < 14:
        draft.add("-phistep", width, dice.of("", "-phisteps 5") if draft.on("Q32") else "")
    elif kind < 16:
        if dice.chance(0.3):  # as wide as so many steps
            draft.add(f"-osc {0.25 * count} -phistep 0.25")
        else:
            draft.add(f"-osc {width} -phistep {float(width) / (count - dice.real(0.1, 0.9)):.4f}")
    elif kind < 18 and draft.on("Q32"):
        draft.add("-phisteps", str(count))
    elif kind < 19:
        draft.add(f"-osc {width} -phistep {dice.of('0', width)} -phisteps {count}")
    else:
        draft.add(f"-osc -{width} -phisteps {count if draft.on('Q32') else 1}")
