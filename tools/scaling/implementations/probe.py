"""Which quirks a program has: small command lines are run on it, and its images are compared with those of our port.

For each question our port makes the image for every state of the quirks that act on it. What all states that make the
program's image have in common is known; what they have not is not told apart. Nothing is guessed.
"""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from nanobragg_torch.scan.cores import available_cores
from tools.scaling.base.errors import ScalingError, Unavailable
from tools.scaling.implementations.describe import PORT, Implementation
from tools.scaling.implementations.probe_cases import PROBES, Probe, Question
from tools.scaling.implementations.probe_reading import Seen, apart, asked_port, asked_program, differing, same
from tools.scaling.implementations.run import require

if TYPE_CHECKING:
    from nanobragg_torch.quirks import Quirk

States = Mapping[str, bool]  # whether each quirk is on
Asked = Callable[[Probe, Path], Mapping[str, Seen]]
ROUNDINGS = 2.0**-22  # two of float32
OWN = (
    1e-3  # relative to the largest value: what an arithmetic of its own may leave; states differ by twice that or more
)
LIMIT_S = 60.0  # seconds of one run
HUNG = 4  # runs that do not end, before any has: then no more are begun
WORKERS = 4  # runs side by side, at most, and no more than there are cores
SKEW = 2  # seconds by which the clock that seeds a program may differ from ours
MOST = 8  # quirks whose states are tried together: 2^8 images
ON, OFF, NEITHER, ALIKE, UNASKED = "on", "off", "neither", "not told apart", "not askable"


@dataclass(frozen=True)
class QuirkAnswer:
    """What is known of one quirk: on, off, neither, not told apart or not askable; and by which probe, or why not."""

    quirk: str
    state: str
    why: str


@dataclass(frozen=True)
class ProbeReport:
    """The answers of a program, in the order of the quirk table.

    variant: what its description says that it follows. against: answers that contradict that. alike: the known
    programs that no answer contradicts. nearest: if there is none, the one that the fewest contradict, and how many.
    own: what the program's own arithmetic leaves at most, of the largest value; 0 where it is within ROUNDINGS.
    """

    name: str
    variant: str
    answers: tuple[QuirkAnswer, ...]
    against: tuple[QuirkAnswer, ...]
    alike: tuple[str, ...]
    nearest: tuple[str, int]
    own: float = 0.0


@dataclass
class _Open:
    """A question with what the program answered.

    left: the states that make the same, None before these are tried, or where none does. own: how far the nearest of
    them is, where the program's arithmetic is its own. unsteady: whether a second run answered otherwise.
    """

    probe: Probe
    question: Question
    seen: Seen
    left: list[States] | None = None
    own: float = 0.0
    unsteady: bool = False

    @property
    def by(self) -> str:
        return self.probe.name + (f", within {self.own:.1g}" if self.own else "")

    def unknown(self, known: States) -> list[str]:
        return [quirk for quirk in self.question.acting if quirk not in known]


@dataclass
class _Knowledge:
    """What is known so far. unanswered: (state, why) by quirk; said: what answered each known quirk.

    own: what the program's own arithmetic was seen to leave.
    """

    known: dict[str, bool] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    unanswered: dict[str, tuple[str, str]] = field(default_factory=dict)
    own: float = 0.0

    def learn(self, quirk: str, on: bool, probe: str) -> None:
        if quirk not in self.known:
            self.known[quirk], self.said[quirk] = on, probe

    def leave(self, quirks: Iterable[str], state: str, why: str) -> None:
        for quirk in quirks:
            if self.unanswered.get(quirk, ("", ""))[0] != NEITHER:
                self.unanswered[quirk] = (state, why)


def probe_program(
    program: Implementation,
    *,
    tolerance: float = ROUNDINGS,
    limit_s: float = LIMIT_S,
    ask: Asked | None = None,
    done: Callable[[int, int], object] = lambda _done, _of: None,
) -> ProbeReport:
    """Ask `program` every question of the probe.

    tolerance: relative, within which two values are the same; where no state is within it, what a program's own
    arithmetic leaves (OWN) is allowed, and told. limit_s: seconds of one run, where its description does not say fewer.
    ask: how one probe, with its files in a folder, is answered: by default by a run of the program. done: called with
    how many probes were answered, of how many. A run that fails leaves its own questions unanswered; what no state
    makes, and what was refused, is asked a second time. Raises Unavailable where there is no program to be run.
    """
    from nanobragg_torch.quirks import TABLE

    if not program.command and program is not PORT:
        raise Unavailable(f"{program.name}: expected a program that can be run, got what one has recorded")
    if ask is None:
        require(program)
    with tempfile.TemporaryDirectory(prefix="probe-") as made:
        folders = {probe.name: _laid(probe, Path(made)) for probe in PROBES}
        port = _Port(folders, tolerance)
        limited = replace(program, timeout_s=min(program.timeout_s, limit_s))
        runs = _Runs(ask or (lambda *case: asked_program(limited, *case)), folders, port.seconds, limited.timeout_s)
        runs.workers = min(WORKERS, available_cores()) if ask is None and program is not PORT else 1
        questions = _answered(runs, done)
        knowledge = _deduced(questions, port)
        if _asked_again(questions, runs):
            knowledge = _deduced(questions, port)
    answers = tuple(_answer(quirk, knowledge) for quirk in TABLE)
    return replace(_report(program, answers), own=max((each.own for each in questions if each.left), default=0.0))


