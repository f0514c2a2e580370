# ruff: noqa: E741 -- l is a Miller index
"""The reference's image, one pixel at a time, in plain floats, from its specification (semantics 2 to 6, variants 3).

What a pixel inherits from those before it in scan order is found without computing them: whether there was an
evaluation (Q29), and whether tricubic interpolation is still on (Q25).

Where the port raises an error for a Config, the oracle computes what C would. Not covered, which raises Uncovered: a
pixel at infinity, as on a curved detector that is exactly edge-on to the beam.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from nanobragg_torch.config import Config
from tools.scaling.oracle.arithmetic import nearest
from tools.scaling.oracle.crystal import Turned
from tools.scaling.oracle.trace import TracedWalk, geometry_lines
from tools.scaling.oracle.walk import Setup, Walk

EPS = 2.0**-52

W = TypeVar("W", bound=Walk)

Pixel = tuple[int, int]  # slow, fast


@dataclass
class Value:
    """I_pixel_final, and how far rounding can move it (10.1)."""

    value: float
    bound: float


class _Before:
    """What the pixels before one have left, found by a scout that goes on from where it was last asked.

    lit: the first pixel with an evaluation; off: the pixel that ends interpolation; doubt: the first pixel in which
    rounding may decide one of the two. None: not met so far.
    """

    def __init__(self, setup: Setup, pixels: Iterator[Pixel], eps: float) -> None:
        self.setup, self.pixels, self.walk = setup, pixels, Walk(setup, False, eps)
        self.tricubic = setup.tricubic and not self.walk.every_term_alone
        self.next: Pixel | None = next(pixels, None)
        self.lit: Pixel | None = None
        self.off: Pixel | None = None
        self.doubt: Pixel | None = None

    def reach(self, pixel: Pixel) -> None:
        """Scout all before `pixel`, as far as there is anything to find."""
        while self.next is not None and self.next < pixel and (self.tricubic or self.lit is None):
            self._scout(self.next)
            if self.walk.doubt and self.doubt is None:
                self.doubt = self.next
            self.next = next(self.pixels, None)

    def _scout(self, pixel: Pixel) -> None:
        setup, walk, (slow, fast) = self.setup, self.walk, pixel
        for layer in range(setup.layers):
            for at in range(setup.over * setup.over):
                sub_slow, sub_fast = divmod(at, setup.over)
                walk.aim(layer, slow * setup.over + sub_slow, fast * setup.over + sub_fast)
                for index in range(len(setup.sources)):
                    if not walk.scatter(index):
                        continue
                    axes = walk.turned()
                    if self.lit is None:
                        self.lit = pixel
                    if not self.tricubic:
                        return
                    if self._ends(axes):
                        self.tricubic, self.off = False, pixel
                        return

    def _ends(self, axes: list[Turned]) -> bool:
        """Whether a term of this evaluation lies outside the window of the list."""
        walk, (x, y, z), listed = self.walk, self.walk.q, self.setup.listed
        (h_low, h_high), (k_low, k_high), (l_low, l_high) = listed.surely
        for a1, a2, a3, b1, b2, b3, c1, c2, c3 in axes:
            h, k, l = hkl = a1 * x + a2 * y + a3 * z, b1 * x + b2 * y + b3 * z, c1 * x + c2 * y + c3 * z
            if h_low < h < h_high and k_low < k < k_high and l_low < l < l_high:
                continue
            lacks, doubtful = listed.outside(hkl, walk.moves)
            walk.doubt = walk.doubt or doubtful
            whole = nearest(h), nearest(k), nearest(l)
            if lacks and not (self.setup.dry and walk.spot.at(hkl, whole, walk.moves)[0] == 0.0):
                return True
        return False


class Oracle:
    """The image of a Config whose files are read already. terms: of a pixel."""

    def __init__(self, config: Config) -> None:
        self.config, self.setup = config, Setup(config)
        self.terms = self.setup.terms
        detector = config.detector
        roi = detector.roi
        self.slow, self.fast = range(detector.pixels_slow), range(detector.pixels_fast)
        if roi is not None:
            self.slow = range(max(roi.slow_min, 0), min(roi.slow_max + 1, detector.pixels_slow))
            self.fast = range(max(roi.fast_min, 0), min(roi.fast_max + 1, detector.pixels_fast))
        self._before: dict[float, _Before] = {}

    def rendered(self, slow: int, fast: int) -> bool:
        """Whether the pixel is in the region of interest and not masked out (4.8)."""
        mask = self.config.detector.mask
        return slow in self.slow and fast in self.fast and (mask is None or bool(mask[slow, fast]))

    def one(self, slow: int, fast: int, eps: float = EPS) -> Value:
        """The pixel, and how far rounding with the unit `eps` can move it: infinitely, where it decides a choice."""
        if not self.rendered(slow, fast):
            return Value(0.0, 0.0)
        return Value(*self._started(Walk, slow, fast, eps).pixel(slow, fast))

    def trace(self, slow: int, fast: int) -> list[str]:
        """The lines of the reference's trace of a pixel, in its names, units and order (8)."""
        lines = [*geometry_lines(self.setup), f"TRACE_CONFIG: tracing pixel (spixel={slow}, fpixel={fast})"]
        if self.rendered(slow, fast):
            walk = self._started(TracedWalk, slow, fast, EPS)
            walk.pixel(slow, fast)
            lines += walk.lines
        return lines

    def _pixels(self) -> Iterator[Pixel]:
        return ((slow, fast) for slow in self.slow for fast in self.fast if self.rendered(slow, fast))

    def _started(self, kind: type[W], slow: int, fast: int, eps: float) -> W:
        """A walk in the state in which the scan of the image comes to this pixel."""
        setup, pixel = self.setup, (slow, fast)
        walk = kind(setup, True, eps)
        turns, lasts = setup.sample.usual is not setup.sample.initial, setup.tricubic and not walk.every_term_alone
        if turns or lasts:
            if eps not in self._before:
                self._before[eps] = _Before(setup, self._pixels(), eps)
            before = self._before[eps]
            before.reach(pixel)
            walk.carried = before.lit is not None and before.lit < pixel
            walk.tricubic = setup.tricubic and not (lasts and before.off is not None and before.off < pixel)
            walk.doubt = before.doubt is not None and before.doubt < pixel
        return walk
