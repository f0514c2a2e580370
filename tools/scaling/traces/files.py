"""Traces as files: compared into a folder, and inspected."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tools.scaling.base.errors import BadInput
from tools.scaling.base.files import json_bytes, refuse_foreign, text_bytes, write_all
from tools.scaling.base.repo import git, relative
from tools.scaling.bundle.layout import METADATA, METRICS
from tools.scaling.traces.labels import computed, read_labels
from tools.scaling.traces.read import inspect_trace, read_trace

if TYPE_CHECKING:
    from tools.scaling.traces.report import Report


def compare_files(
    c: Path,
    py: Path,
    out: Path,
    *,
    tolerance: float,
    device: str,
    dtype: str,
    command: str,
    labels: Path | None = None,
) -> "Report":
    """Compare two traces; write the summary to `out`, metrics.json and run_metadata.json beside it.

    dtype: what the port computed in; the tolerance of the traced numbers follows it. labels: the port's table of
    labels; what it says to be in print only is not compared.
    Nothing is written unless both traces could be read and compared.
    """
    beside = _outputs_beside(c, py, out)
    reference, candidate = (read_trace(path, source=relative(path)) for path in (c, py))
    if labels is not None:
        candidate = computed(candidate, read_labels(labels))
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
    """The paths of metrics.json and run_metadata.json beside the summary `out`; none where it is no regular file.

    Raises BadInput where one of the three would take the place of another, or of a trace.
    """
    if not out.parent.is_dir():
        raise BadInput(f"{out}: expected an existing folder, got none at {out.parent}")
    if out.exists() and not out.is_file() and not out.is_dir():  # /dev/null, a pipe
        return []
    beside = [out.parent / name for name in (METRICS, METADATA)]
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
    return list(inspect_trace(read_trace(path)).problems)
