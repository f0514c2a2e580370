"""Verdicts of verify, replay and mutations as lines for a terminal."""

from collections.abc import Iterator

from tools.scaling.base.files import one_line
from tools.scaling.base.text import counted
from tools.scaling.bundle.verify import ChainVerdict, Signature, Standing, Verdict
from tools.scaling.procedure.replay import Difference, Replay
from tools.scaling.studies.mutations import Tally

_STANDING = {
    Standing.COMMITTED: "git has it committed",
    Standing.STAGED: "git has it staged",
    Standing.ALONE: "stands alone: git has nothing of it",
    Standing.UNKNOWN: "whether git has it is not known",
    Standing.OPEN: "open: not sealed yet",
}
_MOST = 100  # characters of a value that a line shows


def verdict_lines(verdict: Verdict) -> Iterator[str]:
    """The problems, one a line, then what holds."""
    for problem in verdict.problems:
        yield one_line(f"{verdict.bundle}: {problem}")
    signed = "" if verdict.signature is Signature.NONE else f"; {verdict.signature.value}"
    state = f"{verdict.files} files hold" if verdict.ok else f"{len(verdict.problems)} problems"
    yield one_line(f"{verdict.bundle}: {state}; {_STANDING[verdict.standing]}{signed}")


def chain_lines(chain: ChainVerdict) -> Iterator[str]:
    """The lost bundles, the problems of each that is there, those that are open, then the verdict."""
    lost = {f"{chain.root}/{problem.name}" for problem in chain.lost}
    for problem in chain.lost:
        yield one_line(f"{chain.root}/{problem}")
    still_open = 0
    for verdict in chain.verdicts:
        for problem in verdict.problems:
            yield one_line(f"{verdict.bundle}: {problem}")
        if verdict.ok and verdict.standing is Standing.OPEN and verdict.bundle not in lost:
            still_open += 1
            yield f"{verdict.bundle}: {_STANDING[Standing.OPEN]}"
    bad = {verdict.bundle for verdict in chain.verdicts if not verdict.ok} | lost
    closed = len(lost | {verdict.bundle for verdict in chain.verdicts}) - still_open
    bundles, hold = counted(closed, "bundle"), "holds" if closed == 1 else "hold"
    state = f"{bundles} {hold}" if chain.ok else f"{len(bad)} of {bundles} do not hold"
    newest = f"; newest {chain.newest}: {_STANDING[chain.standing]}" if chain.newest else ""
    yield f"{chain.root}: {state}{newest}"


def replay_lines(replay: Replay) -> Iterator[str]:
    """What differs in the environment, the first difference, the verdict."""
    for change in replay.environment:
        yield f"env: {one_line(change.name)}: was {_cut(change.then)}, is {_cut(change.now)}"
    if replay.left_out:
        what = counted(len(replay.left_out), "file or folder that the run's tree had is", "that the run's tree had are")
        yield f"not exact: {what} in no patch: {_cut(', '.join(replay.left_out))}"
    demand = "bit for bit" if replay.bitwise else "within the noise floor (other versions or another CPU)"
    if replay.first is None:
        yield f"{replay.bundle}: {len(replay.compared)} files replayed, equal {demand}"
    else:
        yield f"{replay.bundle}: not equal {demand}; first difference in {difference_line(replay.first)}"


def difference_line(first: Difference) -> str:
    what = f"step {first.step}, {first.file}" + (f", {first.quantity}" if first.quantity else "")
    size = "" if first.rel is None else f" (relative {first.rel:.3e}, noise floor {first.floor:.1e})"
    return f"{what}: was {_cut(first.then)}, is {_cut(first.now)}{size}"


def tally_lines(tally: Tally) -> Iterator[str]:
    """One line a kind of mutation, the missed ones, the sum."""
    for kind, made in tally.made.items():
        yield f"{kind:<30} {tally.named.get(kind, 0):>6} of {made:>6} named"
    for line in tally.missed:
        yield f"MISSED {line}"
    total, named = sum(tally.made.values()), sum(tally.named.values())
    yield f"{named} of {total} mutations named (seed {tally.seed})"


def _cut(value: object) -> str:
    text = one_line(repr(value) if isinstance(value, float) else str(value))
    return text if len(text) <= _MOST else f"{text[:_MOST]}..."
