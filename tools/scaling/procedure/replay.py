"""replay: run a bundle's steps again from its commit, and name the first step and quantity that differ.

On the same versions and CPU capability the traces and metrics must be equal bit for bit. Elsewhere each traced
number may move within its noise floor: the tolerance of the schema, widened to the conditioning bound of the
quantity (semantics 10.1).
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tools.scaling.base.discretion import located
from tools.scaling.base.errors import BadInput, GateFailed, why
from tools.scaling.base.interruption import interruptible
from tools.scaling.base.repo import ROOT, digest, environment, inside, relative
from tools.scaling.bundle.bundle import Bundle, bundles
from tools.scaling.bundle.checkout import outcomes, replayable, worktree
from tools.scaling.bundle.environment import EnvironmentChange, changes, same_numbers
from tools.scaling.bundle.layout import (
    COMMANDS,
    ENVIRONMENT,
    IMAGE_FOLDER,
    IMAGE_RECORD,
    METRICS,
    MODES,
    PATCH,
    PER_PHI,
    parse_record,
    read_object,
    read_record,
)
from tools.scaling.bundle.patch import files_of
from tools.scaling.guard.child import Guarded
from tools.scaling.guard.limit import current_limit
from tools.scaling.procedure.settings import Settings

_METRICS = tuple(mode.path(METRICS) for mode in MODES.values())
_IMAGE = f"{IMAGE_FOLDER}/{IMAGE_RECORD}"
# What is compared, by the step that writes it.
_FILES = {
    "harness_traces": (*(mode.log for mode in MODES.values()), *PER_PHI),
    "comparison": _METRICS,
    "image": (_IMAGE,),
}


@dataclass(frozen=True)
class Difference:
    """The first thing that is not as it was. quantity None: the step itself ended otherwise.

    then, now: the two values. rel: their relative difference, against `floor`, the quantity's noise floor.
    """

    step: str
    file: str
    quantity: str | None
    then: float | str | None
    now: float | str | None
    rel: float | None = None
    floor: float | None = None


@dataclass(frozen=True)
class Replay:
    """What a replay found. bitwise: whether equality bit for bit was demanded. compared: files that were.

    left_out: what the run's tree had and no patch has, so that the replay cannot be exact.
    """

    bundle: str
    commit: str
    patched: bool
    bitwise: bool
    compared: tuple[str, ...]
    first: Difference | None
    environment: tuple[EnvironmentChange, ...]
    left_out: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.first is None

    def to_dict(self) -> dict[str, Any]:
        return {"ok": self.ok, **asdict(self)}


def replay(run_dir: Path, say: Callable[[str], None], *, public_key: Path | None = None, trust: bool = False) -> Replay:
    """Run the bundle at `run_dir` again and compare. Raises BadInput as `replayable` and `worktree` do.

    say: hears of the progress. Raises GateFailed where the steps halt before anything is left to compare.
    """
    bundle, known = replayable(run_dir, public_key, trust)
    patch = bundle.path(PATCH) if bundle.path(PATCH).is_file() else None
    say(f"{bundle.shown()}: verified; checking out {known['git_sha'][:12]}")
    for name in files_of(patch) if patch else ():
        say(f"{PATCH} changes {name}")
    with interruptible(), worktree(known["git_sha"], patch) as tree:
        again = _run_steps(Settings.of(known["settings"]), tree, say)
        return _compared(bundle, again, known, patched=patch is not None)


def _run_steps(settings: Settings, tree: Path, say: Callable[[str], None]) -> Bundle:
    """Run phase-m1 of the checked out tree, with this Python, into a folder of its own."""
    root = tree.parent / "reports"
    argv = [sys.executable, "-m", "tools.scaling", "phase-m1", "--no-stage", "--reports-root", str(root)]
    env = environment() | {
        "PYTHONPATH": os.pathsep.join([str(tree / "src"), os.environ.get("PYTHONPATH", "")]).rstrip(":")
    }
    argv += _flags(settings, tree)
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    last = ""
    with Guarded(argv, cwd=tree, env=env, limit=current_limit(settings.memory_limit), **pipes) as child:
        assert child.stdout is not None
        for line in child.stdout:
            last = line.decode(errors="replace").rstrip() or last
            if last.startswith("["):  # a step begins
                say(last)
        done = child.wait()
    made = bundles(root)
    if not made:
        raise GateFailed(f"replay: the steps left no bundle: {last or done.message}")
    # the folder that the last line names will be gone
    say(f"the steps ended, exit {done.exit_code}: {re.split('; evidence: |: ' + re.escape(str(root)), last)[0]}")
    return made[-1]


def _flags(settings: Settings, tree: Path) -> list[str]:
    """Return the options of phase-m1 that give these settings, seen from `tree`."""
    slow_fast = ["--pixel", *map(str, settings.pixel)] if settings.pixel else []
    files = {"--c": settings.c, "--hkl": settings.hkl, "--image-c": settings.image_c}
    given = {name: _placed(value, tree) for name, value in files.items()}
    given |= {"--case": _placed(settings.case, tree), "--device": settings.device, "--dtype": settings.dtype}
    given |= {"--image": settings.image, "--mode": _placed(settings.mode, tree)}
    given |= {"--candidate": _placed(settings.candidate, tree), "--reference": _placed(settings.reference, tree)}
    given |= {"--candidate-command": settings.candidate_command, "--reference-command": settings.reference_command}
    given |= {"--tolerance": repr(settings.tolerance)}
    if settings.memory_limit:
        given["--memory-limit"] = str(max(1, settings.memory_limit // 2**20))
    return slow_fast + [word for flag, value in given.items() if value is not None for word in (flag, value)]


def _placed(name: str | None, tree: Path) -> str | None:
    """Return a file or case of the repository as it lies in `tree`; what lies outside of it by its whole path."""
    if name is None or "/" not in name:
        return name
    inside = relative(ROOT / name)
    return inside if (tree / inside).exists() else str(ROOT / name)


def _compared(then: Bundle, now: Bundle, known: Mapping[str, Any], patched: bool) -> Replay:
    old, new = _environment(then), _environment(now)
    bitwise = bool(old) and bool(new) and same_numbers(old, new)
    precision = Settings.of(known["settings"]).dtype
    compared: list[str] = []
    differences = (
        _first_step_difference(then, now),
        _first_trace_difference(then, now, bitwise, precision, compared),
        _first_metrics_difference(then, now, bitwise, compared),
        _image_difference(then, now, bitwise, compared),
        _first_missing(then, now),
    )
    order = list(dict.fromkeys([*(step for step, _ in (*outcomes(then), *outcomes(now))), *_FILES]))
    first = min(filter(None, differences), key=lambda one: order.index(one.step), default=None)
    changed = (*changes(old, new), *_changed_inputs(known)) if old and new else _changed_inputs(known)
    left_out = tuple(map(str, known.get("patch_left_out") or ()))
    return Replay(then.shown(), known["git_sha"], patched, bitwise, tuple(compared), first, tuple(changed), left_out)


def _changed_inputs(known: Mapping[str, Any]) -> tuple[EnvironmentChange, ...]:
    """Return what the run read that no commit and no patch has, and that is not what it was."""
    recorded = known.get("inputs")
    if not isinstance(recorded, Mapping):
        return ()
    left_out = tuple(map(str, known.get("patch_left_out") or ()))
    places = {name: ROOT / located(name) for name in recorded}
    own = [name for name in left_out if not name.endswith("/")]
    folders = tuple(name for name in left_out if name.endswith("/"))
    kept = {n for n, path in places.items() if inside(path) and n not in own and not n.startswith(folders)}
    now = {name: digest(path) if path.is_file() else None for name, path in places.items() if name not in kept}
    return tuple(
        EnvironmentChange(f"input {name}", recorded[name], its) for name, its in now.items() if recorded[name] != its
    )


def _environment(bundle: Bundle) -> Mapping[str, Any]:
    """Return the bundle's env.json; empty where the run halted before it."""
    path = bundle.path(ENVIRONMENT)
    return read_object(path, "what the env step wrote") if path.exists() else {}


