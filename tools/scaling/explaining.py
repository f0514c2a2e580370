"""The work of `explain`: joins trace files, a case and parity.explain. Prints nothing."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tools.scaling.cases import Case
from tools.scaling.errors import BadInput
from tools.scaling.files import refuse_foreign, write_json, write_text
from tools.scaling.repo import relative

if TYPE_CHECKING:
    from tools.scaling.parity.explain_records import Explanation


def explain_files(c: Path, py: Path, *, case: Case | None, device: str = "cpu") -> "Explanation":
    """Explain the trace `py` by the reference's trace `c`.

    case: whose command line both traces come from; without it the settings are read off `c`. Raises BadInput
    for files that cannot be read, and for traces of different pixels, cases or kinds of run.
    """
    from tools.scaling.parity.traces import read_trace

    reference, candidate = (read_trace(path, source=relative(path)) for path in (c, py))
    from tools.scaling.parity.explain import explain

    if case is None:
        return explain(reference, candidate, device=device)
    from nanobragg_torch.errors import NanoBraggError
    from nanobragg_torch.flags import parse

    try:
        settings = parse(case.flags, folders=case.folders)
    except NanoBraggError as error:
        raise BadInput(f"{case.name}: {error}") from error
    return explain(reference, candidate, settings, device=device)


def explain_command(
    c: Path,
    py: Path,
    *,
    case: str | None,
    out: Path | None,
    as_json: bool,
    device: str = "cpu",
    summaries: Sequence[Path] = (),
) -> list[str]:
    """The lines for standard output: the JSON alone with `as_json`, else the causes and the sentence.

    out: Markdown file to write, with the JSON beside it. summaries: Markdown files to end with what was found.
    Nothing is written unless both traces could be explained.
    """
    from tools.scaling.cases import find_case

    if out is not None and not out.absolute().parent.is_dir():
        raise BadInput(f"{out}: expected an existing folder, got none at {out.parent}")
    if out is not None:
        refuse_foreign({out.with_suffix(".json"): b'"delta_rel"'})
    found = explain_files(c, py, case=None if case is None else find_case(case), device=device)
    from tools.scaling.render.explain import explanation_lines, explanation_markdown, explanation_section

    if out is not None:
        write_text(out, explanation_markdown(found))
        write_json(out.with_suffix(".json"), found.to_dict() | {"sentence": found.sentence})
    for path in summaries:
        write_text(path, path.read_text(encoding="ascii") + explanation_section(found))
    if as_json:
        return [json.dumps(found.to_dict(), indent=2, allow_nan=False)]
    return explanation_lines(found)
