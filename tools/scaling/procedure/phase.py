"""phase_m1: every step in order in one run, or the blocked evidence of the one that failed."""

import shlex
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tools.scaling.base.errors import BadInput, ScalingError
from tools.scaling.base.files import one_line, write_text
from tools.scaling.base.interruption import go_deaf, interruptible
from tools.scaling.base.repo import changed_protected, relative
from tools.scaling.base.text import code
from tools.scaling.bundle.bundle import Bundle, open_bundle
from tools.scaling.bundle.layout import AUDIT
from tools.scaling.implementations.describe import PORT
from tools.scaling.page.report import write_report
from tools.scaling.procedure.runner import ProcedureRun, StepFailed
from tools.scaling.procedure.settings import Settings
from tools.scaling.procedure.steps import STEPS, Step, new_bundle


def run_step(run: ProcedureRun, step: Step) -> None:
    """Run one step, announced with its seconds."""
    run.step = step.name
    started = time.perf_counter()
    run.say(f"[{step.row.numbers:>10}] {step.name}: {step.row.what}")
    step.work(run)
    run.say(f"             done in {time.perf_counter() - started:.1f} s")


def step_alone(
    step: Step, changes: dict[str, object], root: Path, run_dir: Path | None, say: Callable[[str], None]
) -> None:
    """Run one step on the open bundle that is named, or on the newest one; provenance makes its own.

    changes: settings that differ from those that the bundle's provenance recorded.
    """
    with interruptible(), ProcedureRun(Settings(), say) as run:
        if step.name == "provenance":
            run.settings = run.settings.with_changes(**changes)
            new_bundle(run, root, run_dir)
        else:
            run.bundle = _bundle_for(step, root, run_dir, say)
            known = Settings.of(run.bundle.provenance()["settings"]) if run.bundle else run.settings
            run.settings = known.with_changes(**changes)
        if run.bundle is not None:
            say(f"RUN_DIR {run.bundle.shown()}")
        try:
            run_step(run, step)
        finally:
            if run.bundle is not None:
                with suppress(OSError):  # not empty, as it should be: only what failed at once leaves nothing
                    run.bundle.folder.rmdir()


def _bundle_for(step: Step, root: Path, run_dir: Path | None, say: Callable[[str], None]) -> Bundle | None:
    if step.name == "stage":  # comes after the seal, so the newest bundle may be sealed
        return _newest(root, run_dir)
    try:
        return open_bundle(root, run_dir)
    except BadInput:
        if step.row.needs_bundle or run_dir is not None:
            raise
        say("no open bundle: what this step runs is not recorded")
        return None


def _newest(root: Path, run_dir: Path | None) -> Bundle:
    from tools.scaling.bundle.bundle import bundles

    candidates = [Bundle(run_dir.absolute())] if run_dir is not None and run_dir.is_dir() else bundles(root)
    if (run_dir is not None and not run_dir.is_dir()) or not candidates:
        raise BadInput(f"{relative(run_dir or root)}: expected a bundle, got none; make one first: nox -s phase_m1")
    return candidates[-1]


def phase_m1(
    settings: Settings,
    root: Path,
    say: Callable[[str], None],
    *,
    staged: bool = True,
    sign: Path | None = None,
    on_blocked: str | None = None,
) -> Bundle:
    """Run all steps with one RUN_DIR, halting at the first failure.

    Raises the failure after the blocked evidence is written and sealed; its exit code is the step's own.
    """
    page = _words(on_blocked) if on_blocked else []
    with interruptible(), ProcedureRun(settings, say, sign=_signing_key(sign)) as run:
        try:
            run.step = STEPS[0].name
            new_bundle(run, root, None)
            say(f"RUN_DIR {run.made.shown()}")
            pair = run.pair
            other = pair is not None and pair.candidate is not PORT  # which our tests say nothing of
            left_out = {"image": settings.image is None or pair is not None, "stage": not staged}
            left_out |= {"collect_only": other, "parity_tests": other}
            for step in STEPS:
                if not left_out.get(step.name):
                    run_step(run, step)
            go_deaf()
            return run.made
        except Exception as problem:
            go_deaf()
            error = as_scaling_error(problem)
            run.stop_worker()

            def tell(line: str) -> None:
                with suppress(OSError):  # what is said may go to the disk that is full: the page goes out all the same
                    say(line)

            _block(run, error, tell)
            if page:
                _page(page, run.bundle, tell)
            raise Blocked(error, run) from problem


