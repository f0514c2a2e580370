"""The flags of what is written and printed, and those that change nothing."""

from tools.scaling.campaign.draws.case import Draft

# Without a value at the end of the command line these are passed over (Q35).
_LAST = (
    "-fudge", "-polar", "-oversample", "-lambda", "-distance", "-roi 0 1", "-misset 1", "-osc", "-scale", "-adc",
    "-fdet_vector 1 0", "-mosaic_dom", "-water", "-hdivsteps", "-Xbeam", "-default_F", "-N", "-xtalsize",
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
    """A trace or a print of a pixel that is rendered for certain: the first of the region, without a mask."""
    dice = draft.dice
    if draft.roi is None and not draft.masked:
        slow, fast = dice.whole(0, draft.slow - 1), dice.whole(0, draft.fast - 1)
        name = draft.spell("-trace_pixel", "-dump_pixel") if not draft.on("Q61") else "-trace_pixel"
        draft.maybe(0.1, f"{name} {slow} {fast}")
        draft.maybe(0.03, f"-printout_pixel {fast} {slow}")
    draft.maybe(0.01, "-printout")


def _inert(draft: Draft) -> None:
    dice = draft.dice
    if dice.chance(0.02):
        name = dice.of("-stol", "-4stol", "-Q")
        draft.add(name, draft.file(("water.stol",), b"0.01 2.5\n0.05 2.4\n0.1 2.2\n"))
    draft.maybe(0.01, "-coherent")
    draft.maybe(0.01, "-stolout stol.out")
    if draft.listed and not any(group[0] in ("-dump", "--fdump") for group in draft.groups):
        draft.maybe(0.03, "-dump cache.bin")  # named, and written at the most
    if dice.chance(0.03):
        text, means = dice.of(*_IGNORED)
        if draft.on("Q35") or (means and draft.on("Q03")):
            draft.add(text)


def last_word(draft: Draft) -> tuple[str, ...]:
    """Now and then a flag whose values are missing, which must be the last one."""
    dice = draft.dice
    if not dice.chance(0.015) or not draft.on("Q35"):
        return ()
    if not draft.on("Q36") and dice.chance(0.5):
        return (dice.of(*_CRASHING),)
    return tuple(dice.of(*_LAST).split())