def _first_step_difference(then: Bundle, now: Bundle) -> Difference | None:
    """Return the first command that ended otherwise, or that only one of the runs came to."""
    old, new = outcomes(then), outcomes(now)
    for (step, code), (other, its) in zip(old, new):
        if (step, code) != (other, its):
            return Difference(step, COMMANDS, None, f"{step} exit {code}", f"{other} exit {its}")
    if len(old) != len(new):
        step = (old if len(old) > len(new) else new)[min(len(old), len(new))][0]
        return Difference(step, COMMANDS, None, f"{len(old)} commands", f"{len(new)} commands")
    return None


def _first_trace_difference(
    then: Bundle, now: Bundle, bitwise: bool, precision: str, compared: list[str]
) -> Difference | None:
    for log in (mode.log for mode in MODES.values()):
        if _both(then, now, log, compared):
            first = _trace_difference(then.path(log), now.path(log), log, bitwise, precision)
            if first is not None:
                return first
    for name in PER_PHI:  # the rows of the first trace once more: nothing new but in their bytes
        if _both(then, now, name, compared) and bitwise and then.path(name).read_bytes() != now.path(name).read_bytes():
            return _text_difference(then.path(name), now.path(name), name)
    return None


def _first_missing(then: Bundle, now: Bundle) -> Difference | None:
    """Return the first file that only one of the runs left."""
    for step, names in _FILES.items():
        for name in names:
            old, new = ("there" if bundle.path(name).is_file() else "missing" for bundle in (then, now))
            if old != new:
                return Difference(step, name, None, old, new)
    return None