class Blocked(ScalingError):
    """A halted run. `str` is the last line on the terminal; the exit code is the step's own."""

    def __init__(self, cause: ScalingError, run: ProcedureRun) -> None:
        kept = f"; evidence: {run.bundle.shown()}" if run.bundle is not None else ""
        super().__init__(f"BLOCKED {run.step}: {cause} (exit {cause.exit_code}){kept}")
        self.exit_code = cause.exit_code


def as_scaling_error(problem: Exception) -> ScalingError:
    """Return what went wrong, with an exit code: a refusal of the file system is bad input, the rest are defects."""
    if isinstance(problem, ScalingError):
        return problem
    if isinstance(problem, OSError):
        return BadInput(f"{problem.filename or 'file system'}: {problem.strerror or problem}")
    return ScalingError(f"internal error: {problem!r}")


def _signing_key(path: Path | None) -> Path | None:
    """Return the key's path, once it is known to be one: a wrong key must not show only at the end."""
    if path is not None:
        from tools.scaling.bundle.signing import load_signer

        load_signer(path)
    return path


def _block(run: ProcedureRun, error: ScalingError, say: Callable[[str], None]) -> None:
    """Write and seal the evidence of a run that halted; if even that fails, say so."""
    bundle = run.bundle
    if bundle is None or bundle.sealed:
        return
    try:
        write_text(bundle.path(AUDIT), audit(run, error))
        write_report(bundle)
        bundle.seal(run.sign)
        say(f"kept {len(bundle.files())} files, sealed, in {bundle.shown()}")
    except (ScalingError, OSError) as problem:
        say(f"the blocked evidence could not be sealed: {problem}")


def audit(run: ProcedureRun, error: ScalingError) -> str:
    """Return the text of instrumentation_audit.md: which step, why, with what output, and what was kept."""
    bundle = run.made
    kept = "".join(f"- {code(name)}\n" for name in bundle.files())
    text = f"# Blocked: {run.step}\n\nThe run halted at step {run.step} with exit code {error.exit_code}.\n\n"
    text += f"Why: {one_line(str(error))}\n\n"
    if isinstance(error, StepFailed):
        record = error.record
        text += f"Command:\n\n    {one_line(record.command)}\n\n"
        for label, out in (("stdout", record.stdout), ("stderr", record.stderr)):
            body = "".join(f"    {one_line(line)}\n" for line in out.splitlines()[-40:])
            text += f"Last lines of {label}:\n\n{body or '    (nothing)' + chr(10)}\n"
    try:
        changed = changed_protected(bundle.provenance()["protected"])
        text += "".join(f"Protected file: {line}\n\n" for line in changed)
    except BadInput:
        pass  # provenance itself failed: there is no earlier state to compare with
    return f"{text}Kept:\n\n{kept}\nNothing was retried. Mend the cause and start a new run: nox -s phase_m1\n"


def _words(command: str) -> list[str]:
    """Return the words of --on-blocked, split before anything runs, so that a wrong one shows at once."""
    try:
        return shlex.split(command)
    except ValueError as error:
        raise BadInput(f"--on-blocked: expected a command line, got: {error}") from error


def _page(words: list[str], bundle: Bundle | None, say: Callable[[str], None]) -> None:
    """Run the user's --on-blocked command once, with RUN_DIR, if the run came to one, as its last argument.

    Its words may hold secrets: they are not repeated.
    """
    argv = [*words, *([bundle.shown()] if bundle is not None else [])]
    try:
        code = subprocess.run(argv, check=False).returncode
        say(f"--on-blocked: exit {code}")
    except OSError as error:
        say(f"--on-blocked: could not be started: {error.strerror}")
