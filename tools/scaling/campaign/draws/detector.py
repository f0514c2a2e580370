"""The flags of the detector: its size, where it is, how it is turned, what its pixels are."""

import struct

from tools.scaling.campaign.draws.case import Draft
from tools.scaling.campaign.draws.dice import Dice

_ODD_TILTS = ("90", "-90", "180", "89.9999", "45", "1e-9", "270", "-0.0")


def draw_scale(draft: Draft) -> None:
    """Wavelength, distance, size and number of pixels: such that the edge of the detector has some indices."""
    dice = draft.dice
    wavelength = dice.of(dice.real(0.5, 2.2), dice.real(0.9, 1.3))
    distance = dice.of(dice.real(60, 400), dice.real(60, 400), 100.0)
    kind = dice.whole(0, 29)
    sides = [dice.of(dice.whole(10, 30), dice.whole(10, 30), dice.whole(2, 12)) for _ in range(2)]
    if kind == 0:
        sides = [1, dice.of(1, 20)]
    elif kind == 1:
        sides = [dice.whole(1, 20), 1]
    elif kind < 4:
        sides = [dice.whole(20, 64), dice.whole(20, 64)]
    draft.fast, draft.slow = sides
    indices = dice.of(dice.real(0.5, 3), dice.real(2, 5), dice.real(4, 10))
    edge = sorted(draft.edges_a)[1]
    half = min(distance * wavelength * indices / edge, 2 * distance)
    pixel = 2 * half / max(draft.fast, draft.slow)
    if dice.chance(0.1):
        pixel = dice.of(0.25, 0.5, 1.0, 2.0)
    draft.reach = 0.5 * pixel * max(draft.fast, draft.slow) * edge / (distance * wavelength)
    draft.pixel_mm = float(f"{pixel:.4g}")
    draft.wavelength_a = float(f"{wavelength:.6g}")
    draft.distance_mm = float(f"{distance:.6g}")
    if dice.chance(0.03):
        _extreme(draft)


def _extreme(draft: Draft) -> None:
    """Amounts that no experiment has, together with the pixels that go with them, or without."""
    kind = draft.dice.whole(0, 5)
    if kind == 0:
        draft.distance_mm, draft.pixel_mm = 1e-3, draft.pixel_mm * 1e-3 / draft.distance_mm
    elif kind == 1:
        draft.distance_mm, draft.pixel_mm = 1e6, draft.pixel_mm * 1e6 / draft.distance_mm
    elif kind == 2:
        draft.wavelength_a = draft.dice.of(10.0, 0.02)
    elif kind == 3:
        draft.pixel_mm = draft.dice.of(1e-6, 500.0)
    elif draft.on("Q08"):  # without it a detector that is seen from behind is refused
        draft.distance_mm = -draft.distance_mm
        draft.quiet = True
    draft.pixel_mm = float(f"{draft.pixel_mm:.4g}")


def draw_detector(draft: Draft) -> None:
    _frame(draft)
    _place(draft)
    _tilt(draft)
    draft.maybe(0.08, draft.dice.of("-curved_det", "-curved_det 1", "-curved_det", "-curved_detector"))
    draft.maybe(0.06, "-point_pixel")


