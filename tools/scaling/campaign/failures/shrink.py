"""A failing case made as small as it can be while it fails in the same way, by a bounded number of trials.

What is kept of a case is a list: its flags, the lines of its files, the digits of its numbers. Each list is cut by
delta debugging: large parts are left out first, then smaller ones, until no single element can go.
"""

import itertools
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from nanobragg_torch.flags.values import INTEGER, NUMBER
from tools.scaling.campaign.generator import flag_of, grouped
from tools.scaling.campaign.judge import judge
from tools.scaling.campaign.record import Drawn, Status, Verdict
from tools.scaling.campaign.scene import How, scene_of

MOST = 400  # trials
PIXELS = 64 * 64  # of the whole detector, where the case that is shrunk has fewer
TERMS = 1 << 20  # in all rendered pixels, where the case that is shrunk has fewer
_PAIRED = 12  # flags of which each two are left out together, too

T = TypeVar("T")
Group = tuple[str, ...]  # a flag with its values
Judge = Callable[[Drawn], Verdict | None]


@dataclass(frozen=True)
class Shrunk:
    """drawn, verdict: the smallest case that was found, and how it fails; before: what it was shrunk from, likewise."""

    drawn: Drawn
    verdict: Verdict
    before: tuple[Drawn, Verdict]
    trials: int


def shrink(drawn: Drawn, how: How, check: str, *, most: int = MOST, seconds: float | None = None) -> Shrunk | None:
    """The smallest case found that fails `check` as `drawn` does: with the same status and the same label.

    most: trials; each judges this check alone. seconds: none is begun later; with it, what is found depends on the
    machine. None where `drawn` does not fail the check.
    """
    verdict = _failure(drawn, how, check)
    if verdict is None:
        return None
    limit = _cost(drawn, how) or (0, 0)
    bounds = max(limit[0], PIXELS), max(limit[1], TERMS)

    def fails(trial: Drawn) -> Verdict | None:
        cost = _cost(trial, how)
        if cost is not None and (cost[0] > bounds[0] or cost[1] > bounds[1]):
            return None
        found = _failure(trial, how, check)
        return found if found is not None and alike(found, verdict) else None

    until = None if seconds is None else time.monotonic() + seconds
    return reduced(Search(fails, drawn, verdict, most, until))


def _failure(drawn: Drawn, how: How, check: str) -> Verdict | None:
    return next((each for each in judge(drawn, how, (check,)).failures if each.check == check), None)


def _cost(drawn: Drawn, how: How) -> tuple[int, float] | None:
    """Pixels of the whole detector, and terms of all that are rendered; None for a case that cannot be read."""
    from nanobragg_torch.scan.plan import sizes

    with scene_of(drawn, how) as scene:
        try:
            config = scene.config
        except Exception:  # whatever it is, the check tells
            return None
        pixels = config.detector.pixels_slow * config.detector.pixels_fast
        try:
            terms = sizes(config).terms(config)
            chosen = config.sampling.oversample >= 1 or max(pixels, terms) > TERMS
            return pixels, terms if chosen else terms * scene.exp.oversample**2
        except Exception:  # of a case that is too large to be counted, too
            return pixels, math.inf


def alike(one: Verdict, other: Verdict) -> bool:
    """Whether two verdicts show one defect: the status, the label and, of an error, its words without the numbers."""
    if (one.status, one.label) != (other.status, other.label):
        return False
    return one.status is not Status.error or _words(one.says) == _words(other.says)


def _words(text: str) -> str:
    return re.sub(r"[^A-Za-z]*\d\S*", "#", text)


