"""The verdict of a replay as lines for a terminal."""

from collections.abc import Iterator

from tools.scaling.base.files import one_line
from tools.scaling.base.text import counted
from tools.scaling.procedure.replay import Difference, Replay

_MOST = 100  # characters of a value that a line shows


def replay_lines(replay: Replay) -> Iterator[str]:
    """Yield what differs in the environment, the first difference, the verdict."""
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


def _cut(value: object) -> str:
    text = one_line(repr(value) if isinstance(value, float) else str(value))
    return text if len(text) <= _MOST else f"{text[:_MOST]}..."
