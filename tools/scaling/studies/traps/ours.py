"""The automation's own verdict on a trap, through the functions that a user's command calls."""

from pathlib import Path

from tools.scaling.base.errors import BadInput
from tools.scaling.studies.traps.record import Trap, TrapVerdict


def our_verdict(trap: Trap, folder: Path) -> tuple[TrapVerdict, str]:
    """Return the verdict on a trap and the first line of its reason, empty for a pass.

    The two files are written to `folder`. Traces are judged by `compare` and by the matrix's judge_trace, images by the
    gate of `images`.
    """
    c, py = folder / f"c{trap.suffix}", folder / f"py{trap.suffix}"
    c.write_bytes(trap.reference)
    py.write_bytes(trap.candidate)
    try:
        problems = _trace_problems(c, py) if trap.is_trace else _image_problems(c, py, trap.shape)
    except BadInput as error:
        return TrapVerdict.ERROR, str(error).replace(f"{folder}/", "")
    return (TrapVerdict.FAIL, problems[0]) if problems else (TrapVerdict.PASS, "")


def _trace_problems(c: Path, py: Path) -> tuple[str, ...]:
    from tools.scaling.matrix.judge import judge_trace
    from tools.scaling.traces.compare import compare
    from tools.scaling.traces.read import read_trace

    reference, candidate = read_trace(c, c.name), read_trace(py, py.name)
    report = compare(reference, candidate)
    problems = judge_trace((685, 1039), reference, candidate, report, tricubic=False, claim=True).problems
    factors = () if report.passed else (f"first_divergence {report.first_divergence}",)
    return (*factors, *problems)


def _image_problems(c: Path, py: Path, shape: tuple[int, int] | None) -> tuple[str, ...]:
    from tools.scaling.images.compare import compare_image_files

    return compare_image_files(c, py, shape=shape).problems
