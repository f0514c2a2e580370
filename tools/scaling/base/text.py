"""Words that go with numbers."""

import re

from tools.scaling.base.files import one_line


def counted(number: int, noun: str, nouns: str = "") -> str:
    """1 bundle, 2 bundles; `nouns` where the plural is not made with an s."""
    return f"{number} {noun if number == 1 else nouns or noun + 's'}"


def plain(text: str) -> str:
    """One line that no Markdown or HTML reader takes for markup; names keep their underscores."""
    text = one_line(" ".join(text.split()))
    for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(char, entity)
    return re.sub(r"([\\|`*\[\]])", r"\\\1", text)


def code(text: str) -> str:
    """One line of text as a code span, which also a table cell takes."""
    return f"`{one_line(' '.join(text.split())).replace('`', chr(39)).replace('|', chr(92) + '|')}`"