class Search:
    """The smallest case so far, and the trials that have found it."""

    def __init__(
        self, fails: Judge, drawn: Drawn, verdict: Verdict, most: int = MOST, until: float | None = None
    ) -> None:
        self.best, self.verdict, self.trials = drawn, verdict, 0
        self.before = drawn, verdict
        self._fails, self._most, self._until = fails, most, until
        self._seen = {_key(drawn)}

    @property
    def flags(self) -> list[Group]:
        """The flags of the smallest case, each with its values."""
        return grouped(self.best.flags)

    def takes(self, flags: Iterable[Group], files: Mapping[str, bytes] | None = None) -> bool:
        """Whether the case of these flags and files still fails alike; it is the smallest then."""
        words = tuple(word for group in flags for word in group)
        trial = replace(self.best, flags=words, files=self.best.files if files is None else dict(files))
        if trial == self.best:
            return True
        if _key(trial) in self._seen or self.trials >= self._most or self._late():
            return False
        self._seen.add(_key(trial))
        self.trials += 1
        verdict = self._fails(trial)
        if verdict is None:
            return False
        self.best, self.verdict = trial, verdict
        return True

    def _late(self) -> bool:
        return self._until is not None and time.monotonic() > self._until


def _key(drawn: Drawn) -> tuple[tuple[str, ...], tuple[tuple[str, bytes], ...]]:
    return drawn.flags, tuple(sorted(drawn.files.items()))


def fewest(items: Sequence[T], shows: Callable[[list[T]], bool]) -> list[T]:
    """What is left of `items` when no single one can go; all are tried to go at once, then halves, and so on.

    shows: whether a part of them, in their order, is still enough; that all of them are is known.
    """
    kept, size = list(items), len(items)
    while size:
        at, cut = 0, False
        while at < len(kept):
            if shows(rest := kept[:at] + kept[at + size :]):
                kept, cut = rest, True
            else:
                at += size
        size = size // 2 if size > 1 else int(cut)
    return kept


def reduced(search: Search) -> Shrunk:
    """The smallest case that the steps find, repeated until none of them finds a smaller one."""
    _one_pixel(search)
    before = None
    while search.best != before:
        before = search.best
        for step in (_fewer_flags, _plainer_flags, _smaller_detector, _fewer_files, _rounder_flags, _rounder_files):
            step(search)
    return Shrunk(search.best, search.verdict, search.before, search.trials)


def _one_pixel(search: Search) -> None:
    if (region := _region(search)) is not None:
        search.takes([*_without(search.flags, ("-roi",)), region])


def _region(search: Search) -> Group | None:
    """The flag that renders the pixel alone that differs the most."""
    if search.verdict.pixel is None:
        return None
    slow, fast = (str(x) for x in search.verdict.pixel)
    return "-roi", fast, fast, slow, slow


def _without(flags: Iterable[Group], names: Sequence[str]) -> list[Group]:
    """The flags that are none of `names`, of which a trailing * stands for any longer spelling."""
    exact, longer = set(names), tuple(name[:-1] for name in names if name.endswith("*"))
    return [group for group in flags if group[0] not in exact and not group[0].startswith(longer)]


def _fewer_flags(search: Search) -> None:
    """No flag that is not needed, but for the region of one pixel."""
    region = [group for group in search.flags if group == _region(search)]
    flags = fewest(_without(search.flags, ("-roi",) if region else ()), lambda left: search.takes([*left, *region]))
    if len(flags) > _PAIRED:
        return
    for two in itertools.combinations(flags, 2):
        if all(group in search.flags for group in two):
            search.takes([group for group in search.flags if group not in two])


# flags and files, and what says the same in a plainer way
_CELL = ("-cell", "100", "100", "100", "90", "90", "90")
_SIZES = ("-detpixels*", "-detsize*", "-roi")
_PLAINER: tuple[tuple[tuple[str, ...], Group], ...] = (
    (("-hkl", "-dump", "--fdump", "Fdump.bin"), ("-default_F", "100")),
    (("-mat", "-matrix"), _CELL),
    (("-samplesize", "-sample_*", "-xtal*", "-width", "-heigh*"), ("-N", "5")),
)


def _plainer_flags(search: Search) -> None:
    for names, plain in _PLAINER:
        files = {name: content for name, content in search.best.files.items() if name not in names}
        left = _without(search.flags, names)
        if len(left) < len(search.flags) or len(files) < len(search.best.files):
            search.takes([*_without(left, plain[:1]), plain], files)


