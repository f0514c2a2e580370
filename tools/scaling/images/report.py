"""What a comparison of two images found, and whether that is a PASS: frozen records, JSON.

In JSON, NaN and infinities are the strings "nan", "inf", "-inf"; a figure that does not exist is null.
"""

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from tools.scaling.base.errors import BadInput
from tools.scaling.base.jsonable import jsonable
from tools.scaling.engine.tolerances import DEFAULT_TOLERANCE

if TYPE_CHECKING:
    from tools.scaling.implementations.diagnosis import Diagnosis

SIDES = ("reference", "port")  # what the two images are called where they are of no two programs


@dataclass(frozen=True, slots=True)
class Limits:
    """What the gate asks for.

    tolerance    largest |1 - correlation|, |1 - sum ratio|, |1 - peak ratio|, and relative deviation of a pixel
    outliers     pixels that may be off by more than `tolerance` and more than FREE_STEPS
    displacement pixels that a peak may be displaced by
    """

    tolerance: float = DEFAULT_TOLERANCE
    outliers: int = 0
    displacement: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.tolerance < 1.0:
            raise BadInput(f"expected a tolerance of at least 0 and below 1, got {self.tolerance}")

    @property
    def loosened(self) -> bool:
        """Lets pass what the default would not."""
        return self.tolerance > DEFAULT_TOLERANCE or self.outliers > 0 or self.displacement > 0.0


@dataclass(frozen=True, slots=True)
class Side:
    """One image, over the region compared. minimum, maximum and total are of finite pixel pairs."""

    source: str
    dtype: str
    minimum: float
    maximum: float
    total: float
    nonfinite: int


@dataclass(frozen=True, slots=True)
class PixelPair:
    """A pixel on both sides. rel is abs/|reference|; ulp counts steps of the files' type, None beside a NaN."""

    slow: int
    fast: int
    reference: float
    candidate: float
    abs: float
    rel: float
    ulp: int | None


@dataclass(frozen=True, slots=True)
class Peak:
    """The brightest pixel of its surroundings in the reference, and the brightest of the same ones in the candidate.

    `moved` is (slow, fast) in pixels; None, as `candidate` is, where the candidate has nothing above 0 there.
    """

    slow: int
    fast: int
    reference: float
    candidate: float | None
    moved: tuple[int, int] | None

    @property
    def displacement(self) -> float:
        """Pixels; infinite where the peak is lost."""
        return math.inf if self.moved is None else math.hypot(*self.moved)


@dataclass(frozen=True, slots=True)
class Bin:
    """`count` pixels are from `low` to `high` steps apart, both inclusive."""

    low: int
    high: int
    count: int


@dataclass(frozen=True, slots=True)
class DifferenceKind:
    """A kind of difference, in a word and in a sentence. share: of the differing pixels, that it accounts for."""

    name: str
    text: str
    share: float


