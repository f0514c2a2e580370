"""A shrunk case as a folder: a golden case with what the reference says of it, its command line, and why it fails."""

import shlex
import tempfile
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tools.scaling.base.errors import BadInput, ScalingError, why
from tools.scaling.base.files import make_folder, to_ascii, write_json, write_text
from tools.scaling.base.repo import digest
from tools.scaling.campaign.divergence import Pixel, oracle_text, port_trace
from tools.scaling.campaign.failures.groups import RECORD, FailureGroup, ShrunkCase, read_shrunk, signature
from tools.scaling.campaign.failures.shrink import Shrunk, shrink
from tools.scaling.campaign.generator import GENERATOR, draw, grouped
from tools.scaling.campaign.judge import ALL, judge
from tools.scaling.campaign.record import Verdict
from tools.scaling.campaign.scene import How, Scene, scene_of

if TYPE_CHECKING:
    from torch import Tensor

    from nanobragg_torch.config import Config
    from tools.scaling.explain.explanation import Explanation
    from tools.scaling.implementations.describe import Implementation
    from tools.scaling.implementations.make import Maker

T = TypeVar("T")
COMMAND = "command.sh"
_FIRST, _LAST = ("flags", "oracle", "trace", "reference", "outputs"), ("device", "compiled")
ORACLE = "the oracle (tools/scaling/oracle)"
SECONDS = 60.0  # for the trials of a group
GROUPS = 20  # that are shrunk of themselves
TERMS = 1 << 18  # of an image that the oracle computes, one number at a time


def write_shrunk(found: Shrunk, how: How, folder: Path) -> ShrunkCase:
    """Write the new folder `folder`: case.json, input files, float.bin, the trace, the command line and the record.

    Image and trace are those of the implementation that the campaign is held against, where it can be given the case,
    else the oracle's; what cannot be made is left out. The folder appears whole or not at all. Raises BadInput where it
    exists or cannot be written.
    """
    refuse_existing(folder)
    make_folder(folder.absolute().parent)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.absolute().parent) as scratch:
        made = Path(scratch) / folder.name
        made.mkdir()
        for name, content in found.drawn.files.items():
            (made / name).write_bytes(content)
        with scene_of(found.drawn, how) as scene:
            told = _Told(scene, found)
            record = _record(found, folder.name, told)
            for name, data in told.files().items():
                (made / name).write_bytes(data)
            write_json(made / "case.json", told.description(folder.name))
        write_text(made / COMMAND, f"# {record.sentence}\n{record.command}\n")
        write_json(made / RECORD, record.to_dict())
        manifest = [f"{digest(path)}  {path.name}\n" for path in sorted(made.iterdir())]
        write_text(made / "sha256.txt", "".join(manifest))
        made.rename(folder)
    return record


def refuse_existing(folder: Path) -> None:
    """Raise BadInput where `folder` is there already."""
    if folder.exists():
        raise BadInput(f"{folder}: exists already; a shrunk case is never overwritten")


def _record(found: Shrunk, name: str, told: "_Told") -> ShrunkCase:
    words, (drawn, verdict) = found.drawn.flags, found.before
    sentence, cause = told.sentence_and_cause()
    return ShrunkCase(
        signature=signature(verdict, drawn.flags),
        seed=drawn.seed,
        flags=words,
        command=to_ascii(shlex.join(("python", "-m", "nanobragg_torch", *words, *told.mode))),
        sentence=to_ascii(sentence),
        cause=cause,
        folder=name,
        trials=found.trials,
        given=len(grouped(drawn.flags)),
        kept=len(grouped(words)),
    )


