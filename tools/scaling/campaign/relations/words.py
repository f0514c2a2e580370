"""Command lines that say the same in other words give the same settings."""

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tools.scaling.campaign.relations.pair import DoesNotHold, Readings, changed, relation
from tools.scaling.campaign.scene import Scene

if TYPE_CHECKING:
    from nanobragg_torch.config import Config
    from nanobragg_torch.flags.record import Flag

Group = tuple[str, ...]  # a flag and its values

DIGITS = 1e-5  # of a length: a header has six digits of it
SWAPS = 30
HEADER = "relation.img"


def _groups(scene: Scene) -> list[Group]:
    from tools.scaling.campaign.generator import grouped

    return grouped(scene.drawn.flags)


def _row(group: Group) -> "Flag | None":
    from tools.scaling.campaign.generator import flag_of

    return flag_of(group[0])


def _without(groups: Sequence[Group], *names: str) -> list[Group]:
    """The groups but for those of the flags of these names, whatever their spelling."""
    rows = [_row((name,)) for name in names]
    return [group for group in groups if _row(group) not in rows]


def _read(scene: Scene, groups: Sequence[Group]) -> "Config":
    from nanobragg_torch.flags.parse import parse

    words = [word for group in groups for word in group]
    return parse(words, folders=[scene.folder], dump=next(iter(scene.beside), None))


def _both(scene: Scene, known: Sequence[Group], ours: Sequence[Group]) -> Readings:
    """The settings of two command lines; a seed that the clock gives counts nothing."""
    given = {_row(group) for group in known}
    seeds = {"-seed": ("output.seed", "crystal.misset_seed"), "-misset_seed": ("crystal.misset_seed",)}
    clock = [field for name, fields in seeds.items() if _row((name,)) not in given for field in fields]
    names = _shown(known, ours), _shown(ours, known)
    return Readings(names, _read(scene, known), _read(scene, ours), besides=tuple(clock))


def _shown(groups: Sequence[Group], others: Sequence[Group]) -> str:
    """What the one command line has and the other has not, or in another order."""
    own = [" ".join(group) for group in groups if group not in others]
    return " ".join(own) if own else "the command line in its order"


@relation(10)
def other_spellings(scene: Scene, dice: random.Random) -> Readings:
    """Every spelling of a flag is the same flag."""
    groups = _groups(scene)
    return _both(scene, groups, [(_respelled(scene, group, dice), *group[1:]) for group in groups])


def _respelled(scene: Scene, group: Group, dice: random.Random) -> str:
    row, quirks = _row(group), scene.config.quirks
    if row is None or "=" in group[0]:
        return group[0]
    names = [name.rstrip("*") for name in row.names.split()]
    if quirks.on("Q65"):
        names = [name for name in names if name not in ("-detpixels_x", "-detpixels_y")] if group[0] in names else names
    if quirks.on("Q61") and "-dump_pixel" in names:
        return group[0]
    own = [name for name in names if _row((name,)) is row]
    return dice.choice(own) if own and not (quirks.on("Q65") and group[0].endswith(("_x", "_y"))) else group[0]


@relation(10)
def flags_of_several(scene: Scene, dice: random.Random) -> Readings:
    """A flag for several axes is the flags of each of them."""
    more = dice.choice((("-N", "5"), ("-divergence", "2.5"), ("-xtalsize", "0.02"), ("-detsize", "3")))
    groups = [more, *_groups(scene)]  # where others of the command line follow, these count
    return _both(scene, groups, [part for group in groups for part in _parts(group)])


def _parts(group: Group) -> list[Group]:
    """A flag of several axes as the flags of each; any other as it is."""
    names = next((names for name, names in _SEVERAL.items() if _row((name,)) is _row(group)), None)
    # without its value a flag has no effect, and its parts would take each other for theirs
    return [(name, *group[1:]) for name in names.split()] if names and len(group) > 1 else [group]


