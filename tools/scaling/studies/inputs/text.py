"""How bad inputs ended -> lines for a terminal, and the page."""

from collections.abc import Sequence

from tools.scaling.base.files import to_ascii
from tools.scaling.base.text import table
from tools.scaling.studies.inputs.run import KINDS, MEMORY, PATIENCE, InputEnding

_LONGEST = 200  # characters of a command that a table shows


def verdict_line(endings: Sequence[InputEnding]) -> str:
    wrong = sum(bool(ending.fault) for ending in endings)
    return f"{'FAIL' if wrong else 'PASS'}: {len(endings) - wrong} of {len(endings)} bad inputs ended as they should"


def study_lines(endings: Sequence[InputEnding]) -> list[str]:
    """Return every fault with its command, and the verdict last."""
    faults = [f"{ending.number}: {ending.fault}: {ending.command}" for ending in endings if ending.fault]
    return [to_ascii(line) for line in [*faults, verdict_line(endings)]]


def study_markdown(endings: Sequence[InputEnding], seed: int) -> str:
    """Return the page: a row for each kind, and what one attempt of it was told."""
    rows = []
    for kind in KINDS:
        alike = [ending for ending in endings if ending.kind == kind]
        if alike:
            refused = [ending for ending in alike if ending.exit_code]
            wrong = sum(bool(ending.fault) for ending in alike)
            rows.append((kind, len(alike), len(refused), wrong, _cell((refused or alike)[0].said)))
    page = f"""\
# Bad inputs

`nox -s inputs -- --count {len(endings)} --seed {seed} --out docs/results/bad_inputs.md` makes this page.
Each attempt runs in a clean folder, with {PATIENCE:g} seconds and {MEMORY >> 30} GiB.
It has to be answered, or refused with one line and an exit code of
the table; a traceback, a hang, a kill, a file left behind by a refusal, or an escape code on the terminal is a fault.

{verdict_line(endings)}

"""
    head = ("kind", "attempts", "refused", "faults", "what one of them was told")
    return to_ascii(f"{page}{table(head, rows, cell=str)}\n")


def _cell(text: str) -> str:
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