class _Told:
    """What the reference says of the shrunk case, as far as it can be asked."""

    def __init__(self, scene: Scene, found: Shrunk) -> None:
        self.scene, self.verdict = scene, found.verdict
        self.program = _able(scene)

    @property
    def mode(self) -> tuple[str, ...]:
        """The flags by which the port follows the program, where it is not golden."""
        return ("--mode", self.program.variant) if self.program and self.program.variant != "golden" else ()

    @cached_property
    def config(self) -> "Config | None":
        """The case as the port reads it where it follows the program; None where it refuses it."""
        return _tried(lambda: self.scene.parsed(*self.mode))

    @cached_property
    def pixel(self) -> Pixel | None:
        """The pixel that the check has named, else the middle of what is rendered."""
        if self.verdict.pixel is not None or self.config is None:
            return self.verdict.pixel
        roi = self.config.detector.rendered
        if roi.slow_max < roi.slow_min or roi.fast_max < roi.fast_min:
            return None
        return (roi.slow_min + roi.slow_max + 1) // 2, (roi.fast_min + roi.fast_max + 1) // 2

    @cached_property
    def maker(self) -> "Maker | None":
        from tools.scaling.implementations.make import BY_DEFAULT, maker

        return None if self.program is None else maker(self.program, self.scene.case, BY_DEFAULT)

    @cached_property
    def trace(self) -> str | None:
        """The reference's trace of the pixel, as a log; None where there is none."""
        from tools.scaling.traces.text import trace_text

        pixel, config, maker = self.pixel, self.config, self.maker
        if pixel is None or config is None:
            return None
        if self.program is not None and self.program.trace is not None and maker is not None:
            return _tried(lambda: trace_text(maker.trace(pixel), "TRACE_C", pixel))
        return _tried(lambda: oracle_text(config, pixel))

    @cached_property
    def image(self) -> "Tensor | None":
        """The reference's image of the region of interest, float32 (slow, fast); None where there is none."""
        return _tried(self._image)

    def _image(self) -> "Tensor | None":
        if self.maker is not None:
            return self.maker.image().pixels.float()
        return None if self.config is None else _oracle_image(self.config)

    def files(self) -> dict[str, bytes]:
        """Image and trace by the names that they have in a golden case."""
        files = {}
        if self.trace is not None and self.pixel is not None:
            files[f"trace_{self.pixel[0]}_{self.pixel[1]}.log"] = self.trace.encode("ascii")
        if self.image is not None:
            files["float.bin"] = self.image.numpy().astype("<f4").tobytes()
        return files

    def description(self, name: str) -> dict[str, object]:
        """The case.json: it names who has made image and trace."""
        traced = ORACLE if self.program is None or self.program.trace is None else self.program.title
        # a golden case reads no dump of structure factors but one that is named
        read = self.config is not None and self.config.structure.dump_file in self.scene.beside
        dump = ("--fdump", self.scene.beside[0].name) if read and "--fdump" not in self.scene.drawn.flags else ()
        return {
            "name": name,
            "flags": to_ascii(shlex.join((*self.scene.drawn.flags, *dump))),
            **({"variant": self.mode[1]} if self.mode else {}),
            "traced_pixels_slow_fast": [list(self.pixel)] if self.trace is not None and self.pixel else [],
            "covers": to_ascii(f"shrunk from seed {self.scene.drawn.seed}: {self.verdict.check}: {self.verdict.says}"),
            "images": [],
            "reference": {
                "float.bin": self.program.title if self.program else ORACLE,
                "trace": traced if self.trace is not None else None,
                "generator": GENERATOR,
                "seed": self.scene.drawn.seed,
                "check": self.verdict.check,
            },
        }

    def sentence_and_cause(self) -> tuple[str, str]:
        """What differs, for a person: by the traces, else by the images, else as the check has it; and the cause."""
        if (explanation := _tried(self._explained)) is not None and explanation.causes:
            # of several the one where the traces part: what has the largest effect may only follow from it
            named = (cause for cause in explanation.causes if cause.quantity == self.verdict.label)
            first = next(named, explanation.causes[0])
            whose = "By the port's own rules, " if first.side == "reference" else ""  # which may be what is wrong
            return f"{whose}{explanation.sentence}", first.quantity
        diagnosed = _tried(self._diagnosed) if self.verdict.check == "reference" else None
        return diagnosed or self.verdict.says, self.verdict.label or self.verdict.check

    def _explained(self) -> "Explanation | None":
        from tools.scaling.explain.answer import explain
        from tools.scaling.traces.read import parse_trace

        if self.trace is None or self.config is None or self.pixel is None:
            return None
        reference = parse_trace(self.trace.encode("ascii"), source="the reference")
        return explain(reference, port_trace(self.config, self.pixel), self.config)

    def _diagnosed(self) -> str:
        from tools.scaling.implementations.describe import PORT
        from tools.scaling.implementations.difference import diagnose_difference
        from tools.scaling.implementations.make import BY_DEFAULT, maker

        if self.program is None or self.maker is None:
            return ""
        images = self.maker.image(), maker(PORT, self.scene.case, BY_DEFAULT).image()
        diagnosis = diagnose_difference(self.scene.case, (self.program, PORT), images)
        return diagnosis.sentence if diagnosis is not None and diagnosis.explained else ""


