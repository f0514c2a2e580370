"""Words that go with numbers, text that Markdown takes as it is meant, and the part of a page that a tool writes."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tools.scaling.base.errors import BadInput
from tools.scaling.base.files import one_line, write_text


def counted(number: int, noun: str, nouns: str = "") -> str:
    """Return "1 bundle" or "2,000 bundles"; `nouns` is the plural where it is not made with an s."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def plain(text: str) -> str:
    """Return `text` as one line that no Markdown or HTML reader takes for markup; names keep their underscores."""
    text = one_line(" ".join(text.split()))
    for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(char, entity)
    return re.sub(r"([\\|`*\[\]])", r"\\\1", text)


def code(text: str) -> str:
    """Return `text` as one line in a code span, which a table cell takes, too."""
    return f"`{one_line(' '.join(text.split())).replace('`', chr(39)).replace('|', chr(92) + '|')}`"


def table(head: Sequence[str], rows: Iterable[Sequence[object]], cell: Callable[[str], str] = plain) -> str:
    """Return a Markdown table of `rows` under `head`, or "None." where there are no rows.

    cell: makes Markdown of a value's text; `str` for values that are Markdown already.
    """
    lines = [head, ["---"] * len(head), *rows]
    if len(lines) == 2:
        return "None."
    return "\n".join("| " + " | ".join(cell(str(value)) for value in line) + " |" for line in lines)


def bullets(lines: Iterable[str]) -> str:
    """Return the lines, which are Markdown already, as a Markdown list, or "None." where there are none."""
    return "\n".join(f"- {line}" for line in lines) or "None."


def marks(name: str) -> tuple[str, str]:
    """Return the two lines between which a page has its part `name`."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def marked(page: Path, name: str) -> str:
    """Return the part `name` of `page`. Raises BadInput where there are no marks of it."""
    begin, end = marks(name)
    text = page.read_text(errors="replace") if page.is_file() else ""
    _, opened, rest = text.partition(f"{begin}\n")
    part, closed, _ = rest.partition(f"\n{end}")
    if not (opened and closed):
        raise BadInput(f"{page}: expected a Markdown file with the marks {begin} and {end}, got none")
    return part


def write_marked(page: Path, name: str, part: str) -> None:
    """Write `part` between the marks of `name` in `page`. Raises BadInput where there are none."""
    begin, end = marks(name)
    old = f"{begin}\n{marked(page, name)}\n{end}"
    write_text(page, page.read_text(encoding="ascii").replace(old, f"{begin}\n{part}\n{end}", 1))
