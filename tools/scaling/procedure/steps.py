"""What each numbered step of the parity procedure does; table.py lists them in order."""

import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanobragg_torch.scan.plan import MemoryPlan
from tools.scaling.base.errors import BadInput, GateFailed, Unavailable
from tools.scaling.base.repo import (
    EXPORTED,
    EXPORTS,
    MAPPED_TESTS,
    ROOT,
    changed_protected,
    git,
    head,
    inside,
    protected_state,
    relative,
    with_index,
)
from tools.scaling.base.text import code, plain
from tools.scaling.bundle import ledger as ledgers
from tools.scaling.bundle.bundle import create
from tools.scaling.bundle.layout import (
    ATTESTATION,
    COMMANDS,
    ENVIRONMENT,
    EXPLAIN_PAGE,
    IMAGE_FOLDER,
    IMAGES,
    MANIFEST,
    METADATA,
    METRICS,
    MODES,
    PROVENANCE,
    REPORT,
    SEAL,
    SUMMARY,
    CommandRecord,
    Mode,
    read_metrics,
    read_object,
)
from tools.scaling.bundle.patch import input_digests, record_patch
from tools.scaling.cases.case import Extent
from tools.scaling.images.region import Region, find_region, plan_region
from tools.scaling.implementations.describe import PORT, RECORDED
from tools.scaling.implementations.difference import followed
from tools.scaling.page.report import write_report
from tools.scaling.procedure.check import signed
from tools.scaling.procedure.pair import REFERENCE_LOG, ProgramPair, modes_in
from tools.scaling.procedure.runner import ProcedureRun, StepFailed
from tools.scaling.procedure.table import TABLE, StepRow


@dataclass(frozen=True)
class Step:
    """A row of the table, and the function that does its work."""

    row: StepRow
    work: Callable[[ProcedureRun], None]

    @property
    def name(self) -> str:
        return self.row.name


def reference_of(run: ProcedureRun) -> Path:
    """Return the reference's trace of the run's pixel: of a program that which the run makes. Raises Unavailable."""
    if run.pair is not None and run.pair.reference is not RECORDED:
        return run.made.path(REFERENCE_LOG)
    given = run.settings.c
    path = Path(given) if given else run.case.reference(run.pixel)
    if path is None:
        slow, fast = run.pixel
        raise Unavailable(f"{run.settings.case}: no reference trace of pixel {slow} {fast}; give one with --c")
    path = path if path.is_absolute() else ROOT / path
    if not path.is_file():
        raise Unavailable(f"{relative(path)}: no such reference trace")
    return path


def provenance(run: ProcedureRun) -> None:
    """Record commit, status, exports and the installed package; make the bundle's first files."""
    bundle, pair = run.made, run.pair
    reference = None if pair is not None and not pair.traced else reference_of(run)
    commit = head()
    known = {
        "timestamp": bundle.stamp,
        "git_sha": commit,
        "exports": EXPORTS,
        "settings": run.settings.with_changes(pixel=run.pixel).as_json(),
        "reference": relative(reference) if reference else pair.reference.name if pair else None,
        "inputs": input_digests(_inputs(run, reference)),
        "protected": protected_state(),
    }
    if pair is not None:
        known["implementations"] = pair.record()
    patched, told = record_patch(bundle, run.settings.include_untracked)
    bundle.write_provenance(known | patched)
    for line in told:
        run.say(f"    {line}")
    run.external(["git", "rev-parse", "HEAD"])
    run.external(["git", "status", "-sb"])
    run.here(f"export {EXPORTED}", lambda: "")
    pip = [sys.executable, "-m", "pip", "show", "nanobragg-torch"]
    run.external(pip, may_fail=True, shown="python -m pip show nanobragg-torch")
    if run.settings.image is not None and pair is None:
        _plan(run, _region(run))  # before torch is imported, so that what cannot fit is refused at once


def _inputs(run: ProcedureRun, reference: Path | None) -> list[Path]:
    """Return what the run reads: its case, the files that its flags name, another list, the reference's trace."""
    pair = run.pair
    programs = [pair.reference.source, pair.candidate.source] if pair else []
    case = run.case
    named = [folder / word for folder in case.folders for word in case.flags]
    other = [Path(name).absolute() for name in (run.settings.hkl, run.settings.image_c) if name]
    recorded = reference if pair is None or pair.reference is RECORDED else None  # another is made by the run
    return [case.folder / "case.json", *named, *other, *filter(None, [recorded, *programs])]


