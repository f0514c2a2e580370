"""instrumentation_audit.md -> its blocks, for a page. Just the Markdown that we write: what is not known is text."""

from itertools import groupby

from tools.scaling.page.reading import LONG, short
from tools.scaling.page.view import AuditBlock


def blocks_of(text: str) -> tuple[AuditBlock, ...]:
    """Return headings, paragraphs, lists of names, and indented code."""
    blocks: list[AuditBlock] = []
    for kind, lines in groupby(text.splitlines(), _kind):
        bare = tuple(_bare(kind, line) for line in lines)
        if kind == "heading":
            blocks += [AuditBlock(kind, (line,)) for line in bare]
        elif kind:
            blocks.append(AuditBlock(kind, bare))
    return tuple(blocks)


def _kind(line: str) -> str:
    if not line.strip():
        return ""
    if line.startswith("    "):
        return "code"
    return "list" if line.startswith("- ") else "heading" if line.startswith("#") else "text"


def _bare(kind: str, line: str) -> str:
    """Return the line without its marks."""
    if kind == "list":
        line = line[2:].strip("`")
    return short(line[4:] if kind == "code" else line.lstrip("# ") if kind == "heading" else line, 4 * LONG)
