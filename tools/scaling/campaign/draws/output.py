"""The flags of what is written and printed, and those that change nothing."""

from tools.scaling.campaign.draws.case import Draft

# Without a value at the end of the command line these are passed over (Q35).
_LAST = (
    "-fudge", "-polar", "-oversample", "-lambda", "-distance", "-roi 0 1", "-misset 1", "-osc", "-scale", "-adc",
    "-fdet_vector 1 0", "-mosaic_dom", "-water", "-hdivsteps", "-Xbeam", "-default_F", "-N", "-xtalsize",
)  # fmt: skip
# any of them may stand in any command line whose sub-pixels are counted
_MORE = (
    "-mosflm", "-adxv", "-denzo", "-xds", "-dials", "-pivot beam", "-pivot sample", "-Xbeam 3", "-Ybeam 2", "-Xclose 4",
    "-Yclose 5", "-ORGX 7", "-ORGY 8.5", "-detector_rotx 2", "-detector_roty -3", "-detector_rotz 10", "-twotheta 4",
    "-square_xtal", "-round_xtal", "-fudge 1.1", "-Na 4", "-Nb 5", "-Nc 6", "-N 3", "-sample_x 1e-5", "-width 1e-5",
    "-misset 3 -5 8", "-misset_seed 9", "-mosaic_seed 4", "-density 1", "-spindle_axis 0 1 0", "-polar_vector 0 1 0",
    "-curved_det 1", "-polar 0.3", "-nopolar", "-fluence 1e25", "-flux 1e12", "-exposure 0.5",
    "-beamsize 0.2", "-water 2", "-dmin 1.5", "-phi 3", "-square_div", "-round_div", "-stolout s.out", "-coherent",
    "-default_F 20", "-scale 2", "-adc 30", "-nonoise", "-nopgm", "-nointerpolate",
    "-floatfile f2.bin", "-intfile i2.img",
)  # fmt: skip
_CRASHING = ("-detector_abs", "-detector_thick", "-detector_thicksteps", "-thicksteps")
# documented, but no flags of the program: their values, and whether they mean something without Q35
_IGNORED = (
    ("-hdiv 1", True), ("-vdiv 1", True), ("-polarization 0.7", True), ("-xdet_vector 0 0 1", True),
    ("-ydet_vector 0 -1 0", True), ("-zdet_vector 1 0 0", True),
    ("-detsize_x 12", False), ("-detsize_y 9", False), ("-dispstep 0.3", False), ("-detector_thickstep 9", False),
    ("-source_distance 10000", False), ("-source_dist 1000", False),
)  # fmt: skip


def draw_output(draft: Draft) -> None:
    dice = draft.dice
    draft.add("-seed", dice.of(str(dice.whole(1, 10**6)), str(dice.whole(1, 10**6)), "0", "-5"))
    _files(draft)
    draft.maybe(0.15, f"-scale {dice.of(dice.number(0.1, 10), dice.power(-6, 6), '0', '-1')}")
    draft.maybe(0.15, f"{draft.spell('-adc', '-adcoffset')} {dice.of(dice.number(0, 100), '0', '40.5', '1e5')}")
    _printed(draft)
    _inert(draft)


def _files(draft: Draft) -> None:
    dice = draft.dice
    draft.maybe(0.3, f"{draft.spell('-floatfile', '-floatimage')} {dice.of('float.bin', 'f.out')}")
    draft.maybe(0.2, f"{draft.spell('-intfile', '-intimage')} {dice.of('int.img', 'i.out')}")
    if draft.quiet:
        draft.add("-nonoise -nopgm")
        return
    # of -nonoise and -noisefile the last one counts
    noise = dice.some(["-nonoise", f"{draft.spell('-noisefile', '-noiseimage')} {dice.of('noise.img', 'n.out')}"], 0.45)
    draft.add(*dice.order(noise))
    pgm = dice.some(["-nopgm", f"{draft.spell('-pgmfile', '-pgmimage')} {dice.of('p.pgm', 'look.pgm')}"], 0.4)
    if dice.chance(0.15):
        pgm.append(f"-pgmscale {dice.of(dice.number(0.1, 10), dice.power(-6, 6), '0')}")
    draft.add(*dice.order(pgm))


def _printed(draft: Draft) -> None:
    """A trace or a print of a pixel that is rendered for certain."""
    pixel = _rendered(draft)
    if pixel is not None:
        slow, fast = pixel
        name = draft.spell("-trace_pixel", "-dump_pixel") if not draft.on("Q61") else "-trace_pixel"
        draft.maybe(0.1, f"{name} {slow} {fast}")
        draft.maybe(0.03, f"-printout_pixel {fast} {slow}")
    draft.maybe(0.02, "-printout")


def _rendered(draft: Draft) -> tuple[int, int] | None:
    """A pixel (slow, fast) inside the region of interest; with a mask the middle one, which none of ours covers."""
    dice, roi = draft.dice, draft.roi
    if draft.masked:
        return (draft.slow // 2, draft.fast // 2) if roi is None else None
    if roi is None:
        return dice.whole(0, draft.slow - 1), dice.whole(0, draft.fast - 1)
    inside = 0 <= roi[0] <= min(roi[1], draft.fast - 1) and 0 <= roi[2] <= min(roi[3], draft.slow - 1)
    return (roi[2], roi[0]) if inside else None


def _inert(draft: Draft) -> None:
    dice = draft.dice
    if dice.chance(0.03):
        name = dice.of("-stol", "-4stol", "-Q")
        draft.add(name, draft.file(("water.stol",), b"0.01 2.5\n0.05 2.4\n0.1 2.2\n"))
    draft.maybe(0.02, "-coherent")
    draft.maybe(0.02, "-stolout stol.out")
    listed = draft.listed and not any(group[0] in ("-dump", "--fdump") for group in draft.groups)
    if listed and (draft.on("Q61") or "Q61" in draft.quirks.chosen):  # without these a name of the port's own
        draft.maybe(0.15, "-dump cache.bin")
    if dice.chance(0.07):
        for text, means in dice.order(_IGNORED)[: dice.of(1, 1, 3)]:
            if draft.on("Q35") or (means and draft.on("Q03")):
                draft.add(text)


def draw_more(draft: Draft) -> None:
    """Now and then flags that have nothing to do with the rest, so that any two meet; none makes the case dearer."""
    dice = draft.dice
    if draft.fixed and dice.chance(0.12):
        for text in dice.some(dice.order(_MORE)[:4], 0.7):
            if draft.on("Q54") or text not in ("-mosflm", "-adxv", "-denzo", "-xds", "-dials"):
                draft.add(text)


def last_word(draft: Draft) -> tuple[str, ...]:
    """Now and then a flag whose values are missing, which must be the last one."""
    dice = draft.dice
    if not dice.chance(0.015) or not draft.on("Q35"):
        return ()
    if not draft.on("Q36") and dice.chance(0.5):
        return (dice.of(*_CRASHING),)
    return tuple(dice.of(*_LAST).split())
