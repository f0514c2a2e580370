"""What a run of a program, and our port in any state of its quirks, answer to one probe."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tools.scaling.base.errors import BadInput, ScalingError
from tools.scaling.implementations.describe import PORT, Implementation
from tools.scaling.implementations.probe_cases import Probe
from tools.scaling.implementations.run import Crashed, Ran, ran, read_image, read_trace
from tools.scaling.implementations.trial import draws_from_clock

if TYPE_CHECKING:
    import numpy as np

    from nanobragg_torch.config import Config
    from nanobragg_torch.scan.summation import Run

SOLID_ANGLE = re.compile(r"solid angle subtended by detector = (\S+)")
PRINTED = 1e-5  # relative: a number printed with %g


@dataclass(frozen=True)
class Seen:
    """values: what was read, None where nothing was. refused: why the program would not run, and whether it crashed.
    unread: why this question cannot be asked of it. rounding: relative, of how the values are printed.
    """

    values: "np.ndarray | None" = None
    refused: str = ""
    crashed: bool = False
    unread: str = ""
    rounding: float = 0.0


def asked_program(program: Implementation, probe: Probe, folder: Path) -> dict[str, Seen]:
    """The answers of one run of `program` with the probe's files in its folder, by what is read."""
    if program is PORT:
        return asked_port(probe, folder, {}, range(int(time.time()), int(time.time()) + 1))[0]
    wanted = [question.reads for question in probe.questions]
    lacking = program.lacking(probe.words)
    if probe.last:
        at = program.command.index("{flags}") + 1
        behind = program.command[at:]
        if behind and not behind[0].startswith("-"):
            lacking = lacking or f"its command has {behind[0]} behind {{flags}}, which must be its last word here"
        program = replace(program, command=(*program.command[: at - 1], *behind, "{flags}"))
    if lacking:
        return {reads: Seen(unread=lacking) for reads in wanted}
    pixel = probe.pixel if program.trace is not None else None
    try:
        with ran(program, probe.words, [folder], pixel, beside=[folder / name for name in probe.files]) as run:
            return {reads: _read(program, probe, run, reads) for reads in wanted}
    except Crashed as error:
        if error.killed:
            return {reads: Seen(unread=f"{error} (killed)") for reads in wanted}
        return {reads: Seen(refused=str(error), crashed=error.signal != "") for reads in wanted}


def _read(program: Implementation, probe: Probe, run: Ran, reads: str) -> Seen:
    import numpy as np

    try:
        if reads == "image":
            return Seen(values=_image_of_any_size(program, probe, run))
        if reads == "integer":
            return Seen(values=_integers((run.folder / "whole.img").read_bytes()), rounding=1.0)
        if reads == "solid angle":
            found = SOLID_ANGLE.search(run.out + run.err)
            if found is None:
                return Seen(unread=f"{program.name}: prints no solid angle")
            return Seen(values=np.array([float(found[1])]), rounding=PRINTED)
        assert probe.pixel is not None
        records = read_trace(program, run, probe.pixel).numbers(reads)
        if not records:
            return Seen(unread=f"{program.name}: traces no {reads}")
        return Seen(values=np.array(records[0].values), rounding=1e-9)
    except FileNotFoundError:
        return Seen(unread=f"{program.name}: writes no integer image")
    except (ScalingError, ValueError) as error:
        return Seen(unread=str(error))


def _image_of_any_size(program: Implementation, probe: Probe, run: Ran) -> "np.ndarray":
    """The float image, of one of the sizes that the probe's detector may have. Raises BadInput for another."""
    refused: BadInput | None = None
    for size in probe.sizes:
        try:
            return read_image(program, run, size).numpy()
        except BadInput as error:
            refused = refused or error
    assert refused is not None
    raise refused


def _integers(data: bytes) -> "np.ndarray":
    import numpy as np

    return np.frombuffer(data[512:], "<u2").astype("f8")


@cache
def _prepared(words: tuple[str, ...], folder: Path) -> "Config | str":
    from nanobragg_torch import NanoBraggError, loaded, parse

    try:
        return loaded(parse(words, [folder], dump=folder / "Fdump.bin"))
    except NanoBraggError as error:
        return str(error)