@dataclass(frozen=True)
class ImageReport:
    """A comparison of two images of `shape` (slow, fast) over `roi` (slow_min, slow_max, fast_min, fast_max).

    origin       (slow, fast) on the detector of the images' first pixel; all places count from the detector's corner
    kinds        of difference, as far as one is known
    names        of the two sides: of two programs theirs
    diagnosis    which known cause makes the image; None where none was looked for
    pixels       compared, of which `unequal` are not bitwise equal
    max_abs      the pixel that is farthest off, max_rel the relatively farthest; None where all pairs are equal
    worst        the farthest, those that are not finite first; outlying: the relatively farthest beyond the limits
    outliers     how many pixels are beyond the limits
    rmse, correlation, sum_ratio, r, peak_ratio
                 over the finite pairs; None where they do not exist (no pixels, no variance, a sum of 0).
                 r is sum |candidate - reference| / sum |reference|; ratios are candidate/reference
    """

    reference: Side
    candidate: Side
    shape: tuple[int, int]
    roi: tuple[int, int, int, int]
    pixels: int
    unequal: int
    max_abs: PixelPair | None
    max_rel: PixelPair | None
    worst: tuple[PixelPair, ...]
    outlying: tuple[PixelPair, ...]
    outliers: int
    histogram: tuple[Bin, ...]
    rmse: float | None
    correlation: float | None
    sum_ratio: float | None
    r: float | None
    peak_ratio: float | None
    peaks: tuple[Peak, ...]
    limits: Limits
    origin: tuple[int, int] = (0, 0)
    kinds: tuple[DifferenceKind, ...] = ()
    names: tuple[str, str] = SIDES
    diagnosis: "Diagnosis | None" = None

    def told(self, text: str) -> str:
        """`text`, which speaks of the reference and the port, with the names of two programs."""
        for side, name in zip(SIDES, self.names):
            if name != side:
                text = text.replace(f"the {side}", "the candidate" if name == "candidate" else name)
        return text

    def placed_at(self, origin: tuple[int, int]) -> "ImageReport":
        """The same of images that are a window of a detector, which begins at `origin` (slow, fast)."""
        slow, fast = origin

        def moved(pair: PixelPair) -> PixelPair:
            return replace(pair, slow=pair.slow + slow, fast=pair.fast + fast)

        slow_min, slow_max, fast_min, fast_max = self.roi
        return replace(
            self,
            origin=origin,
            roi=(slow_min + slow, slow_max + slow, fast_min + fast, fast_max + fast),
            max_abs=moved(self.max_abs) if self.max_abs else None,
            max_rel=moved(self.max_rel) if self.max_rel else None,
            worst=tuple(map(moved, self.worst)),
            outlying=tuple(map(moved, self.outlying)),
            peaks=tuple(replace(peak, slow=peak.slow + slow, fast=peak.fast + fast) for peak in self.peaks),
        )

    @property
    def roi_in_file(self) -> tuple[int, int, int, int]:
        """`roi` as the rows and columns of the images."""
        (slow, fast), (slow_min, slow_max, fast_min, fast_max) = self.origin, self.roi
        return slow_min - slow, slow_max - slow, fast_min - fast, fast_max - fast

    @property
    def nonfinite(self) -> int:
        """Pixels that are not finite on one side at least."""
        return self.pixels - sum(bin.count for bin in self.histogram)

    @property
    def displacement(self) -> float | None:
        """The largest of all peaks, in pixels; None without a peak."""
        return max((peak.displacement for peak in self.peaks), default=None)

    @property
    def checks(self) -> dict[str, tuple[str, ...]]:
        """What the gate asks for, by name, each with one line for each reason why it says no."""
        lines = {name: tuple(_unfit(side, name)) for side, name in self._sides}
        for name, value in (
            ("correlation", self.correlation),
            ("sum ratio", self.sum_ratio),
            ("peak maximum ratio", self.peak_ratio),
        ):
            lines[name] = tuple(self._not_one(name, value))
        return lines | {"peaks": tuple(self._peak_problems()), "pixels": tuple(self._pixel_problems())}

    @property
    def problems(self) -> tuple[str, ...]:
        """One line for each reason why the gate says no."""
        return tuple(line for lines in self.checks.values() for line in lines)

    @property
    def _sides(self) -> tuple[tuple[Side, str], ...]:
        return ((self.reference, "reference"), (self.candidate, "candidate"))

    def _not_one(self, name: str, value: float | None) -> list[str]:
        if value is None:
            return [f"{name}: expected a number, got none: it does not exist for these images"]
        if abs(1.0 - value) <= self.limits.tolerance:
            return []
        return [f"{name}: expected 1 within {self.limits.tolerance:.0e}, got 1 {value - 1.0:+.3e}"]

    def _pixel_problems(self) -> list[str]:
        allowed = self.limits.outliers
        if self.outliers <= allowed:
            return []
        limit = f"{self.limits.tolerance:.0e} relative"
        text = f"pixels: expected at most {allowed} off by more than {limit}, got {self.outliers}"
        return [text + "".join(f"; {_told(pair)}" for pair in self.outlying[:1])]

    def _peak_problems(self) -> list[str]:
        if not self.peaks:
            return ["peaks: expected at least one in the reference, got none"]
        limit = self.limits.displacement
        moved = [peak for peak in self.peaks if peak.displacement > limit]
        if not moved:
            return []
        first = moved[0]
        where = "is lost" if first.moved is None else "moved by {} {}".format(*first.moved)
        return [
            f"peaks: expected none displaced by more than {limit:g} pixels, got {len(moved)} of {len(self.peaks)}; "
            f"that at {first.slow} {first.fast} {where}"
        ]

    @property
    def passed(self) -> bool:
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready (allow_nan=False): all fields, the verdict and its reasons."""
        verdict = {"passed": self.passed, "problems": list(self.problems), "displacement": self.displacement}
        fields = asdict(replace(self, diagnosis=None))
        data: dict[str, Any] = jsonable(verdict | {"loosened": self.limits.loosened} | fields)
        del data["diagnosis"]
        return data | ({"diagnosis": self.diagnosis.to_dict()} if self.diagnosis else {})


def _unfit(side: Side, name: str) -> list[str]:
    """Why an image is none that a comparison could pass on."""
    lines = []
    if side.nonfinite:
        lines.append(f"{name}: expected finite pixels, got {side.nonfinite} that are NaN or infinite")
    if side.minimum == side.maximum:
        lines.append(f"{name}: expected an image, got {side.minimum:g} in every pixel")
    return lines


def _told(pair: PixelPair) -> str:
    return f"pixel {pair.slow} {pair.fast}: expected {pair.reference:.9g}, got {pair.candidate:.9g}"