def harness_traces(run: ProcedureRun) -> None:
    """Make the c-parity, spec and legacy traces, the per-phi log and JSON, the inspection.

    Of another pair of implementations the traces that both have; the controls exist for our port alone.
    """
    common, pair = run.settings.with_changes(pixel=run.pixel).options(), run.pair
    if pair is not None and not pair.traced:
        untraced = pair.candidate if pair.candidate.trace is None else pair.reference
        run.say(f"    {untraced.name} has no trace: the image alone decides")
        return
    programs = run.settings.programs
    if pair is not None and pair.candidate is not PORT:
        run.say(f"    the trace of {pair.candidate.name} alone: the controls exist for our port")
        run.scaling("harness", *common, *programs, "--out", run.made.shown(MODES["c-parity"].log))
        return
    for mode in MODES.values():
        extra = [*programs, "--dump-per-phi"] if mode.name == "c-parity" else run.settings.followed
        run.scaling("harness", *common, *_own_options(run, mode), "--out", run.made.shown(mode.log), *extra)
    for mode in MODES.values():
        run.scaling("inspect", run.made.shown(mode.log))


def _own_options(run: ProcedureRun, mode: Mode) -> tuple[str, ...]:
    """Return the options of a trace; what phi == 0 does is left to the program that is followed, but in the control."""
    if mode.options[:2] == ("--phi-mode", "c-parity") and (run.settings.followed or run.case.mode):
        return mode.options[2:]
    return mode.options


def env_snapshot(run: ProcedureRun) -> None:
    """Write env.json."""
    run.scaling("env", "--out", run.made.shown(ENVIRONMENT))


def comparison(run: ProcedureRun) -> None:
    """Print compare's help, compare and explain three traces, list the outputs, check the metrics."""
    bundle, pair = run.made, run.pair
    modes = tuple(MODES.values()) if pair is None else pair.modes
    reference = relative(reference_of(run)) if modes else ""
    run.scaling("compare", "--help")
    for mode in modes:
        bundle.path(mode.place).mkdir(exist_ok=True)
        options = ["--tolerance", repr(run.settings.tolerance), "--device", run.settings.device]
        options += ["--dtype", run.settings.dtype, "--out", bundle.shown(mode.path(SUMMARY))]
        run.scaling("compare", "--c", reference, "--py", bundle.shown(mode.log), *options)
    for mode in modes:
        ends = dict.fromkeys((mode.path(SUMMARY), SUMMARY))
        options = [word for name in ends for word in ("--summary", bundle.shown(name))]
        options += ["--case", run.settings.case, *_rules(run), "--out", bundle.shown(mode.path(EXPLAIN_PAGE))]
        explained = run.scaling("explain", "--c", reference, "--py", bundle.shown(mode.log), *options)
        run.say(f"    {mode.log}: {explained.stdout.strip().splitlines()[-1]}")
    if pair is not None:
        _programs_images(run, pair)
    run.here(f"ls {bundle.shown()}", lambda: "\n".join(bundle.files()))
    try:
        checked = run.scaling("check", "--run-dir", bundle.shown(), "--case", run.settings.case)
    except StepFailed as error:
        _say_lines(run, error.record)
        raise
    _say_lines(run, checked)


def _rules(run: ProcedureRun) -> list[str]:
    """Return the option that names the program whose rules both traces are explained by."""
    options = tuple(run.settings.followed)
    return list(options if run.pair is None else followed(run.pair.reference, options))


def _programs_images(run: ProcedureRun, pair: ProgramPair) -> None:
    """Compare the images that the two implementations make; where a trace was compared, a record may have none."""
    from tools.scaling.images.versus import windowed

    settings = run.settings.with_changes(pixel=run.pixel)
    options, extent = settings.options(), Extent(settings.image or "window")
    options += ["--extent", extent.value] if settings.image else []
    options += ["--c", settings.image_c] if settings.image_c else []
    options += ["--tolerance", repr(settings.tolerance)]
    recorded = Path(settings.image_c) if settings.image_c else None
    try:
        windowed(run.case, run.pixel, (pair.reference, pair.candidate), extent, recorded)
    except Unavailable as error:
        if not pair.traced:
            raise
        run.say(f"    no image compared: {error}")
        return
    done = run.scaling("images", *run.settings.programs, *options, "--out", run.made.shown(IMAGE_FOLDER))
    run.say(f"    images: {done.stdout.strip().splitlines()[-1]}")


def _say_lines(run: ProcedureRun, record: CommandRecord) -> None:
    for line in record.stdout.splitlines():
        run.say(f"    {line}")