def draw_size(draft: Draft) -> None:
    """Pixels of the detector, of which a header or -roi leaves some; the budget is that of those rendered."""
    dice = draft.dice
    header = dice.chance(0.09)
    if dice.chance(0.06) and not header:
        draft.fast, draft.slow = draft.fast + dice.whole(0, 60), draft.slow + dice.whole(0, 60)
        rendered = _window(draft, 24)
    elif dice.chance(0.15):
        rendered = _window(draft, 64)
    else:
        rendered = draft.fast * draft.slow
    draft.left = max(1, draft.left // max(1, rendered))
    if header:
        _headers(draft)
    else:
        _pixels(draft)


def _window(draft: Draft, most: int) -> int:
    """-roi; how many pixels it leaves."""
    dice = draft.dice
    low_f, low_s = dice.whole(0, draft.fast - 1), dice.whole(0, draft.slow - 1)
    high_f = dice.whole(low_f, min(draft.fast - 1, low_f + most - 1))
    high_s = dice.whole(low_s, min(draft.slow - 1, low_s + most - 1))
    if most == 64 and dice.chance(0.15):
        bounds = dice.of(
            (-1, -1, -1, -1), (low_f, low_f, low_s, low_s), (3, 2, 0, draft.slow), (0, draft.fast, 0, draft.slow),
            (0, draft.fast + 9, low_s, draft.slow + 9), (-1, high_f, low_s, -3),
            (draft.fast + 1, draft.fast + 5, 0, 3), (0, high_f, 5, 1),
        )  # fmt: skip
    else:
        bounds = (low_f, high_f, low_s, high_s)
    draft.roi = bounds
    draft.add("-roi", *map(str, bounds))
    low_f, high_f, low_s, high_s = (b if b >= 0 else d for b, d in zip(bounds, (0, draft.fast, 0, draft.slow)))
    wide = min(high_f, draft.fast - 1) - low_f + 1
    high = min(high_s, draft.slow - 1) - low_s + 1
    return max(0, wide) * max(0, high)


def _pixels(draft: Draft) -> None:
    """The number of pixels, by number or by length, and their size."""
    dice, fast, slow = draft.dice, draft.fast, draft.slow
    kind = dice.whole(0, 9)
    early = dice.of("-detpixels 9", "-detsize 8", "-detsize_f 5 -detsize_s 3") if dice.chance(0.06) else ""
    if fast == slow and dice.chance(0.5):
        draft.add(early, "-detpixels", str(fast))
    elif kind < 8:
        x, y = dice.of("-detpixels_x", "-detpixels_f"), dice.of("-detpixels_y", "-detpixels_s")
        if draft.on("Q65"):
            x, y = "-detpixels_f", "-detpixels_s"
            draft.maybe(0.2, "-detpixels_x 7 -detpixels_y 3")
        sides = [(x, str(fast)), (y, str(slow))]
        if early:
            draft.add(early, *sides[0], *sides[1])
        else:
            draft.groups += sides
    elif fast == slow:
        draft.add("-detsize", _length(draft, fast))
    else:
        sides = [("-detsize_f", _length(draft, fast)), ("-detsize_s", _length(draft, slow))]
        if dice.chance(0.1):
            draft.add("-detsize 77", *sides[0], *sides[1])
        else:
            draft.groups += sides
    if not (draft.pixel_mm == 0.1 and dice.chance(0.5)):
        draft.add("-pixel", f"{draft.pixel_mm:.4g}")


def _length(draft: Draft, count: int) -> str:
    """Of `count` pixels and a part of one, up to half a pixel more or less; exactly half a pixel rounds down."""
    part = draft.dice.of(0.0, 0.5, draft.dice.real(-0.45, 0.45)) if count > 1 else 0.0
    return f"{draft.pixel_mm * (count + part):.8g}"


def draw_distance(draft: Draft) -> None:
    """Wavelength and distance, unless a header gives them."""
    dice = draft.dice
    wavelength, distance = f"{draft.wavelength_a:.6g}", f"{draft.distance_mm:.6g}"
    if draft.wavelength_a != 1.0 or dice.chance(0.5):
        name, energy = draft.spell("-lambda", "-wave", "-wavelength"), f"{12398.42 / draft.wavelength_a:.6g}"
        early = dice.of(f"{name} 1.9", "-energy 9000") if dice.chance(0.04) else ""
        draft.add(early, f"-energy {energy}" if dice.chance(0.2) else f"{name} {wavelength}")
    kind = dice.whole(0, 19)
    if kind < 17:
        draft.add("-distance", distance)
    elif kind < 19:
        draft.add("-close_distance", distance)
        draft.quiet = draft.quiet or draft.distance_mm < 0
    else:
        draft.add("-distance", distance)
        draft.add("-close_distance", dice.number(60, 400))


def _frame(draft: Draft) -> None:
    """The convention, or vectors of one's own."""
    dice = draft.dice
    kind = dice.whole(0, 19)
    if kind < 14:
        name = dice.of("-mosflm", "-adxv", "-denzo", "-xds", "-xds", "-dials", "-dials")
        draft.maybe(0.75, name)
    else:
        _vectors(draft)
        # without Q54 the vectors are kept, and may be edge on to the beam of another convention
        draft.maybe(0.1 if draft.on("Q54") else 0.0, dice.of("-mosflm", "-xds", "-adxv"))
    draft.maybe(0.08, f"-pivot {dice.of('beam', 'sample')}")


def _vectors(draft: Draft) -> None:
    """Some of the vectors: the frame of MOSFLM, turned as a whole or by a little, not of length 1."""
    dice = draft.dice
    axes = {"-fdet_vector": (0.0, 0.0, 1.0), "-sdet_vector": (0.0, -1.0, 0.0), "-odet_vector": (1.0, 0.0, 0.0)}
    consistent = dice.chance(0.6) or not draft.on("Q03")
    turn = dice.rotation() if dice.chance(0.3) else None
    if dice.chance(0.6) or (turn is not None and consistent):
        kept = list(axes) if consistent else dice.some(list(axes), 0.7)
        for name in kept:
            vector = [sum(row[i] * axes[name][i] for i in range(3)) for row in turn] if turn else list(axes[name])
            if not consistent:
                vector = [value + dice.real(-0.2, 0.2) for value in vector]
            scale = dice.of(1.0, 1.0, 1.0, 2.0, 0.37)
            draft.add(name, *(f"{scale * value:.9g}" for value in vector))
        draft.tilted = draft.tilted or turn is not None or not consistent
    if turn is not None and consistent:
        draft.add("-beam_vector", *(f"{row[0]:.9g}" for row in turn))
    else:
        draft.maybe(0.35, f"-beam_vector 1 {dice.number(-0.2, 0.2)} {dice.number(-0.2, 0.2)}")
    near, other = (f"{dice.number(-0.3, 0.3)} {dice.number(-0.3, 0.3)} 1", f"{dice.number(-1, 1)} 1 0")
    draft.maybe(0.35, f"-polar_vector {dice.of('0 1 0', near, other)}")
    draft.maybe(0.35, f"-spindle_axis {dice.of('0 1 0', '0 0 -1', near, other)}")
    draft.maybe(0.15, f"-twotheta_axis {dice.of('0 0 1', '0 1 0', '3 0 0', '1 0 0', near)}")
    # where it counts, the detector may not face the crystal, which is refused without Q08
    if dice.chance(0.1) and (draft.on("Q02") or (turn is None and consistent and draft.on("Q08"))):
        corner = [draft.distance_mm, draft.pixel_mm * draft.slow / 2, -draft.pixel_mm * draft.fast / 2]
        name, per = dice.of(("-pix0_vector", 1e-3), ("-pix0_vector_mm", 1.0))
        early = "-pix0_vector 1 0 0" if dice.chance(0.15) else ""
        draft.add(early, name, *(f"{per * value:.8g}" for value in corner))


def _place(draft: Draft) -> None:
    """The beam centre, by the name that the convention knows or by any other."""
    dice = draft.dice
    wide, high, pixel = draft.fast * draft.pixel_mm, draft.slow * draft.pixel_mm, draft.pixel_mm

    def at(length: float) -> str:
        middle = (int(length / pixel / 2) + 0.5) * pixel  # of a pixel: h is 0 there, or a whole number
        inside = dice.number(0, length)
        return dice.of(f"{middle:.9g}", inside, inside, dice.number(-length, 2 * length))

    def index(count: int) -> str:
        return dice.of(str(count // 2 + 1), dice.number(0, count), dice.number(-count, 2 * count))

    kind = dice.whole(0, 19)
    if kind < 9:
        return
    if kind < 14:
        draft.add("-Xbeam", at(wide))
        draft.maybe(0.9, f"-Ybeam {at(high)}")
    elif kind < 16:
        draft.add("-Xclose", at(wide))
        draft.maybe(0.9, f"-Yclose {at(high)}")
    elif kind < 19:
        draft.add("-ORGX", index(draft.fast))
        draft.maybe(0.9, f"-ORGY {index(draft.slow)}")
    else:
        draft.add(*dice.order([f"-Xbeam {at(wide)}", f"-Yclose {at(high)}", f"-ORGX {index(draft.fast)}"]))


def _tilt(draft: Draft) -> None:
    dice = draft.dice
    names = ("-detector_rotx", "-detector_roty", "-detector_rotz")
    if dice.chance(0.3):
        draft.tilted = True
        for name in dice.some(names, 0.7):
            draft.add(name, dice.of(dice.number(-20, 20), dice.number(-20, 20), dice.number(-60, 60)))
    elif dice.chance(0.05) and draft.on("Q08"):  # without it a detector that is edge on is refused
        draft.tilted = draft.quiet = True
        draft.add(dice.of(*names), dice.of(*_ODD_TILTS))
    if dice.chance(0.18):
        draft.tilted = True
        edge_on = "90" if draft.on("Q08") and draft.quiet else "0"
        draft.add("-twotheta", dice.of(dice.number(-20, 20), dice.number(-45, 45), edge_on, "0"))


def draw_sensor(draft: Draft) -> None:
    """Thickness, depth and layers; where the number is not given there are two."""
    dice = draft.dice
    if not dice.chance(0.2):
        draft.maybe(0.03, dice.of("-detector_abs 300", "-thicksteps 5", "-detector_thick 0", "-detector_thick -5"))
        return
    thick, depth = dice.number(50, 1000), dice.of(dice.number(50, 800), dice.number(50, 800), "1e5")
    steps = dice.of(None, dice.whole(1, 5), dice.whole(1, 5), 9)
    if steps is None or steps <= 2:
        if draft.left < 2:
            return
        draft.count(2)
    else:
        steps = max(draft.count(steps), 1)
        if steps == 1:  # becomes two
            return
    draft.add("-detector_thick", thick)
    if dice.chance(0.75):
        depth = depth if dice.chance(0.9) else dice.of("inf", "0", "-50", "1e-3", "infinite")
        draft.add(draft.spell("-detector_abs", "-detector_absorption"), depth)
    if steps is not None:
        draft.add(draft.spell("-detector_thicksteps", "-thicksteps"), str(steps))


def draw_oversampling(draft: Draft) -> None:
    """Sub-pixels: as many as are left; without the flag only where their number is small for certain."""
    dice = draft.dice
    advised = _advised(draft)
    if advised is not None and advised * advised <= draft.left and dice.chance(0.5):
        draft.count(advised * advised)
        draft.maybe(0.1, f"-oversample {dice.of('0', '-1')}")
    else:
        edge = dice.of(1, 1, 1, 2, 2, 3, 4, dice.whole(1, 8))
        while edge * edge > draft.left:
            edge -= 1
        edge = max(edge, 1)
        draft.count(edge * edge)
        draft.fixed = True
        draft.add("-oversample", str(edge))
    names = dice.some(("-oversample_polar", "-oversample_omega"), 0.06)
    layered = any(group[0] == "-detector_thick" for group in draft.groups)
    if dice.chance(0.3 if layered else 0.01):  # without a sensor the image is 0
        names.append("-oversample_thick")
    for name in names:
        draft.add(name)
    if "-oversample_omega" in names and ("-point_pixel",) in draft.groups:
        draft.quiet = True  # factors of 100 on the running sum


def _advised(draft: Draft) -> int | None:
    """How many sub-pixels the program takes along an edge, at the most; None where that is not certain (semantics 3.2).

    Turned detectors have another distance, headers other settings; skew cells have longer axes than edges.
    """
    if draft.tilted or draft.header or draft.distance_mm < 1 or draft.edges_a[0] > 400:
        return None
    longest = 1.3e-10 * max(draft.edges_a) * draft.cells
    spot = 1e-10 * min(draft.wavelength_a, 1.0) * min(draft.distance_mm, 60.0) / draft.pixel_mm
    return int(3.0 * longest / spot) + 1


def _headers(draft: Draft) -> None:
    """-img, -mask or both, whose headers give the size; each keyword of the geometry is there or not."""
    dice = draft.dice
    which = dice.of("img", "mask", "mask", "both")
    draft.header, draft.masked = True, which != "img"
    if which != "mask":
        draft.add("-img", draft.file(("own.img", "frame_001.img"), _smv(draft, [1] * (draft.fast * draft.slow))))
    if which != "img":
        pixels = [int(not dice.chance(0.2)) * dice.of(1, 1, 65535) for _ in range(draft.fast * draft.slow)]
        pixels[draft.slow // 2 * draft.fast + draft.fast // 2] = 1
        draft.add("-mask", draft.file(("mask.img", "bad.smv"), _smv(draft, pixels)))
    if dice.chance(0.6):
        draft.add("-pixel", f"{draft.pixel_mm:.4g}")
    draft.maybe(0.1, f"-detpixels_f {draft.fast}")
    draft.maybe(0.1, f"-detpixels_s {draft.slow}")
    draft.maybe(0.1 if draft.fast == draft.slow else 0.0, f"-detpixels {draft.fast}")
    draft.maybe(0.1, dice.of("-detsize 9", "-detsize_f 4", "-detsize_s 4"))  # the number of pixels counts


def _smv(draft: Draft, pixels: list[int]) -> bytes:
    dice = draft.dice
    wide, high = draft.fast * draft.pixel_mm, draft.slow * draft.pixel_mm
    keywords = [
        f"PIXEL_SIZE={draft.pixel_mm:.4g};",
        f"DISTANCE={draft.distance_mm:.6g};",
        f"CLOSE_DISTANCE={draft.distance_mm * dice.of(1.0, 0.9):.6g};",
        f"WAVELENGTH={draft.wavelength_a:.6g};",
        f"BEAM_CENTER_X={_centre(dice, wide)};",
        f"BEAM_CENTER_Y={_centre(dice, high)};",
        f"XDS_ORGX={_centre(dice, draft.fast)};",
        f"XDS_ORGY={_centre(dice, draft.slow)};",
        f"PHI={dice.number(-5, 5)};",
        f"OSC_START={dice.number(-5, 5)};",
        f"OSC_RANGE={_range(draft)};",
        f"TWOTHETA={dice.of('0', dice.number(-10, 10)) if draft.on('Q46') else '0'};",
    ]
    kept = dice.some(keywords, dice.of(0.3, 0.6, 1.0))
    if dice.chance(0.3):
        kept = dice.order(kept)
    size = dice.of(512, 512, 1024)
    head = ["{", f"HEADER_BYTES={size};", "DIM=2;", "BYTE_ORDER=little_endian;", "TYPE=unsigned_short;"]
    sides = [f"SIZE1={draft.fast};", f"SIZE2={draft.slow};"]
    if draft.fast == draft.slow and dice.chance(0.1):
        sides = ["SIZE1=0;", "SIZE2=0;", f"DETECTOR_DIMENSIONS={draft.fast};"]  # the program takes no SIZE1 for -2^31
    text = "\n".join([*head, *sides, *kept]) + "\n}\f"
    return text.encode("ascii").ljust(size) + struct.pack(f"<{len(pixels)}H", *pixels)


def _range(draft: Draft) -> str:
    """Of a rotation, which makes two phi steps unless it is below 0; draw_scan then draws nothing but its start."""
    dice = draft.dice
    if draft.left < 2 or dice.chance(0.5):
        return "-1"
    draft.swept = True
    draft.count(2)
    return dice.of("0", dice.number(0.1, 2))


def _centre(dice: Dice, length: float) -> str:
    return dice.of(f"{length / 2:.6g}", dice.number(0, length))
