"""What a relation says is the same, made from the settings of a case, and how that becomes a verdict.

A relation takes the scene of a case and draws of its own, and returns two images or two settings that have to agree;
it raises DoesNotHold for a case of which it says nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from tools.scaling.campaign.measure import Within, compared, unasked
from tools.scaling.campaign.record import Status, Verdict
from tools.scaling.campaign.scene import Scene

if TYPE_CHECKING:
    import random

    from torch import Tensor

    from nanobragg_torch.config import Config, Roi

Record = TypeVar("Record")
Check = Callable[[Scene], Verdict]

FREE = 1e-9  # a pixel that may be as far off says nothing of how near the port is
TINY = 1e-290  # below it numbers have no digits to be rounded to
EDGE = 5  # pixels along an edge of the part of an image that relations of several images look at


class DoesNotHold(Exception):
    """The relation says nothing of this case, and why."""


@dataclass(frozen=True)
class Images:
    """Two images that have to be the same.

    names: what they are, in words. reference, candidate: (slow, fast) of `roi`, or of the whole region of interest.
    slack: how far apart a pixel may be, as a number or (slow, fast); 0 asks for the same bits. skipped: pixels that
    are not compared. label: what is wrong, where the relation knows.
    """

    names: tuple[str, str]
    reference: "Tensor"
    candidate: "Tensor"
    roi: "Roi | None" = None
    slack: "Tensor | float" = 0.0
    skipped: "Tensor | None" = None
    label: str = ""


@dataclass(frozen=True)
class Readings:
    """Two settings, whole or some of their numbers by name, that have to be equal.

    names: where they are from, in words. slack: how far apart numbers may be. besides: fields that count nothing.
    """

    names: tuple[str, str]
    reference: "Config | dict[str, float]"
    candidate: "Config | dict[str, float]"
    slack: float = 0.0
    besides: tuple[str, ...] = ()


Pair = Images | Readings
Relation = Callable[[Scene, "random.Random"], Pair]

RELATIONS: dict[str, Check] = {}


def relation(one_in: int = 1) -> Callable[[Relation], Relation]:
    """Enter a relation into RELATIONS under its name; it is asked of one seed in `one_in`."""

    def entered(make: Relation) -> Relation:
        name = make.__name__

        @wraps(make)
        def check(scene: Scene) -> Verdict:
            if not scene.asked(name, one_in):
                return unasked(name, f"asked of one seed in {one_in}")
            try:
                pair = make(scene, scene.dice(f"{name} draws"))
            except DoesNotHold as why:
                return unasked(name, str(why))
            return _same_images(name, scene, pair) if isinstance(pair, Images) else _same_settings(name, pair)

        RELATIONS[name] = check
        return make

    return entered


def _same_images(name: str, scene: Scene, pair: Images) -> Verdict:
    import torch

    known, ours = pair.reference.double(), pair.candidate.double()
    if known.shape != ours.shape:
        return compared(name, scene, known, ours, pair.names)
    slack = pair.slack if isinstance(pair.slack, float) and pair.slack == 0.0 else pair.slack + TINY
    near = (ours - known).abs() <= slack
    if pair.skipped is not None:
        known, ours = (x.masked_fill(pair.skipped, 0.0) for x in (known, ours))
    verdict = compared(name, scene, known, torch.where(near, known, ours), pair.names, Within.bits)
    if verdict.status is Status.ok and known.numel():
        free = torch.as_tensor(slack, dtype=known.dtype) > FREE * known.abs()  # rounding decides the value
        apart = ((ours - known).abs() / known.abs()).nan_to_num(0.0, 0.0).masked_fill(free, 0.0)
        return replace(verdict, worst=float(apart.max()))
    if verdict.pixel is not None and pair.roi is not None:
        slow, fast = moved = (
            verdict.pixel[0] - scene.roi.slow_min + pair.roi.slow_min,
            verdict.pixel[1] - scene.roi.fast_min + pair.roi.fast_min,
        )
        at = "at {} {}:".format(*verdict.pixel)
        verdict = replace(verdict, pixel=moved, says=verdict.says.replace(at, f"at {slow} {fast}:"))
    return replace(verdict, label=pair.label) if verdict.status is Status.differs else verdict


def _same_settings(name: str, pair: Readings) -> Verdict:
    found = [each for each in _unlike(pair.reference, pair.candidate, pair.slack) if each[0] not in pair.besides]
    if not found:
        return Verdict(name, Status.ok)
    field, known, ours = found[0]
    says = f"{field}: {pair.names[0]} gives {known!r}, {pair.names[1]} gives {ours!r}"
    return Verdict(name, Status.differs, says, label=field)


def _unlike(known: object, ours: object, slack: float, name: str = "") -> list[tuple[str, object, object]]:
    """(field, its values) where two records differ; what is said to a person counts nothing."""
    if isinstance(known, dict) and isinstance(ours, dict):
        return [each for key, value in known.items() for each in _unlike(value, ours[key], slack, key)]
    if is_dataclass(known) and type(known) is type(ours):
        names = [field.name for field in fields(known) if field.name not in ("warnings", "inputs")]
        return [
            each
            for field in names
            for each in _unlike(getattr(known, field), getattr(ours, field), slack, f"{name}.{field}".lstrip("."))
        ]
    near = isinstance(known, float) and isinstance(ours, float) and abs(known - ours) <= slack
    return [] if near or known == ours or (known != known and ours != ours) else [(name, known, ours)]


def changed(record: Record, **values: Any) -> Record:
    """A copy of `record` with these fields; the value of a field that is a record itself may be a dict of its own."""
    given = {
        name: changed(getattr(record, name), **value) if isinstance(value, dict) else value
        for name, value in values.items()
    }
    return replace(record, **given)  # type: ignore[type-var]


def part_of(scene: Scene, dice: "random.Random", edge: int = EDGE) -> "Roi":
    """A part of the region of interest, at most `edge` pixels along each axis. Raises DoesNotHold where it is empty."""
    from nanobragg_torch.config import Roi

    roi, bounds = scene.roi, []
    for low, high in ((roi.fast_min, roi.fast_max), (roi.slow_min, roi.slow_max)):
        if high < low:
            raise DoesNotHold("no pixel is rendered")
        start = dice.randint(low, max(high - edge + 1, low))
        bounds += [start, min(start + edge - 1, high)]
    return Roi(*bounds)


def within(scene: Scene, window: "Tensor", roi: "Roi") -> "Tensor":
    """The part `roi` of an image of the region of interest."""
    slow, fast = roi.slow_min - scene.roi.slow_min, roi.fast_min - scene.roi.fast_min
    return window[slow : slow + roi.slow_max - roi.slow_min + 1, fast : fast + roi.fast_max - roi.fast_min + 1]


def image_of(scene: Scene, config: "Config") -> "Tensor":
    """The image of `config` by the torch path."""
    return scene.render(scene.prepared(config))