def _laid(probe: Probe, root: Path) -> Path:
    folder = root / probe.name
    folder.mkdir()
    for name, content in probe.files.items():
        (folder / name).write_bytes(content())
    return folder


@dataclass
class _Runs:
    """Runs of a program. seconds: when each probe was run; hung, ended: how many runs did not end in time, and did."""

    ask: Asked
    folders: Mapping[str, Path]
    seconds: dict[str, range]
    limit_s: float
    workers: int = 1
    hung: int = 0
    ended: int = 0

    def of(self, probes: Sequence[Probe]) -> Iterator[Mapping[str, Seen]]:
        """The answers to the probes, in their order."""
        with ThreadPoolExecutor(self.workers) as pool:
            yield from pool.map(self._one, probes)

    def _one(self, probe: Probe) -> Mapping[str, Seen]:
        if self.hung >= HUNG and not self.ended:
            why = f"not run, as {self.hung} runs were not at their end after {self.limit_s:g} s, and none was before"
            return {question.reads: Seen(unread=why) for question in probe.questions}
        started = time.time()
        try:
            seen = self.ask(probe, self.folders[probe.name])
        except ScalingError as error:
            seen = {question.reads: Seen(unread=str(error)) for question in probe.questions}
        ended = time.time()
        self.seconds[probe.name] = range(int(started) - SKEW, int(ended) + SKEW + 1)
        if ended - started < self.limit_s:
            self.ended += any(not each.unread for each in seen.values())
        else:
            self.hung += 1
        return seen


def _answered(runs: _Runs, done: Callable[[int, int], object]) -> list[_Open]:
    """Every question with its answer. A refusal is one where each flag of the probe has worked elsewhere."""
    questions: list[_Open] = []
    worked: set[str] = set()
    for count, (probe, seen) in enumerate(zip(PROBES, runs.of(PROBES)), 1):
        done(count, len(PROBES))
        questions += [_Open(probe, question, seen[question.reads]) for question in probe.questions]
        if any(each.values is not None for each in seen.values()):
            worked |= _flags(probe)
    for each in questions:
        if each.seen.refused and not each.seen.crashed and not _flags(each.probe) <= worked:
            unknown = ", ".join(sorted(_flags(each.probe) - worked))
            each.seen = Seen(unread=f"{each.seen.refused} (no other probe shows that it has {unknown})")
    return questions


def _flags(probe: Probe) -> set[str]:
    return {word for word in probe.words if word.startswith("-") and word[1:2].isalpha()}


def _asked_again(questions: Sequence[_Open], runs: _Runs) -> bool:
    """Run once more what was refused, and what no state makes; whether any of it is answered otherwise."""
    doubtful = [each for each in questions if each.seen.refused or (not each.left and not each.seen.unread)]
    probes = [probe for probe in PROBES if any(each.probe is probe for each in doubtful)]
    news = False
    before = dict(runs.seconds)
    for probe, seen in zip(probes, runs.of(probes)):
        asked = [each for each in questions if each.probe is probe and not each.seen.unread]
        if all(each.seen.values is None and seen[each.question.reads].refused for each in asked) or all(
            apart(each.seen, seen[each.question.reads]) <= ROUNDINGS for each in asked
        ):
            runs.seconds[probe.name] = before[probe.name]
            continue
        news = True
        for each in asked:
            each.seen, each.unsteady = seen[each.question.reads], True
    return news


class _Port:
    """The answers of our port, each made once. seconds: when the program ran each probe, for seeds from the clock."""

    def __init__(self, folders: Mapping[str, Path], tolerance: float) -> None:
        self._folders, self.tolerance = folders, tolerance
        self.seconds: dict[str, range] = {}

    def made(self, probe: Probe, question: Question, states: States) -> list[Seen]:
        """What our port answers with these switches: once for each second that the clock may have shown."""
        folder = self._folders[probe.name]
        return [seen[question.reads] for seen in asked_port(probe, folder, states, self.seconds[probe.name])]


def _deduced(questions: Sequence[_Open], port: _Port) -> _Knowledge:
    """What the answers say together: the questions with the fewest unknown quirks first, until none says more."""
    knowledge = _Knowledge()
    waiting = [each for each in questions if each.seen.unread == ""]
    for each in questions:
        each.left, each.own = None, 0.0
    for each in questions:
        if each.seen.unread:
            knowledge.leave(each.question.asks, UNASKED, f"{each.probe.name}: {each.seen.unread}")
    while waiting:
        each = min(waiting, key=partial(_turn, knowledge))
        waiting.remove(each)
        if len(each.unknown(knowledge.known)) > MOST:
            knowledge.leave(each.question.asks, ALIKE, f"{each.probe.name}: too many other quirks are not known")
            continue
        _try(each, knowledge, port)
        _conclude(questions, knowledge)
    return knowledge


