"""Where two files of a run begin to differ, in one sentence."""

import re

import numpy as np

_PGM = re.compile(rb"P5\n(\d+) (\d+)\n#[^\n]*\n255\n")
_SIZE = re.compile(rb"(?m)^SIZE1=(\d+);$")


def unlike(name: str, ours: bytes, theirs: bytes) -> str:
    """Return the first line of a header or the first pixel in which `ours` differs from `theirs`; empty if none does.

    name: the file's, to begin the sentence with.
    """
    if ours == theirs:
        return ""
    (head, pixels), (right_head, right_pixels) = _parts(ours), _parts(theirs)
    lines, right_lines = head.split(b"\n"), right_head.split(b"\n")
    for number, (line, right) in enumerate(zip(lines, right_lines), start=1):
        if line != right:
            return f"{name}: line {number} of its header: expected {_shown(right)}, got {_shown(line)}"
    if len(lines) != len(right_lines):
        return f"{name}: expected a header of {len(right_lines)} lines, got {len(lines)}"
    if len(ours) != len(theirs):
        return f"{name}: expected {len(theirs)} bytes, got {len(ours)}"
    kind, width = _kind(right_head)
    found, known = np.frombuffer(pixels, kind), np.frombuffer(right_pixels, kind)
    off = np.flatnonzero(found.view(f"u{found.itemsize}") != known.view(f"u{found.itemsize}"))
    at = int(off[0])
    place = f"pixel {at // width} {at % width}" if width else f"number {at}"
    many = f"{len(off)} of {len(found)} differ"
    return f"{name}: {place}: expected {known[at].item():.9g}, got {found[at].item():.9g}; {many}"


def _parts(content: bytes) -> tuple[bytes, bytes]:
    """What is read as text, and the numbers behind it."""
    end = 0
    if content.startswith(b"{\n"):
        end = max(content.find(b"}\f") + 2, 512)
    elif match := _PGM.match(content):
        end = match.end()
    elif re.match(rb"(-?\d+ ){5}-?\d+\n\f", content):
        end = content.index(b"\f") + 1
    return content[:end], content[end:]


def _kind(head: bytes) -> tuple[str, int]:
    """The numpy type of the numbers behind `head`, and how many there are in a row, 0 where that is unknown."""
    if head.startswith(b"{"):
        size = _SIZE.search(head)
        return "<u2", int(size[1]) if size else 0
    if match := _PGM.match(head):
        return "u1", int(match[1])
    return ("<f8", 0) if head else ("<f4", 0)


def _shown(line: bytes) -> str:
    return ascii(line.decode("latin-1").strip())
