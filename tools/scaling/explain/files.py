"""Trace files and a case -> explanations, and the files that hold them. Prints nothing."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tools.scaling.base.errors import BadInput
from tools.scaling.base.files import refuse_foreign, write_json, write_text
from tools.scaling.base.repo import relative
from tools.scaling.cases.case import Case

if TYPE_CHECKING:
    from nanobragg_torch.config import Config
    from tools.scaling.explain.explanation import Explanation


def explain_logs(
    c: Sequence[Path],
    py: Sequence[Path],
    *,
    case: Case | None,
    device: str = "cpu",
    pixel: tuple[int, int] | None = None,
    labels: Path | None = None,
    mode: str | None = None,
) -> "tuple[Explanation, ...]":
    """Explain the port's logs `py` by the reference's `c`: one explanation for each pixel that they trace.

    case: whose command line both sides come from; without it the settings are read off the reference. pixel: (slow,
    fast) of logs that name none. labels: the port's table of aliases, over the built-in one. mode: the program whose
    rules are followed, where it is not the case's. Raises BadInput for files that cannot be read, and for logs of
    different pixels or cases.
    """
    from tools.scaling.explain.logs import pairs, put_right
    from tools.scaling.traces.labels import computed, read_labels
    from tools.scaling.traces.read import read_trace

    table = read_labels(labels)
    raw = [[read_trace(path, source=relative(path)) for path in paths] for paths in (c, py)]
    reference, candidate = (
        [computed(trace, of) for trace in traces] for traces, of in zip(raw, (read_labels(), table))
    )
    candidate, swapped = put_right(reference, candidate)
    both = pairs(reference, candidate, pixel)
    from tools.scaling.explain.answer import explain
    from tools.scaling.explain.explanation import agreed

    settings = None if case is None else _settings(case, mode)
    explained = [explain(*sides, settings, device) for sides in both]
    return agreed(tuple(each.noted(swapped.get(each.pixel)) for each in explained))


def _settings(case: Case, mode: str | None) -> "Config":
    try:
        return case.config(*(("--mode", mode) if mode else ()))
    except BadInput as error:
        raise BadInput(f"{case.name}: {error}") from error


def explain_command(
    c: Path | Sequence[Path],
    py: Path | Sequence[Path],
    *,
    case: str | None,
    out: Path | None,
    as_json: bool,
    device: str = "cpu",
    summaries: Sequence[Path] = (),
    pixel: tuple[int, int] | None = None,
    labels: Path | None = None,
    mode: str | None = None,
) -> list[str]:
    """Explain the logs; return the lines for standard output: the JSON alone with `as_json`, else causes and sentence.

    out: Markdown file to write, with the JSON beside it. summaries: Markdown files that end with causes and sentence.
    Of several pixels the JSON is that of the first, with the others under "pixels". Nothing is written unless all logs
    could be explained.
    """
    from tools.scaling.cases.case import find_case

    if out is not None and not out.absolute().parent.is_dir():
        raise BadInput(f"{out}: expected an existing folder, got none at {out.parent}")
    if out is not None:
        refuse_foreign({out.with_suffix(".json"): b'"delta_rel"'})
    if mode and case is None:
        raise BadInput("explain: expected --case CASE beside --mode, got none")
    known = None if case is None else find_case(case)
    logs = ([side] if isinstance(side, Path) else side for side in (c, py))
    explanations = explain_logs(*logs, case=known, device=device, pixel=pixel, labels=labels, mode=mode)
    from tools.scaling.explain.text import explanation_lines, explanation_markdown, explanation_section

    first, *others = explanations
    data = first.to_dict() | ({"pixels": [each.to_dict() for each in others]} if others else {})
    if out is not None:
        write_text(out, "\n".join(explanation_markdown(each) for each in explanations))
        write_json(out.with_suffix(".json"), data | {"sentence": first.sentence})
    for path in summaries:
        write_text(path, path.read_text(encoding="ascii") + "".join(explanation_section(each) for each in explanations))
    if as_json:
        return [json.dumps(data, indent=2, allow_nan=False)]
    return [line for each in explanations for line in explanation_lines(each, several=bool(others))]