def _both(then: Bundle, now: Bundle, name: str, compared: list[str]) -> bool:
    """Return whether both have the file, which is then noted in `compared`."""
    there = then.path(name).is_file() and now.path(name).is_file()
    if there:
        compared.append(name)
    return there


def _trace_difference(then: Path, now: Path, name: str, bitwise: bool, precision: str) -> Difference | None:
    """Return the first number in causal order that moved: at all, or beyond its noise floor."""
    if then.read_bytes() == now.read_bytes():
        return None
    from tools.scaling.traces.compare import compare
    from tools.scaling.traces.read import read_trace
    from tools.scaling.traces.report import Status

    old, new = (read_trace(path, source=name) for path in (then, now))
    report = compare(old, new, tolerance=0.0, precision=precision)
    for row in report.quantities:
        if row.c != row.py if bitwise else row.status is not Status.PASS:
            return Difference("harness_traces", name, row.label, row.c, row.py, row.rel, row.tolerance)
    for orphan in report.orphans:
        counts = (f"{orphan.c_count} times", f"{orphan.py_count} times")
        if orphan.c_count != orphan.py_count:
            return Difference("harness_traces", name, orphan.name, *counts)
    return _text_difference(then, now, name) if bitwise else None


def _text_difference(then: Path, now: Path, name: str) -> Difference:
    """Return the first line that differs, named by its first word."""
    old, new = (path.read_text(encoding="ascii", errors="replace").splitlines() for path in (then, now))
    at = next((i for i, (a, b) in enumerate(zip(old, new)) if a != b), min(len(old), len(new)))
    one, two = (lines[at] if at < len(lines) else None for lines in (old, new))
    return Difference("harness_traces", name, f"line {at + 1}", one, two)


def _first_metrics_difference(then: Bundle, now: Bundle, bitwise: bool, compared: list[str]) -> Difference | None:
    """Return what first differs in the comparisons: the verdicts always, every number of them where bits must agree."""
    for name in _METRICS:
        if _both(then, now, name, compared):
            old, new = (_metrics(bundle, name) for bundle in (then, now))
            wanted = list(old | new) if bitwise else ["first_divergence", "num_divergent"]
            for key in wanted:
                if old.get(key) != new.get(key):
                    return Difference("comparison", name, key, _brief(old.get(key)), _brief(new.get(key)))
    return None


def _image_difference(then: Bundle, now: Bundle, bitwise: bool, compared: list[str]) -> Difference | None:
    """Return what differs in a simulated image: its digest where bits must agree; its verdict is that of its step."""
    if _both(then, now, _IMAGE, compared) and bitwise:
        old, new = (_metrics(bundle, _IMAGE).get("sha256") for bundle in (then, now))
        if old != new:
            return Difference("image", _IMAGE, "sha256", _brief(old), _brief(new))
    return None


def _metrics(bundle: Bundle, name: str) -> dict[str, Any]:
    """Return a JSON object of the bundle, without the paths of where the bundle lay."""
    # begun at words only, which takes linear time
    lay = re.compile(rb'(?<![^"\s])[^"\s]*' + re.escape(bundle.stamp.encode()) + rb"/")
    try:
        return parse_record(lay.sub(b"", read_record(bundle.path(name))))
    except (OSError, ValueError) as error:
        raise BadInput(f"{bundle.shown(name)}: expected what the run wrote, got: {why(error)}") from error


def _brief(value: Any) -> str:
    return json.dumps(value)[:120]