def image(run: ProcedureRun) -> None:
    """Simulate the window or the detector in blocks that fit, and compare it with the reference's image, if any."""
    settings, region = run.settings, _region(run)
    cut = _plan(run, region)
    options = [*_region_options(run, region), "--block", str(cut.block), "--threads", str(cut.workers)]
    options += [] if cut.kernel else ["--no-kernel"]
    options += ["--c", settings.image_c] if settings.image_c else []
    run.stop_worker()  # the plan is of a new process, without what the steps before have left in this one
    done = run.scaling("simulate", *options, "--out", run.made.shown(IMAGE_FOLDER))
    run.say(f"    {done.stdout.strip().splitlines()[-1]}")


def _region(run: ProcedureRun) -> Region:
    hkl = Path(run.settings.hkl) if run.settings.hkl else None
    extent = Extent(run.settings.image or "window")
    return find_region(run.settings.case, extent, pixel=run.pixel, hkl=hkl, mode=run.settings.mode)


def _region_options(run: ProcedureRun, region: Region) -> list[str]:
    options = run.settings.with_changes(pixel=run.pixel).options()
    return [*options, *run.settings.followed, "--extent", region.extent.value]


def _plan(run: ProcedureRun, region: Region) -> MemoryPlan:
    """Plan the region's memory; its line goes to commands.txt. Raises StepFailed (exit 4) where it cannot fit."""
    made: list[MemoryPlan] = []

    def work() -> str:
        settings = run.settings
        made.append(plan_region(region, device=settings.device, dtype=settings.dtype, there=run.fixed_limit()))
        return made[0].line

    run.here(f"python -m tools.scaling plan {shlex.join(_region_options(run, region))}", work)
    return made[0]


def collect_only(run: ProcedureRun) -> None:
    """Run pytest --collect-only on the mapped test files, one by one."""
    for name in MAPPED_TESTS:
        run.scaling("collect", name)


def parity_tests(run: ProcedureRun) -> None:
    """Run the mapped tests on the CPU, and on CUDA: pass, or skip with its reason."""
    wanted = [[run.settings.device]] if run.settings.device != "cpu" else [["cpu"], ["cuda", "--optional"]]
    for options in wanted:
        done = run.scaling("pytest", "--device", *options)
        run.say(f"    {options[0]}: {done.stdout.strip().splitlines()[-1]}")


def ledger(run: ProcedureRun) -> None:
    """Write the plan's Phase M1 row and one Attempt in docs/fix_plan.md, if the bundle is in the repository."""
    bundle = run.made

    def write() -> str:
        if not inside(bundle.folder):
            return f"{bundle.shown()} lies outside the repository: no entry, nothing in the repository is written"
        changed = ledgers.write(entry_of(run))
        return "\n".join(f"{name}: entry made" for name in changed) or f"{bundle.stamp}: entries are there already"

    run.here(f"python -m tools.scaling ledger --run-dir {bundle.shown()}", write)


def handoff(run: ProcedureRun) -> None:
    """Record git's final status; hold the protected files and the diagnostics that the Attempt must name."""
    bundle = run.made
    run.external(["git", "status", "-sb"])

    def check() -> str:
        changed = changed_protected(bundle.provenance()["protected"])
        if changed:
            raise GateFailed("; ".join(changed))
        if not inside(bundle.folder):
            return "protected files unchanged; no Attempt for a bundle outside the repository"
        attempt = ledgers.attempt_of(bundle.stamp)
        unnamed = [name for name in diagnostics_of(run) if code(name) not in attempt]
        if unnamed:
            raise GateFailed(f"{ledgers.FIX_PLAN}: the Attempt of {bundle.stamp} does not name {unnamed[0]}")
        return "protected files unchanged; every extra diagnostic is named in the Attempt"

    run.here(f"python -m tools.scaling handoff --run-dir {bundle.shown()}", check)
    run.here(f"python -m tools.scaling page {bundle.shown()}", lambda: f"wrote {relative(write_report(bundle))}")


def checksums(run: ProcedureRun) -> None:
    """Seal the bundle: sha256.txt over every artifact, verified after writing."""
    run.say(f"    sealed {run.made.seal(run.sign)} files in {run.made.shown(MANIFEST)}")


def stage(run: ProcedureRun) -> None:
    """Stage (git add) exactly what the run wrote."""
    bundle = run.made
    if not inside(bundle.folder):
        run.say(f"    {bundle.shown()} lies outside the repository: not staged")
        return
    staged = [bundle.folder.resolve().relative_to(ROOT).as_posix()]

    def work() -> None:
        git("add", "--", *staged[:1])
        staged[1:] = ledgers.stage(entry_of(run)) if _has_attempt(run) else []

    with_index(work, run.say)
    run.say("    staged " + ", ".join(staged))


