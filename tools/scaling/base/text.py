"""Words that go with numbers, and text that Markdown takes as it is meant."""

import re
from collections.abc import Callable, Iterable, Sequence

from tools.scaling.base.files import one_line


def counted(number: int, noun: str, nouns: str = "") -> str:
    """Return "1 bundle" or "2 bundles"; `nouns` is the plural where it is not made with an s."""
    return f"{number} {noun if number == 1 else nouns or noun + 's'}"


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