def _able(scene: Scene) -> "Implementation | None":
    """The implementation that the campaign is held against, where it can be given the case."""
    from nanobragg_torch.flags.table import PORT
    from tools.scaling.implementations.make import unable

    program = scene.how.against
    if program is None or scene.beside or any(flag.matches(word) for word in scene.drawn.flags for flag in PORT):
        return None
    return None if unable(program, scene.case) else program


def _oracle_image(config: "Config") -> "Tensor | None":
    import torch

    from tools.scaling.oracle.image import Oracle

    oracle, roi = Oracle(config), config.detector.rendered
    rows, columns = range(roi.slow_min, roi.slow_max + 1), range(roi.fast_min, roi.fast_max + 1)
    if len(rows) * len(columns) * max(oracle.terms, 1) > TERMS:
        return None
    values = [oracle.one(slow, fast).value for slow in rows for fast in columns]
    return torch.tensor(values, dtype=torch.float64).float().reshape(len(rows), len(columns))


def _tried(make: Callable[[], T]) -> T | None:
    """What is made, or None where one of the sides has no answer, or breaks off: a mistake may bring about anything."""
    try:
        return make()
    except Exception:
        return None


def shrink_groups(
    found: Iterable[FailureGroup],
    how: How,
    folder: Path,
    *,
    seconds: float = SECONDS,
    most: int = GROUPS,
    tell: Callable[[str], None] = lambda line: None,
) -> tuple[ShrunkCase, ...]:
    """Shrink one seed of each group into a folder of its own in `folder`; what is there already is kept.

    Groups that differ in the decade alone count as one. seconds: no trial of a group is begun later. most: groups that
    are shrunk, the first of `found`. tell: gets a line before each group, and a line for what cannot be shrunk. Returns
    what `folder` holds then.
    """
    known = {each.signature.kind for each in read_shrunk(folder)}
    kinds: dict[tuple[object, ...], FailureGroup] = {}
    for group in found:
        kinds.setdefault(group.signature.kind, group)
    wanted = [group for kind, group in kinds.items() if kind not in known and group.signature.check in ALL]
    for at, group in enumerate(wanted[:most], 1):
        seed = min(group.seeds, key=lambda seed: len(draw(seed).flags))
        tell(f"shrinking seed {seed} for {group.signature.name} ({at} of {min(len(wanted), most)})")
        try:
            made = shrink_seed(seed, how, group.signature.check, folder / group.signature.name, seconds=seconds)
        except (ScalingError, OSError) as error:
            tell(f"seed {seed} is not shrunk: {why(error)}")
            continue
        if made is None:
            tell(f"seed {seed} does not fail {group.signature.check} when it is judged again")
    if len(wanted) > most:
        more = len(wanted) - most
        are = "group is left as it is" if more == 1 else "groups are left as they are"
        tell(f"{more} more {are}; `campaign shrink SEED` shrinks a seed of them")
    return read_shrunk(folder)


def shrink_seed(seed: int, how: How, check: str, folder: Path, *, seconds: float | None = None) -> ShrunkCase | None:
    """Shrink a seed into the new folder `folder`; None where it does not fail `check`. Raises BadInput."""
    refuse_existing(folder)
    found = shrink(draw(seed), how, check, seconds=seconds)
    return None if found is None else write_shrunk(found, how, folder)


def failing(seed: int, how: How, check: str | None = None) -> tuple[Verdict, ...]:
    """The verdicts of the checks that a seed fails, of `check` alone where it is given; what tells most comes first.

    Raises BadInput for a check that there is not.
    """
    if check is not None and check not in ALL:
        raise BadInput(f"--check {check}: expected one of {', '.join(ALL)}, got another name")
    failures = judge(draw(seed), how, (check,) if check else ()).failures
    return tuple(sorted(failures, key=telling))


def telling(failure: Verdict) -> tuple[int, bool]:
    """The rank of a failure among those of one case: what tells most is first.

    What the flags say comes before what is made of them; the kernel differs wherever the torch path is wrong.
    """
    check, rank = failure.check, len(_FIRST)
    if check in _LAST:
        rank += 1 + _LAST.index(check)
    elif check in _FIRST:
        rank = _FIRST.index(check)
    return rank, not failure.label
