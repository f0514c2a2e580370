"""What a case is held against: each check takes the scene of a case and returns its verdict.

Relations that need no reference are in relations.py.
"""

from collections.abc import Callable
from dataclasses import replace
from math import inf, isnan
from operator import attrgetter

from tools.scaling.campaign.measure import RELATIVE, Within, compared, unasked
from tools.scaling.campaign.record import Status, Verdict
from tools.scaling.campaign.scene import Scene
from tools.scaling.campaign.traced import trace

Pixel = tuple[int, int]  # slow, fast on the detector

TERMS = 2000  # of a case that the oracle computes, one number at a time
MOST_PIXELS = 2**16  # of an image that a reference is asked for
PIXELS = 4  # most pixels that it is asked for


def flags(scene: Scene) -> Verdict:
    """The settings that the port reads of the command line and its files, against the oracle's own reading."""
    from tools.scaling.oracle.reading.command import read_command
    from tools.scaling.oracle.reading.fields import computed, differing
    from tools.scaling.oracle.uncovered import Uncovered

    try:
        expected = read_command(scene.drawn.flags, scene.folder)
    except Uncovered as error:
        return unasked("flags", str(error))
    found = differing(scene.config, expected)
    for name, value in computed(expected).items():
        if not found and (ours := attrgetter(name)(scene.config)) != value:
            found = [f"{name}: {ours} against {value}"]
    if not found:
        return Verdict("flags", Status.ok)
    return Verdict("flags", Status.differs, "; ".join(found[:3]), label=found[0].partition(":")[0])


def compiled(scene: Scene) -> Verdict:
    """The compiled kernel against the torch path."""
    verdict = compared("compiled", scene, scene.definition, scene.compiled, ("the torch path", "the kernel"))
    if verdict.status is not Status.differs:
        return verdict
    if verdict.pixel is None or not _sides_with_kernel(scene, verdict.pixel):
        return replace(verdict, label="kernel")
    from tools.scaling.campaign.divergence import first_divergence

    label = first_divergence(scene.config, verdict.pixel) or "torch path"
    return replace(verdict, says=f"{verdict.says}; the oracle is on the kernel's side", label=label)


def _sides_with_kernel(scene: Scene, pixel: Pixel) -> bool:
    """Whether the oracle's value of a pixel is nearer to the kernel's than to that of the torch path."""
    from tools.scaling.oracle.uncovered import Uncovered

    if scene.oracle.terms > TERMS:
        return False
    try:
        known = scene.oracle.one(*pixel).value
    except Uncovered:
        return False
    place = pixel[0] - scene.roi.slow_min, pixel[1] - scene.roi.fast_min
    kernel, torch_path = (_apart(float(image[place]), known) for image in (scene.compiled, scene.definition))
    return kernel < torch_path


def oracle(scene: Scene) -> Verdict:
    """Some pixels of the torch path against the oracle's: the first, the brightest, and others at random."""
    from tools.scaling.campaign.divergence import first_divergence
    from tools.scaling.oracle.uncovered import Uncovered

    try:
        places = _places(scene)
        known = {place: scene.oracle.one(*scene.on_detector(place)) for place in places}
    except Uncovered as error:
        return unasked("oracle", str(error))
    if not places:
        return unasked("oracle", f"no pixel, or more than {TERMS} terms in one")
    worst, off = 0.0, None
    for place, value in known.items():
        relative = _apart(float(scene.definition[place]), value.value)
        beyond = relative > RELATIVE and not abs(float(scene.definition[place]) - value.value) <= value.bound
        if beyond and (off is None or relative >= worst):
            off = place
        worst = max(worst, relative)
    if off is None:
        return Verdict("oracle", Status.ok, worst=worst)
    slow, fast = pixel = scene.on_detector(off)
    ours, theirs = float(scene.definition[off]), known[off].value
    says = f"pixel {slow} {fast}: the oracle has {theirs:.17g}, the port {ours:.17g}"
    label = first_divergence(scene.config, pixel)
    return Verdict("oracle", Status.differs, says, pixel, label, _apart(ours, theirs))


def _apart(ours: float, theirs: float) -> float:
    """|ours - theirs| over |theirs|; 0 for two NaN and for equal infinities, infinite for one NaN."""
    if ours == theirs or (isnan(ours) and isnan(theirs)):
        return 0.0
    relative = abs(ours - theirs) / abs(theirs) if theirs else inf
    return inf if isnan(relative) else relative