_SEVERAL = {
    "-N": "-Na -Nb -Nc",
    "-xtalsize": "-xtal_x -xtal_y -xtal_z",
    "-detsize": "-detsize_f -detsize_s",
    "-detpixels": "-detpixels_f -detpixels_s",
    "-divergence": "-hdivrange -vdivrange",
    "-divsteps": "-hdivsteps -vdivsteps",
}


@relation(8)
def order_of_flags(scene: Scene, dice: random.Random) -> Readings:
    """Flags that give different things can be given in any order."""
    groups = _groups(scene)
    if scene.config.quirks.on("Q53") and any(group[0] == "-misset_seed" for group in groups):
        raise DoesNotHold("-misset_seed takes the words behind it (Q53)")
    port = [group for group in groups if group[0].startswith("--")]  # the reference does not see them
    mixed = [group for group in groups if group not in port]
    for _ in range(SWAPS if len(mixed) > 2 else 0):
        at = dice.randrange(len(mixed) - 2)  # the last word stays: some flags are passed over there
        one, other = _given(mixed[at]), _given(mixed[at + 1])
        if one is not None and other is not None and not one & other:
            mixed[at : at + 2] = mixed[at + 1], mixed[at]
    return _both(scene, groups, [*port, *mixed])


def _given(group: Group) -> set[Any] | None:
    """What a flag gives, to itself or to the flags around it; None where its words are not told from what follows."""
    from nanobragg_torch.flags.table import Given
    from nanobragg_torch.flags.values import MAYBE_NUMBER

    row = _row(group)
    if row is None or (row.kind not in (None, MAYBE_NUMBER) and len(group) == 1):
        return None
    found: set[Any] = {*row.fields, *(row.sets or ())}
    also: dict[Any, tuple[Any, ...]] = {
        Given.mu: (Given.thick,),
        Given.twotheta_axis: (Given.twotheta, Given.pivot),
        Given.misset_seed: (Given.misset,),
        Given.trace_pixel: (Given.dump_file,),
    }
    for field in row.fields:
        found.update(also.get(field, ()))
    return found


@relation(12)
def energy_is_wavelength(scene: Scene, dice: random.Random) -> Readings:
    """-energy E is -lambda 12398.42/E."""
    energy = f"{dice.uniform(4000.0, 30000.0):.6g}"
    wavelength = repr(12398.42 / float(energy))
    groups = _without(_groups(scene), "-lambda", "-energy")
    return _both(scene, [("-energy", energy), *groups], [("-lambda", wavelength), *groups])


@relation(12)
def flux_is_fluence(scene: Scene, dice: random.Random) -> Readings:
    """-flux, -exposure and -beamsize make a fluence: photons over the beam's area."""
    flux, exposure, size = f"{dice.uniform(1, 9):.4g}e11", f"{dice.uniform(0.1, 3):.4g}", f"{dice.uniform(0.01, 1):.3g}"
    beam = float(size) / 1000.0
    fluence = repr(float(flux) * float(exposure) / beam / beam)
    groups = _without(_groups(scene), "-flux", "-fluence", "-exposure", "-beamsize")
    made: list[Group] = [("-exposure", exposure), ("-beamsize", size)]
    return _both(scene, [("-flux", flux), *made, *groups], [("-fluence", fluence), *made, *groups])


def _has_header(scene: Scene) -> bool:
    groups = _groups(scene)
    return len(_without(groups, "-img", "-mask")) < len(groups)


