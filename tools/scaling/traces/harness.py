"""The work of the subcommands: joins the port, parity and the evidence. Prints nothing.

Everything that imports torch or pytest does so inside the function that needs it.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.scaling.base.discretion import located
from tools.scaling.base.errors import BadInput, GateFailed, Unavailable, of_port
from tools.scaling.base.files import json_bytes, refuse_foreign, text_bytes, write_all, write_text
from tools.scaling.base.repo import MAPPED_TESTS, ROOT, git, relative
from tools.scaling.cases.case import find_case

if TYPE_CHECKING:
    from tools.scaling.traces.report import Report

# The three traces of a run: where each comparison lies in the bundle, and the harness flags that make it.
MODES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "c-parity": ("", "trace_py_scaling.log", ("--phi-mode", "c-parity")),
    "spec": ("spec", "trace_py_scaling_spec.log", ("--phi-mode", "spec")),
    "legacy": ("legacy", "trace_py_scaling_legacy.log", ("--phi-mode", "c-parity", "--vectors", "as-given")),
}


def harness(
    case_name: str,
    *,
    out: Path,
    pixel: tuple[int, int] | None,
    phi_mode: str,
    vectors: str,
    device: str,
    dtype: str,
    hkl: Path | None = None,
    dump_per_phi: bool = False,
) -> list[Path]:
    """Trace one pixel of a case through the port into `out`. Returns the files written.

    With `dump_per_phi` the TRACE_PY_PHI rows go also to STEM_per_phi.log and .json beside it.
    """
    case = find_case(case_name)
    if pixel is None and not case.pixels:
        raise BadInput(f"{case_name}: names no traced pixel; expected --pixel SLOW FAST")
    slow, fast = pixel or case.pixels[0]
    from nanobragg_torch.errors import NanoBraggError
    from nanobragg_torch.flags.parse import parse

    flags = [*with_hkl(case.flags, hkl), "--phi-mode", phi_mode, "--vectors", vectors]
    try:
        config = parse(flags, folders=case.folders)
        import torch

        from nanobragg_torch.products.trace import render, trace_pixel
        from tools.scaling.engine.diff import open_device

        lines = trace_pixel(config, slow, fast, device=open_device(device), dtype=getattr(torch, dtype))
    except NanoBraggError as error:
        raise of_port(error) from error
    text = render(lines, prefix="TRACE_PY")
    if not dump_per_phi:
        write_text(out, text)
        return [out]
    log, table = (out.with_name(f"{out.stem}_per_phi{suffix}") for suffix in (".log", ".json"))
    refuse_foreign({log: b"TRACE_PY_PHI ", table: b'"phi_mode"'})
    rows = [line for line in text.splitlines() if line.startswith("TRACE_PY_PHI ")]
    fields = [dict(item.split("=", 1) for item in row.split()[1:]) for row in rows]
    numbers = [{k: int(v) if k == "phi_tic" else float(v) for k, v in row.items()} for row in fields]
    settings: dict[str, Any] = {"case": case.name, "pixel_slow_fast": [slow, fast]}
    settings |= {"phi_mode": phi_mode, "vectors": vectors}
    settings |= {"device": device, "dtype": dtype, "per_phi": numbers}
    per_phi = "".join(f"{row}\n" for row in rows)
    write_all({out: text_bytes(text), log: text_bytes(per_phi), table: json_bytes(settings)})
    return [out, log, table]


def with_hkl(flags: Sequence[str], hkl: Path | None) -> list[str]:
    """The flags with their reflection list replaced."""
    if hkl is None:
        return list(flags)
    if "-hkl" not in flags[:-1]:
        return [*flags, "-hkl", str(hkl.absolute())]
    at = len(flags) - 1 - list(reversed(flags)).index("-hkl")
    return [*flags[: at + 1], str(hkl.absolute()), *flags[at + 2 :]]


def compare_files(c: Path, py: Path, out: Path, *, tolerance: float, device: str, dtype: str, command: str) -> "Report":
    """Compare two traces; write the summary to `out`, metrics.json and run_metadata.json beside it.

    dtype: what the port computed in; the tolerance of the traced numbers follows it.

    Nothing is written unless both traces could be read and compared.
    """
    from tools.scaling.traces.read import read_trace

    beside = _outputs_beside(c, py, out)
    reference, candidate = (read_trace(path, source=relative(path)) for path in (c, py))
    import torch

    from tools.scaling.traces.compare import compare
    from tools.scaling.traces.markdown import comparison_markdown

    report = compare(reference, candidate, tolerance=tolerance, device=device, precision=dtype)
    metadata = {
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_sha": _sha(),
        "torch_version": torch.__version__,
        "command": command,
        "c_trace": relative(c),
        "py_trace": relative(py),
        "tolerance_rel": tolerance,
        "device": device,
    }
    contents = [text_bytes(comparison_markdown(report)), json_bytes(report.metrics()), json_bytes(metadata)]
    write_all(dict(zip([out, *beside], contents)))
    return report


def _outputs_beside(c: Path, py: Path, out: Path) -> list[Path]:
    """metrics.json and run_metadata.json beside the summary `out`; none where it is no regular file.

    Raises BadInput where one of the three would take the place of another, or of a trace.
    """
    if not out.parent.is_dir():
        raise BadInput(f"{out}: expected an existing folder, got none at {out.parent}")
    if out.exists() and not out.is_file() and not out.is_dir():  # /dev/null, a pipe
        return []
    beside = [out.parent / name for name in ("metrics.json", "run_metadata.json")]
    if out in beside:
        raise BadInput(f"{out}: expected another name for the summary, {out.name} is written beside it")
    for trace in (c, py):
        if any(path.exists() and trace.exists() and path.samefile(trace) for path in (out, *beside)):
            raise BadInput(f"{trace}: expected outputs beside the traces, got one that would overwrite this trace")
    refuse_foreign(dict(zip(beside, (b'"tolerance_rel"', b'"git_sha"'))))
    return beside


def _sha() -> str | None:
    try:
        return git("rev-parse", "--verify", "HEAD").strip()
    except BadInput:
        return None


def inspect_file(path: Path) -> list[str]:
    """What is wrong with the header lines of a trace; empty when all is well."""
    from tools.scaling.traces.read import inspect_trace, read_trace

    return list(inspect_trace(read_trace(path)).problems)


@dataclass(frozen=True)
class Check:
    """One line of the check: which trace, what it must show, what it shows."""

    mode: str
    expected: str
    found: str
    ok: bool

    @property
    def line(self) -> str:
        return f"{self.mode}: expected {self.expected}; found {self.found}"


def check_metrics(
    folder: Path, case_name: str, pixel: tuple[int, int], *, reference: str, dtype: str = "float64"
) -> list[Check]:
    """Hold the three metrics.json of a bundle against what the case must show (design: check).

    c-parity must not diverge. Where the case has known figures the two controls must diverge first in
    I_before_scaling, by those figures; elsewhere they are not judged. The figures are of the case's first traced
    pixel, against the `reference` trace that the case names, in float64.
    """
    case = find_case(case_name)
    own = case.c_trace is not None and relative(case.c_trace) == located(reference)
    expected = case.expected if own and dtype == "float64" and pixel in case.pixels[:1] else {}
    checks = []
    for mode, (subfolder, _, _) in MODES.items():
        metrics = _read_metrics(folder / subfolder / "metrics.json")
        first, count = metrics["first_divergence"], metrics["num_divergent"]
        size = metrics["factors"].get(first, {}).get("rel_delta") if first else None
        by = "" if size is None else f" by {_signed(size)}"
        found = f"first_divergence {first or 'null'}{by}, num_divergent {count}"
        if mode == "c-parity":
            checks.append(Check(mode, "first_divergence null, num_divergent 0", found, first is None and count == 0))
            continue
        delta = metrics["factors"]["I_before_scaling"]["rel_delta"]
        shown = f"first_divergence {first or 'null'}, I_before_scaling {_signed(delta)}"
        figure = expected.get(mode)
        if figure is None:
            checks.append(Check(mode, "no known figure: reported, not judged", shown, True))
            continue
        wanted, width = figure["rel_delta"], figure["tolerance"]
        ok = first == "I_before_scaling" and delta is not None and abs(delta - wanted) <= width
        text = f"first_divergence I_before_scaling, {wanted:.6e} +- {width:.0e}"
        checks.append(Check(mode, text, shown, ok))
    return checks


def _signed(value: float | None) -> str:
    return "none" if value is None else f"{value:+.6e}"


def _read_metrics(path: Path) -> dict[str, Any]:
    try:
        metrics = dict(json.loads(path.read_text(encoding="ascii")))
        metrics["first_divergence"], metrics["num_divergent"], metrics["factors"]["I_before_scaling"]["rel_delta"]
    except OSError as error:
        raise BadInput(f"{relative(path)}: expected the metrics of a comparison, got {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(f"{relative(path)}: expected the metrics of a comparison, got {error!r}") from error
    return metrics


def environment_record() -> dict[str, Any]:
    """What makes numbers differ from one machine to the next (env.json)."""
    from tools.scaling.bundle.environment import environment_record as record

    return record()


class _Passes:
    """A plugin of pytest that counts the tests that passed."""

    def __init__(self) -> None:
        self.count = 0

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.count += report.when == "call" and report.passed


def pytest_files(files: Sequence[str], *options: str) -> int:
    """Run pytest, in this process, on `files` (relative to the repo's root): how many tests passed.

    Raises GateFailed.
    """
    try:
        import pytest
    except ImportError as error:
        raise Unavailable("pytest: not installed; expected the dependency group 'tests'") from error
    missing = [name for name in files if not (ROOT / name).is_file()]
    if missing:
        raise BadInput(f"{missing[0]}: expected a test file, got none")
    os.chdir(ROOT)
    passes = _Passes()
    arguments = ["-q", "--no-header", "-p", "no:cacheprovider", "--color=no", *options, *files]
    code = pytest.main(arguments, plugins=[passes])
    if code != pytest.ExitCode.OK:
        raise GateFailed(f"pytest {' '.join(files)}: exit {int(code)} ({pytest.ExitCode(code).name})")
    return passes.count


def mapped_tests(device: str, optional: bool = False, files: Sequence[str] = MAPPED_TESTS) -> str | None:
    """Run the mapped tests on `device`. Returns the reason when `optional` and there is no such device."""
    from tools.scaling.engine.diff import open_device

    try:
        open_device(device)
    except Unavailable as error:
        if optional:
            return str(error)
        raise
    before = os.environ.get("NB_TEST_DEVICE")
    os.environ["NB_TEST_DEVICE"] = device
    try:
        if not pytest_files(files):
            raise GateFailed(f"pytest {' '.join(files)}: expected tests that run on {device}, got none that passed")
    finally:
        if before is None:
            del os.environ["NB_TEST_DEVICE"]
        else:
            os.environ["NB_TEST_DEVICE"] = before
    return None