def _places(scene: Scene) -> list[Pixel]:
    """Places of the region of interest that the oracle is asked for: as many as its budget allows, up to PIXELS."""
    image = scene.definition
    count = min(PIXELS, TERMS // max(scene.oracle.terms, 1), image.numel())
    if count == 0:
        return []
    dice, columns = scene.dice("oracle"), image.shape[1]
    brightest = int(image.nan_to_num(0.0).abs().flatten().argmax())
    chosen = [brightest, 0, *(dice.randrange(image.numel()) for _ in range(PIXELS))]
    return [divmod(index, columns) for index in list(dict.fromkeys(chosen))[:count]]


def device(scene: Scene) -> Verdict:
    """The port on another device or in another type, in the pixels in which the oracle knows what rounding can do."""
    from tools.scaling.oracle.uncovered import Uncovered

    how = scene.how
    if not scene.asked("device", 3):
        return unasked("device", "asked of one seed in 3")
    if scene.edge_on:
        return unasked("device", "the detector is seen edge on: rounding alone makes the solid angle")
    eps = 2.0**-23 if how.dtype == "float32" else 2.0**-52
    try:
        known = {place: scene.oracle.one(*scene.on_detector(place), eps=eps) for place in _places(scene)[:2]}
    except Uncovered as error:
        return unasked("device", str(error))
    image = scene.render(scene.prepared(scene.config, how.device, how.dtype)).double().cpu()
    worst = 0.0
    for place, value in known.items():
        ours, expected = float(image[place]), float(scene.definition[place])
        distance = abs(ours - expected)
        worst = max(worst, distance / abs(expected) if expected else 0.0)
        if distance > value.bound + 1000 * eps * abs(expected):
            slow, fast = scene.on_detector(place)
            says = f"pixel {slow} {fast}: {how.dtype} on {how.device} has {ours:.9g}, float64 {expected:.9g}"
            return Verdict("device", Status.differs, says, (slow, fast), how.dtype, worst)
    return Verdict("device", Status.ok, worst=worst)


def outputs(scene: Scene) -> Verdict:
    """What the port writes and prints of its image, against what the oracle makes of the same image."""
    import numpy as np

    from nanobragg_torch.cli.facts import result_lines
    from nanobragg_torch.products.outputs import make_outputs
    from nanobragg_torch.products.statistics import statistics
    from nanobragg_torch.scan.simulate import start
    from tools.scaling.oracle.uncovered import Uncovered
    from tools.scaling.oracle.writing.outputs import expected_files, expected_lines, unlike

    if not scene.asked("outputs", 2):
        return unasked("outputs", "asked of one seed in 2")
    image = np.zeros((scene.config.detector.pixels_slow, scene.config.detector.pixels_fast))
    roi = scene.roi
    image[roi.slow_min : roi.slow_max + 1, roi.fast_min : roi.fast_max + 1] = scene.definition.numpy()
    try:
        expected = expected_files(scene.config, image.tolist(), scene.oracle)
        known = expected_lines(scene.config, image.tolist(), scene.oracle)
    except Uncovered as error:
        return unasked("outputs", str(error))
    run = start(scene.exp)
    measured = statistics(run, image)
    made = make_outputs(run, image, measured, scene.config.output.dump_file)
    ours = {str(path): b"".join(bytes(piece) for piece in pieces) for path, pieces in made.files.items()}
    kinds = {str(value): f"output.{name}" for name, value in vars(scene.config.output).items() if name.endswith("file")}
    for name in {**expected, **ours}:
        if said := unlike(name, ours.get(name, b""), expected.get(name, b"")):
            return Verdict("outputs", Status.differs, said, label=kinds[name])
    for line, right in zip(result_lines(measured)[1:], known):
        if line != right:
            return Verdict("outputs", Status.differs, f"expected '{right}', printed is '{line}'", label="printed")
    return Verdict("outputs", Status.ok)


def reference(scene: Scene) -> Verdict:
    """The float image of the implementation that the campaign is held against, started for this case."""
    from nanobragg_torch.errors import FlagError, InputError
    from tools.scaling.campaign.divergence import first_divergence
    from tools.scaling.campaign.generator import understood
    from tools.scaling.implementations.difference import followed
    from tools.scaling.implementations.make import unable
    from tools.scaling.implementations.run import ran, read_image

    program = scene.how.against
    if program is None:
        return unasked("reference", "no implementation is given")
    flags = understood(scene.drawn.flags, program.variant)
    if flags is None:
        return unasked("reference", f"{program.variant} would not read this command line as the port does")
    if missing := unable(program, replace(scene.case, flags=flags)):
        return unasked("reference", missing)
    try:
        config = scene.parsed(*followed(program))
    except (FlagError, InputError) as error:
        return unasked("reference", f"refused as {program.variant}: {error}")
    if config.detector.pixels_fast * config.detector.pixels_slow > MOST_PIXELS:
        return unasked("reference", f"many pixels as {program.variant}")  # -detpixels_x has no effect with Q65
    roi = config.detector.rendered
    files = [scene.folder / name for name in scene.drawn.files]  # also a dump of -dump, which is not only read
    with ran(program, flags, scene.case.folders, None, beside=files) as run:
        full = read_image(program, run, (config.detector.pixels_slow, config.detector.pixels_fast))
    window = full[roi.slow_min : roi.slow_max + 1, roi.fast_min : roi.fast_max + 1]
    ours = scene.definition if program.variant == "golden" else scene.render(scene.prepared(config))
    verdict = compared("reference", scene, window, ours, (program.name, "the port"), Within.single)
    label = first_divergence(config, verdict.pixel) if verdict.pixel else ""
    return replace(verdict, label=label)


CHECKS: dict[str, Callable[[Scene], Verdict]] = {
    each.__name__: each for each in (flags, compiled, oracle, device, trace, outputs, reference)
}