@relation(12)
def size_is_pixels(scene: Scene, dice: random.Random) -> Readings:
    """-detpixels times -pixel is -detsize."""
    if _has_header(scene):
        raise DoesNotHold("a header says how many pixels there are")
    groups = _without(
        _groups(scene), "-detpixels", "-detpixels_f", "-detpixels_s", "-detsize", "-detsize_f", "-detsize_s"
    )
    counts = [dice.randint(1, 70) for _ in range(2)]
    edge = float(scene.config.detector.pixel_m)
    by_pixels = [(f"-detpixels_{axis}", str(count)) for axis, count in zip("fs", counts)]
    by_size = [(f"-detsize_{axis}", repr(1000.0 * edge * count)) for axis, count in zip("fs", counts)]
    known, ours = (_size(_read(scene, [*size, *groups])) for size in (by_pixels, by_size))
    return Readings((_shown(by_pixels, ()), _shown(by_size, ())), known, ours, slack=1e-9)


def _size(config: "Config") -> dict[str, float]:
    d = config.detector
    widths = {"size_fast_m": d.size_fast_m / d.pixel_m, "size_slow_m": d.size_slow_m / d.pixel_m}
    return {"pixels_fast": d.pixels_fast, "pixels_slow": d.pixels_slow, **{k: float(v) for k, v in widths.items()}}


@relation(12)
def header_read_again(scene: Scene, dice: random.Random) -> Readings:
    """The header of an image, read by -img in the place of the flags, gives the same geometry."""
    from nanobragg_torch.io.load import loaded
    from nanobragg_torch.io.smv import HEADER_BYTES, smv_header
    from nanobragg_torch.products.outputs import header_fields

    del dice
    exp = scene.exp
    if _has_header(scene):
        raise DoesNotHold("there is a header already")
    _check_header(scene)
    written = smv_header(header_fields(exp))
    if len(written) > HEADER_BYTES:
        raise DoesNotHold("the header is longer than it says")
    (scene.folder / HEADER).write_bytes(written)
    placed = ("-distance", "-close_distance", "-Xbeam", "-Ybeam", "-Xclose", "-Yclose", "-ORGX", "-ORGY", "-pivot")
    sized = ("-detpixels", "-detpixels_f", "-detpixels_s", "-detsize", "-detsize_f", "-detsize_s", "-pixel", "-lambda")
    groups = _without(_groups(scene), *placed, *sized, "-energy")
    read = loaded(_read(scene, [("-img", HEADER), *groups]))
    again = scene.prepared(changed(read, detector={"pivot": scene.config.detector.pivot}))  # which no header has
    length = float(exp.geometry.pix0.norm())
    known, ours = (
        {
            **{f"pix0_{axis}": float(x) / length for axis, x in zip("xyz", each.geometry.pix0)},
            "wavelength_m": float(each.config.beam.wavelength_m) / float(scene.config.beam.wavelength_m),
            "pixel_m": float(each.geometry.pixel) / float(exp.geometry.pixel),
        }
        for each in (exp, again)
    )
    return Readings(("the command line", "its own header"), known, ours, slack=DIGITS)


def _check_header(scene: Scene) -> None:
    """Raises DoesNotHold for a geometry that a header does not say."""
    geometry, detector, quirks = scene.exp.geometry, scene.config.detector, scene.config.quirks
    if detector.pivot == "BEAM" and float(detector.twotheta_rad) != 0.0:
        raise DoesNotHold("a header's distances leave twotheta out (Q08)")
    skew = max(abs(float(geometry.odet @ axis)) for axis in (geometry.fdet, geometry.sdet))
    if skew > 1e-9 or quirks.as_given or abs(float(geometry.odet.norm()) - 1.0) > 1e-9:
        raise DoesNotHold("the axes of the detector are not orthogonal")
    if detector.convention in ("XDS", "DIALS") and not quirks.on("Q05"):
        raise DoesNotHold("without Q05 the centre comes from many places")
    rows = detector.pixels_slow * float(detector.pixel_m) / float(detector.size_slow_m)
    if detector.convention == "ADXV" and abs(rows - 1.0) > 1e-9:
        raise DoesNotHold("ADXV counts from an edge that is not that of the last pixel")
    if not 1e-9 < abs(float(geometry.close_distance)) < 1e9:
        raise DoesNotHold("the detector is nowhere")