def _turn(knowledge: _Knowledge, each: _Open) -> tuple[bool, int, int]:
    """When a question is tried: those with the fewest unknown quirks first, those that need all digits last."""
    return each.probe.float64, len(each.unknown(knowledge.known)), -len(each.question.asks)


def _try(each: _Open, knowledge: _Knowledge, port: _Port) -> None:
    """Which states of the unknown quirks make what the program made."""
    unknown = each.unknown(knowledge.known)
    fixed = {quirk: knowledge.known[quirk] for quirk in each.question.acting if quirk in knowledge.known}
    every = [fixed | dict(zip(unknown, choice)) for choice in product((True, False), repeat=len(unknown))]
    made = [(states, port.made(each.probe, each.question, states)) for states in every]
    for tolerance in (port.tolerance, 0.0 if each.probe.rounding else max(OWN, port.tolerance)):
        each.left = [states for states, ways in made if any(same(each.seen, way, tolerance) for way in ways)]
        if each.left:
            far = min(apart(each.seen, way) for states, ways in made if states in each.left for way in ways)
            each.own = far if tolerance > port.tolerance else 0.0
            knowledge.own = max(knowledge.own, each.own)
            return
    _, nearest = min(differing(each.seen, way, port.tolerance) for _, ways in made for way in ways)
    reason = _untold(each, knowledge)
    knowledge.leave(
        each.question.asks, UNASKED if reason else NEITHER, f"{each.probe.name}: {reason}nearest: {nearest}"
    )
    each.left = None


def _untold(each: _Open, knowledge: _Knowledge) -> str:
    """Why an answer that no state of ours makes says nothing; empty where it does."""
    if each.probe.rounding:
        return "shows in the last digits alone, which this program has otherwise; "
    if each.probe.float64 and knowledge.own:
        return "h needs the digits of float64, and this program's arithmetic is its own; "
    if each.seen.refused:
        return "the run failed twice, which no state does; "
    return "two runs answered otherwise, as where the clock is the seed; " if each.unsteady else ""


def _conclude(questions: Sequence[_Open], knowledge: _Knowledge) -> None:
    """Learn what all states that are left of a question have in common, until there is no more to learn."""
    news = True
    while news:
        news = False
        for each in questions:
            if not each.left:
                continue
            known = knowledge.known
            left = [states for states in each.left if all(known.get(q, on) == on for q, on in states.items())]
            if not left:
                _contradiction(each, knowledge)
                each.left = None
                continue
            each.left = left
            for quirk in each.unknown(known):
                if len({states[quirk] for states in left}) == 1:
                    knowledge.learn(quirk, left[0][quirk], each.by)
                    news = True


def _contradiction(each: _Open, knowledge: _Knowledge) -> None:
    others = [q for q in each.question.acting if q in knowledge.known]
    said = ", ".join(f"{q} {ON if knowledge.known[q] else OFF} by {knowledge.said[q]}" for q in others)
    for quirk in [q for q in each.question.asks if q in knowledge.known]:
        del knowledge.known[quirk]
    knowledge.leave(each.question.asks, NEITHER, f"{each.probe.name} contradicts {said}")


def _answer(quirk: "Quirk", knowledge: _Knowledge) -> QuirkAnswer:
    if quirk.id in knowledge.known:
        return QuirkAnswer(quirk.id, ON if knowledge.known[quirk.id] else OFF, knowledge.said[quirk.id])
    if quirk.id in knowledge.unanswered:
        return QuirkAnswer(quirk.id, *knowledge.unanswered[quirk.id])
    named = [probe.name for probe in PROBES for question in probe.questions if quirk.id in question.asks]
    if not named:
        return QuirkAnswer(quirk.id, UNASKED, "no probe shows it")
    return QuirkAnswer(quirk.id, ALIKE, f"{', '.join(named)}: on and off make the same, as the other quirks are")


def _report(program: Implementation, answers: tuple[QuirkAnswer, ...]) -> ProbeReport:
    from nanobragg_torch.quirks import VARIANTS, of_mode

    def against(variant: str) -> tuple[QuirkAnswer, ...]:
        quirks = of_mode(variant)
        return tuple(
            answer
            for answer in answers
            if answer.state == NEITHER or answer.state == (OFF if quirks.on(answer.quirk) else ON)
        )

    counts = {variant: len(against(variant)) for variant in VARIANTS}
    nearest = min(counts, key=lambda variant: counts[variant])
    return ProbeReport(
        program.name,
        program.variant,
        answers,
        against(program.variant) if program.variant in VARIANTS else (),
        tuple(variant for variant, count in counts.items() if count == 0),
        (nearest, counts[nearest]),
    )
