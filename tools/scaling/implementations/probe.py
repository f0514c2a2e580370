"""Which quirks a program has: small command lines are run on it, and its images are compared with those of our port.

For each question our port makes the image for every state of the quirks that act on it. What all states that make the
program's image have in common is known; what they have not is not told apart. Nothing is guessed.
"""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from tools.scaling.base.errors import ScalingError, Unavailable
from tools.scaling.implementations.describe import PORT, Implementation
from tools.scaling.implementations.probe_cases import PROBES, Probe, Question
from tools.scaling.implementations.probe_reading import Seen, asked_port, asked_program, differing, same

if TYPE_CHECKING:
    from nanobragg_torch.quirks import Quirk

States = Mapping[str, bool]  # whether each quirk is on
Asked = Callable[[Probe, Path], Mapping[str, Seen]]
ROUNDINGS = 2.0**-22  # two of float32
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
    """

    name: str
    variant: str
    answers: tuple[QuirkAnswer, ...]
    against: tuple[QuirkAnswer, ...]
    alike: tuple[str, ...]
    nearest: tuple[str, int]


@dataclass
class _Open:
    """A question with what the program answered. left: the states that make the same, None before these are tried."""

    probe: Probe
    question: Question
    seen: Seen
    left: list[States] | None = None

    def unknown(self, known: States) -> list[str]:
        return [quirk for quirk in self.question.acting if quirk not in known]


@dataclass
class _Knowledge:
    """What is known so far. unanswered: (state, why) by quirk; said: the probe that answered each known quirk."""

    known: dict[str, bool] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    unanswered: dict[str, tuple[str, str]] = field(default_factory=dict)

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
    ask: Asked | None = None,
    done: Callable[[str], object] = lambda _: None,
) -> ProbeReport:
    """Ask `program` every question of the probe.

    tolerance: relative, within which two values are the same. ask: how one probe, with its files in a folder, is
    answered: by default by a run of the program. done: called with the name of each probe that was answered. A run that
    fails leaves its own questions unanswered. Raises Unavailable where there is no program to be run.
    """
    from nanobragg_torch.quirks import TABLE

    if not program.command and program is not PORT:
        raise Unavailable(f"{program.name}: expected a program that can be run, got what one has recorded")
    with tempfile.TemporaryDirectory(prefix="probe-") as made:
        folders = {probe.name: _laid(probe, Path(made)) for probe in PROBES}
        port = _Port(folders, tolerance)
        questions = list(_answered(program, folders, ask or (lambda *case: asked_program(program, *case)), done, port))
        knowledge = _deduced(questions, port)
    answers = tuple(_answer(quirk, knowledge) for quirk in TABLE)
    return _report(program, answers)


def _laid(probe: Probe, root: Path) -> Path:
    folder = root / probe.name
    folder.mkdir()
    for name, content in probe.files.items():
        (folder / name).write_bytes(content())
    return folder


def _answered(
    program: Implementation, folders: Mapping[str, Path], ask: Asked, done: Callable[[str], object], port: "_Port"
) -> Iterator[_Open]:
    """Every question with its answer. A refusal is one where each flag of the probe has worked elsewhere."""
    questions: list[_Open] = []
    worked: set[str] = set()
    for probe in PROBES:
        started = time.time()
        try:
            seen = ask(probe, folders[probe.name])
        except ScalingError as error:
            seen = {question.reads: Seen(unread=str(error)) for question in probe.questions}
        port.seconds[probe.name] = range(int(started) - SKEW, int(time.time()) + SKEW + 1)
        done(probe.name)
        questions += [_Open(probe, question, seen[question.reads]) for question in probe.questions]
        if any(each.values is not None for each in seen.values()):
            worked.update(word for word in probe.words if word[:2].strip("-").isalpha())
    for each in questions:
        flags = {word for word in each.probe.words if word[:2].strip("-").isalpha()}
        if each.seen.refused and not each.seen.crashed and not flags <= worked:
            unknown = ", ".join(sorted(flags - worked))
            each.seen = Seen(unread=f"{each.seen.refused} (no other probe shows that it has {unknown})")
        yield each


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
        if each.seen.unread:
            knowledge.leave(each.question.asks, UNASKED, f"{each.probe.name}: {each.seen.unread}")
    while waiting:
        each = min(waiting, key=lambda open_: (len(open_.unknown(knowledge.known)), -len(open_.question.asks)))
        waiting.remove(each)
        if len(each.unknown(knowledge.known)) > MOST:
            knowledge.leave(each.question.asks, ALIKE, f"{each.probe.name}: too many other quirks are not known")
            continue
        _try(each, knowledge, port)
        _conclude(questions, knowledge)
    return knowledge


def _try(each: _Open, knowledge: _Knowledge, port: _Port) -> None:
    """Which states of the unknown quirks make what the program made."""
    unknown = each.unknown(knowledge.known)
    fixed = {quirk: knowledge.known[quirk] for quirk in each.question.acting if quirk in knowledge.known}
    each.left, nearest = [], ""
    least = float("inf")
    for choice in product((True, False), repeat=len(unknown)):
        states = fixed | dict(zip(unknown, choice))
        for made in port.made(each.probe, each.question, states):
            if same(each.seen, made, port.tolerance):
                each.left.append(states)
                break
            far, text = differing(each.seen, made, port.tolerance)
            if far < least:
                least, nearest = far, text
    if each.left:
        return
    state = UNASKED if each.probe.rounding else NEITHER
    reason = "shows in the last digits alone, which this program has otherwise; " if each.probe.rounding else ""
    knowledge.leave(each.question.asks, state, f"{each.probe.name}: {reason}nearest: {nearest}")
    each.left = None


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
                    knowledge.learn(quirk, left[0][quirk], each.probe.name)
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