def _smaller_detector(search: Search) -> None:
    """A detector of few pixels, all of them rendered; where that is possible, of the usual size, and without a mask."""
    for names in (*_SIZES, "-pixel", "-mask", "-img"), _SIZES:
        others = _without(search.flags, names)
        for pixels in ("1", "2", "4", "8") if len(others) < len(search.flags) else ():
            if search.takes([*others, ("-detpixels", pixels)]):
                return


def _fewer_files(search: Search) -> None:
    """No file that is not needed, and of text no line."""
    flags, files = search.flags, dict(search.best.files)
    fewest(list(files), lambda names: search.takes(flags, {name: files[name] for name in names}))
    for name, content in search.best.files.items():
        if _is_text(content):
            others = search.best.files
            fewest(content.splitlines(True), lambda lines, name=name, rest=others: search.takes(  # type: ignore[misc]
                flags, {**rest, name: b"".join(lines)}))  # fmt: skip


def _is_text(content: bytes) -> bool:
    return content.isascii() and b"\0" not in content and not content.startswith(b"{")


_PLACES = ("-roi", "-trace_pixel", "-dump_pixel", "-printout_pixel")  # their numbers are indices of pixels
_SHORT = 12  # lines of a file whose numbers are rounded, too
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_WHOLE = re.compile(r"[+-]?\d+")
_DIGITS = {"one digit": 1, "two digits": 2, "three digits": 3}
_LEVELS = ("default", "0", "1", "2", *_DIGITS)


def _plain(level: str, word: str, flag: str, at: int) -> str | None:
    """The number `word`, which is the value number `at` of `flag`, at a level of plainness; None: it has none there.

    flag: empty for a number in a file.
    """
    row = flag_of(flag)
    if level == "default":
        words = _CELL[1:] if flag == _CELL[0] else row.default.split() if row else ()
        return words[at - 1] if at <= len(words) else None
    if level in _DIGITS:
        value = float(f"{float(word):.{_DIGITS[level]}g}")
        return str(int(value)) if _WHOLE.fullmatch(word) else f"{value:g}"
    if row is None:
        return level
    if flag == _CELL[0] or (level == "0" and row.kind in (NUMBER, INTEGER)) or (level == "2" and row.kind is NUMBER):
        return None
    return level


def _rounded(words: Sequence[str], names: Sequence[tuple[str, int]], takes: Callable[[list[str]], bool]) -> None:
    """As many of the numbers among `words` as can, as plain as they can be.

    names: of each word, its flag and its place behind it. takes: whether the case still fails alike with these words.
    """
    now, open_ = list(words), [i for i, word in enumerate(words) if names[i][1] and _NUMBER.fullmatch(word)]
    for level in _LEVELS:
        plain = {i: _plain(level, now[i], *names[i]) for i in open_}
        able = {i: word for i, word in plain.items() if word is not None and word != now[i]}
        exact = fewest(list(able), lambda kept: takes(_mixed(now, able, kept)))  # noqa: B023 -- it is called at once
        now = _mixed(now, able, exact)
        open_ = [i for i in open_ if plain[i] != now[i]]


def _mixed(now: Sequence[str], plain: Mapping[int, str], exact: Sequence[int]) -> list[str]:
    return [word if i in exact else plain.get(i, word) for i, word in enumerate(now)]


def _rounder_flags(search: Search) -> None:
    flags = search.flags
    kept = set(_without(flags, _PLACES))
    names = [(group[0], at if group in kept else 0) for group in flags for at in range(len(group))]

    def takes(words: list[str]) -> bool:
        rest = iter(words)
        return search.takes([tuple(next(rest) for _ in group) for group in flags])

    _rounded([word for group in flags for word in group], names, takes)


def _rounder_files(search: Search) -> None:
    for name, content in search.best.files.items():
        if _is_text(content) and content.count(b"\n") <= _SHORT:
            parts = re.split(r"(\s+)", content.decode("ascii"))
            flags, others = search.flags, search.best.files

            def takes(words: list[str], name: str = name, others: Mapping[str, bytes] = others) -> bool:
                return search.takes(flags, {**others, name: "".join(words).encode("ascii")})  # noqa: B023

            _rounded(parts, [("", 1)] * len(parts), takes)