def asked_port(probe: Probe, folder: Path, states: Mapping[str, bool], seconds: range) -> list[dict[str, Seen]]:
    """What our port answers with these switches, the others being golden's.

    seconds: of the clock; a random orientation that is seeded by it is made for each of them.
    """
    wanted = [question.reads for question in probe.questions]
    switches = [f"--quirk={quirk}={'on' if on else 'off'}" for quirk, on in states.items()]
    config = _prepared((*probe.words, "--mode", "c-parity", *switches), folder)
    if isinstance(config, str):
        return [{reads: Seen(refused=config) for reads in wanted}]
    if not draws_from_clock(config):
        return [_simulated(config, probe)]
    seeded = (replace(config.crystal, misset_seed=-second) for second in seconds)
    return [_simulated(replace(config, crystal=crystal), probe) for crystal in seeded]


def _simulated(config: "Config", probe: Probe) -> dict[str, Seen]:
    import numpy as np
    import torch

    from nanobragg_torch import NanoBraggError
    from nanobragg_torch.scan import simulate
    from nanobragg_torch.scan.experiment import prepare

    seen: dict[str, Seen] = {}
    try:
        with torch.no_grad(), np.errstate(all="ignore"):
            run = simulate.start(prepare(config, device="cpu", dtype=torch.float64))
            for reads in (question.reads for question in probe.questions):
                seen[reads] = Seen(values=_of_port(run, reads, probe))
    except NanoBraggError as error:
        return {question.reads: Seen(refused=str(error)) for question in probe.questions}
    return seen


def _of_port(run: "Run", reads: str, probe: Probe) -> "np.ndarray":
    import numpy as np

    from nanobragg_torch import trace_pixel
    from nanobragg_torch.products.outputs import make_outputs
    from nanobragg_torch.products.statistics import statistics
    from nanobragg_torch.scan.simulate import render_image, render_window

    config = run.exp.config
    if reads == "image":
        return render_image(run, 1).numpy().astype("f4").astype("f8")
    if reads in ("integer", "solid angle"):
        image = render_window(run, 1).numpy()
        measured = statistics(run, image)
        if reads == "solid angle":
            return np.array([measured.solid_angle_sr])
        return _integers(b"".join(map(bytes, make_outputs(run, image, measured).files[config.output.int_file])))
    assert probe.pixel is not None
    return np.array(next(line.values for line in trace_pixel(config, *probe.pixel) if line.name == reads), dtype="f8")


def same(seen: Seen, made: Seen, tolerance: float) -> bool:
    """Whether two answers are the same: both refused, or values within `tolerance` of each other and of the largest."""
    if seen.values is None or made.values is None:
        return bool(seen.refused) and bool(made.refused)
    return seen.values.shape == made.values.shape and not _beyond(seen, made.values, tolerance).any()


def _beyond(seen: Seen, made: "np.ndarray", tolerance: float) -> "np.ndarray":
    import numpy as np

    assert seen.values is not None
    if seen.rounding >= 1.0:
        return np.abs(seen.values - made) > seen.rounding
    share = max(tolerance, seen.rounding)
    finite = np.abs(made[np.isfinite(made)])
    scale = share * float(finite.max()) if finite.size else 0.0
    return ~np.isclose(seen.values, made, rtol=share, atol=scale, equal_nan=True)


def apart(seen: Seen, made: Seen) -> float:
    """The tolerance within which two answers would be the same; infinite where none would do."""
    import numpy as np

    if seen.values is None or made.values is None or seen.values.shape != made.values.shape:
        return np.inf
    finite = np.abs(made.values[np.isfinite(made.values)])
    largest = float(finite.max()) if finite.size else 0.0
    with np.errstate(all="ignore"):
        far = np.abs(seen.values - made.values) / (np.abs(made.values) + largest)
    alike = (seen.values == made.values) | (np.isnan(seen.values) & np.isnan(made.values))
    return float(np.where(alike, 0.0, np.nan_to_num(far, nan=np.inf)).max(initial=0.0))


def differing(seen: Seen, made: Seen, tolerance: float) -> tuple[float, str]:
    """How far two answers are apart, to rank them, and that in words."""
    import numpy as np

    if seen.values is None or made.values is None:
        return 1e9, f"the program: {seen.refused or 'a result'}; our port: {made.refused or 'a result'}"
    if seen.values.shape != made.values.shape:
        return 1e8, f"{seen.values.size} values, expected {made.values.size}"
    count = int(_beyond(seen, made.values, tolerance).sum())
    text = f"{count} of {made.values.size} values differ"
    for values, whose in ((made.values, "our port"), (seen.values, "the program")):
        if odd := int((~np.isfinite(values)).sum()):
            text += f", {odd} are not finite in {whose}"
    with np.errstate(all="ignore"):
        far = np.abs(seen.values / made.values - 1.0)
    worst = float(far[np.isfinite(far)].max(initial=0.0))
    return count + min(worst, 1.0) / 2, text + (f", by up to {worst:.3g} relative" if worst else "")