_WORK = (
    provenance, harness_traces, env_snapshot, comparison, image, collect_only, parity_tests, ledger, handoff, checksums,
    stage,
)  # fmt: skip
STEPS = tuple(Step(row, {work.__name__: work for work in _WORK}[row.name]) for row in TABLE)


def find_step(name: str) -> Step:
    for step in STEPS:
        if step.name == name.replace("-", "_"):
            return step
    raise BadInput(f"{name}: expected a step, one of {', '.join(s.name for s in STEPS)}")


def new_bundle(run: ProcedureRun, reports_root: Path, run_dir: Path | None) -> None:
    """Give the run its RUN_DIR. Fails before making one when git or the reference is missing."""
    head()
    if run.settings.mode:
        run.case.config(*run.settings.followed)  # BadInput for a mode that is none
    pair = run.pair
    if pair is not None:
        pair.record()  # Unavailable where a program is not there
    if pair is None or (pair.reference is RECORDED and pair.traced):
        reference_of(run)
    run.bundle = create(reports_root, run_dir)


def diagnostics_of(run: ProcedureRun) -> list[str]:
    """Return the files beyond the c-parity comparison: what a reader may want and would not look for."""
    usual = {MODES["c-parity"].log, COMMANDS, ENVIRONMENT, PROVENANCE, METRICS, METADATA, SUMMARY, REPORT}
    usual |= {SEAL, ATTESTATION}
    return [name for name in run.made.files() if name not in usual]


def entry_of(run: ProcedureRun) -> ledgers.LedgerEntry:
    """Return the run's ledger entry, from its own files."""
    bundle = run.made
    known = bundle.provenance()
    metrics = {mode.name: read_metrics(bundle.folder, mode) for mode in modes_in(known)}
    slow, fast = run.pixel
    lines = {
        "Case": plain(
            f"{run.settings.case}, pixel slow {slow} fast {fast}, {run.settings.device} {run.settings.dtype}"
        ),
        "Commit": plain(str(known["git_sha"])),
        "Reference": code(str(known["reference"])),
        **_programs_line(known),
        **_trace_lines(metrics),
        **_image_line(run),
        "Artifacts": code(bundle.shown()),
        "Extra diagnostics": ", ".join(map(code, diagnostics_of(run))),
    }
    parity = metrics.get("c-parity")  # without a trace the image has decided; a run that fails writes no entry
    passed = parity is None or (parity["first_divergence"] is None and parity["num_divergent"] == 0)
    outcome = f"{'PASS' if passed else 'DIVERGENT'} ({run.case.name})"
    return ledgers.LedgerEntry(bundle.stamp, bundle.shown(), outcome, lines)


def _programs_line(known: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of the two implementations; nothing where they are our port and the golden data."""
    pair = known.get("implementations")
    if pair is None:
        return {}
    return {"Implementations": plain(f"candidate {pair['candidate']['name']}, reference {pair['reference']['name']}")}


def _trace_lines(metrics: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """Return what the comparisons of the traces say; nothing where there was none."""
    parity = metrics.get("c-parity")
    if parity is None:
        return {}
    factor = parity["factors"]["I_before_scaling"]
    deltas = {mode: m["factors"]["I_before_scaling"]["rel_delta"] for mode, m in metrics.items()}
    return {
        "I_before_scaling": plain(f"reference {factor['c_value']}, port {factor['py_value']}"),
        "Relative delta": ", ".join(f"{mode} {signed(value)}" for mode, value in deltas.items()),
        "First divergence": plain(
            f"c-parity {parity['first_divergence'] or 'none'}, "
            f"first upstream {_upstream(parity)}, num_divergent {parity['num_divergent']}"
        ),
    }


def _image_line(run: ProcedureRun) -> dict[str, str]:
    """Return what the comparison of the images says; nothing where there was none."""
    path = run.made.path(f"{IMAGE_FOLDER}/{IMAGES}")
    if not path.is_file():
        return {}
    compared = read_object(path)
    word = "PASS" if compared["passed"] else "FAIL"
    return {"Image": plain(f"{word}, {compared['pixels']} pixels, {compared['unequal']} not bitwise equal")}


def _upstream(metrics: dict[str, Any]) -> str:
    return str(metrics.get("first_upstream_divergence") or "none")


def _has_attempt(run: ProcedureRun) -> bool:
    try:
        ledgers.attempt_of(run.made.stamp)
    except BadInput:
        return False
    return True
