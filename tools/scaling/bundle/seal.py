"""The seal over a bundle: what is in it, how long each file is, and which bundle came before it.

sha256.txt lists the SHA-256 of every other file, as `sha256sum -c` reads it. seal.json, itself listed there, has
what that format has no room for: the sizes, and the digest of the sha256.txt of the bundle before this one. So the
bundles of a folder are a chain, in which each vouches for the one before it.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from tools.scaling.base.errors import BadInput
from tools.scaling.base.files import alone, write_json, write_text
from tools.scaling.base.repo import digest, relative
from tools.scaling.bundle.layout import ATTESTATION, FORMAT, LONGEST, MANIFEST, SEAL, STAMPED, read_record

DEEPEST = 32  # folders in one another; a run makes one
HASHED = 2**30  # bytes of a file that is hashed though no sealed one is so long
_SHA256 = re.compile(r"[0-9a-f]{64}")
# 64 hex digits, two blanks, a path inside the bundle: what `sha256sum -c` reads.
_LINE = re.compile(rf"({_SHA256.pattern})  ([^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*)")
_OWN = (SEAL, ATTESTATION)  # made by the seal itself, so it has no sizes of them


class Damage(StrEnum):
    """What is wrong with a file of a bundle, or with a bundle of a chain."""

    CHANGED = "changed"
    MISSING = "missing"
    ADDED = "added"
    RENAMED = "renamed"
    TRUNCATED = "truncated"
    MANIFEST = "manifest"
    UNSEALED = "unsealed"
    NEWER = "newer version"
    DELETED = "deleted"
    REWRITTEN = "rewritten"
    SLIPPED_IN = "slipped in"
    SIGNATURE = "signature"


@dataclass(frozen=True)
class Problem:
    """One thing that does not hold. name: the file in the bundle, or the bundle in the chain."""

    name: str
    kind: Damage
    detail: str

    def __str__(self) -> str:
        return f"{self.name}: {self.detail}"


@dataclass(frozen=True)
class Link:
    """The bundle before: its folder's name and the SHA-256 of its sha256.txt."""

    bundle: str
    sha256: str


@dataclass(frozen=True)
class Seal:
    """seal.json. bundle: the folder's name. number: its place in the chain, from 1. sizes: bytes of each file."""

    bundle: str
    number: int
    previous: Link | None
    sizes: Mapping[str, int]


def contents(folder: Path) -> list[str]:
    """Return everything in the bundle that is no folder, but the manifest, as sorted POSIX paths relative to it.

    Raises BadInput where a folder in it cannot be read, or lies too deep.
    """
    names, _, unread = _walk(folder)
    for name, why_not in unread.items():
        raise BadInput(f"{relative(folder / name)}: {why_not}")
    return names


def _walk(folder: Path) -> tuple[list[str], list[str], dict[str, str]]:
    """Return what is in the bundle: the names of all but the manifest, sorted; folders without files, deepest first.

    Last the folders that cannot be read, by name, with the reason.
    """
    names: list[str] = []
    folders: list[str] = []
    full: set[str] = set()
    unread: dict[str, str] = {}
    left = [("", 0)]
    while left:
        prefix, depth = left.pop()
        try:
            if depth > DEEPEST:
                raise OSError(0, f"expected at most {DEEPEST} folders in one another, got more")
            with os.scandir(folder / prefix) as entries:
                children = list(entries)
        except OSError as error:
            unread[prefix.rstrip("/") or "."] = f"cannot be read: {error.strerror}"
            full.update(_above(prefix))
            continue
        folders.append(prefix)
        for entry in children:
            if entry.is_dir(follow_symlinks=False):
                left.append((f"{prefix}{entry.name}/", depth + 1))
            else:
                names.append(prefix + entry.name)
                full.update(_above(prefix))
    empty = [name.rstrip("/") for name in sorted(folders, reverse=True) if name and name not in full]
    return sorted(name for name in names if name != MANIFEST), empty, unread


def _above(prefix: str) -> Iterator[str]:
    """Yield the folder `prefix` and those that hold it, each with / at its end."""
    while prefix:
        yield prefix
        prefix = prefix[: prefix.rstrip("/").rfind("/") + 1]


def read_seal(folder: Path) -> Seal:
    """Return the bundle's seal.json. Raises BadInput: missing, damaged, or of a newer version."""
    path = folder / SEAL
    what = irregular(path)
    if what is not None:
        raise BadInput(f"{relative(path)}: expected the bundle's seal, got {what}")
    try:
        data = json.loads(read_record(path))
        written = data["format"]
        if not isinstance(written, int) or written > FORMAT:
            expected = f"expected format {FORMAT} or less, got {written!r}"
            raise BadInput(f"{relative(path)}: written by a newer version ({expected})")
        sizes = {str(name): int(size) for name, size in data["sizes"].items()}
        return Seal(str(data["bundle"]), int(data["number"]), _link(data["previous"]), sizes)
    except OSError as error:
        raise BadInput(f"{relative(path)}: expected the bundle's seal, got {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise BadInput(f"{relative(path)}: expected the bundle's seal, got {error!r}") from error


def _link(previous: Mapping[str, str] | None) -> Link | None:
    if previous is None:
        return None
    link = Link(previous["bundle"], previous["sha256"])
    if not STAMPED.fullmatch(link.bundle) or not _SHA256.fullmatch(link.sha256):
        raise ValueError(f"previous: {previous}")
    return link


def irregular(path: Path) -> str | None:
    """Return what is at `path` in place of a plain file; None where one is. Others are not opened."""
    try:
        if path.is_symlink():
            return "a link"
        if path.is_file():
            return None
        return "a folder" if path.is_dir() else "something else" if path.exists() else "none"
    except OSError as error:
        return f"what cannot be looked at: {error.strerror}"


def irregular_manifest(folder: Path) -> str | None:
    """Return what is in place of the bundle's sha256.txt; None where one is that can be read."""
    path = folder / MANIFEST
    what = irregular(path)
    if what is None and (size := path.stat().st_size) > LONGEST:
        return f"one of {size} bytes"
    return what


def newest(root: Path) -> Link | None:
    """Return the end of the chain under `root`: the sealed bundle with the highest number. None where there is none."""
    best: tuple[int, str] | None = None
    for name in os.listdir(root):  # noqa: PTH208 - names alone are wanted, 10,000 of them
        if STAMPED.fullmatch(name):
            with suppress(BadInput):
                here = (read_seal(root / name).number, name)
                if (best is None or here > best) and irregular_manifest(root / name) is None:
                    best = here
    return None if best is None else Link(best[1], digest(root / best[1] / MANIFEST))


def write_seal(folder: Path, attest: Callable[[Mapping[str, str]], str] | None = None) -> int:
    """Write seal.json and then sha256.txt over every file. Returns how many files it covers.

    attest: makes the text of attestation.json from the digests of all other files.
    """
    for empty in _walk(folder)[1]:  # neither git nor sha256.txt keeps them
        (folder / empty).rmdir()
    with alone(folder.parent):
        sizes = {n: _size(folder / n) for n in contents(folder) if n not in _OWN}
        last = newest(folder.parent) if STAMPED.fullmatch(folder.name) else None
        number = read_seal(folder.parent / last.bundle).number + 1 if last else 1
        (folder / ATTESTATION).unlink(missing_ok=True)
        write_json(folder / SEAL, {"format": FORMAT, **asdict(Seal(folder.name, number, last, sizes))})
        digests = {name: digest(folder / name) for name in contents(folder)}
        if attest is not None:
            write_text(folder / ATTESTATION, attest(digests))
            digests[ATTESTATION] = digest(folder / ATTESTATION)
        write_text(folder / MANIFEST, "".join(f"{value}  {name}\n" for name, value in sorted(digests.items())))
    return len(digests)


def _size(path: Path) -> int:
    size = path.stat().st_size
    if path.is_symlink():
        raise BadInput(f"{relative(path)}: expected a plain file in a bundle, got a link")
    return size


def manifest(folder: Path) -> tuple[dict[str, str], list[Problem]]:
    """Return sha256.txt as path -> digest, and what in it is no such line."""
    listed: dict[str, str] = {}
    faults = []
    text = read_record(folder / MANIFEST).decode(errors="replace")
    if "\r\n" in text:
        faults.append(Problem(MANIFEST, Damage.MANIFEST, "expected lines that end in LF, got CR LF"))
        text = text.replace("\r\n", "\n")
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        match = _LINE.fullmatch(line)
        if not match or match[2] in listed:
            detail = f"expected 'SHA256  PATH' once a file, got {line[:60]!r}"
            faults.append(Problem(f"{MANIFEST}:{number}", Damage.MANIFEST, detail))
        else:
            listed[match[2]] = match[1]
    if not text.endswith("\n"):
        faults.append(Problem(MANIFEST, Damage.TRUNCATED, "truncated, its last line has no end"))
    return listed, faults


def problems(folder: Path) -> list[Problem]:
    """Return a problem for each file that is changed, truncated, renamed, missing or added; empty when all holds."""
    what = irregular_manifest(folder)
    if what == "none":
        part = irregular(folder / SEAL) != "none"
        detail = "missing, the seal is not whole" if part else "missing, the bundle was never sealed"
        return [Problem(MANIFEST, Damage.MISSING if part else Damage.UNSEALED, detail)]
    if what is not None:
        return [Problem(MANIFEST, Damage.CHANGED, f"changed: expected a plain file, got {what}")]
    listed, faults = manifest(folder)
    names, empty, unread = _walk(folder)
    sizes, unreadable = _sizes(folder)
    most = max([HASHED, *(sizes or {}).values()])
    actual = {name: _digest(folder / name, most) for name in names}
    added = {name: value for name, value in actual.items() if name not in listed}
    for name, value in listed.items():
        if any(name.startswith(f"{one}/") for one in unread):
            continue
        if name not in actual:
            faults.append(_gone(name, value, added))
        elif actual[name] != value:
            faults.append(_changed(folder, name, actual[name], (sizes or {}).get(name)))
    faults += [Problem(name, Damage.ADDED, f"added, not in {MANIFEST}") for name in added]
    faults += [Problem(name, Damage.ADDED, "added, an empty folder") for name in empty]
    faults += [Problem(name, Damage.CHANGED, why_not) for name, why_not in unread.items()]
    if unreadable is not None and (unreadable.kind is Damage.NEWER or SEAL not in {one.name for one in faults}):
        faults.append(unreadable)
    return faults if sizes is None else faults + _against_sizes(folder, sizes, listed, actual)


def _sizes(folder: Path) -> tuple[Mapping[str, int] | None, Problem | None]:
    """Return the sizes in seal.json, or why there are none."""
    try:
        return read_seal(folder).sizes, None
    except BadInput as error:
        kind = Damage.NEWER if "newer version" in str(error) else Damage.CHANGED
        return None, Problem(SEAL, kind, str(error).split(": ", 1)[1])


def _against_sizes(
    folder: Path, sizes: Mapping[str, int], listed: Mapping[str, str], actual: Mapping[str, str]
) -> list[Problem]:
    """Return what a manifest that was made anew would hide: seal.json does not have these files, or not so long."""
    faults = [
        Problem(name, Damage.MISSING, f"missing, from {MANIFEST} too")
        for name in sorted(sizes.keys() - listed.keys() - actual.keys())
    ]
    for name in listed:
        if name in _OWN or actual.get(name) != listed[name]:
            continue
        if name not in sizes:
            faults.append(Problem(name, Damage.ADDED, f"added, not in {SEAL}"))
        elif (now := (folder / name).stat().st_size) != sizes[name]:
            faults.append(Problem(name, Damage.CHANGED, f"changed: {now} bytes, {SEAL} has {sizes[name]}"))
    return faults


def _gone(name: str, value: str, added: dict[str, str]) -> Problem:
    """Return what became of a file: missing, or renamed to one that was added, which then leaves `added`."""
    other = next((new for new, its in added.items() if its == value), None)
    if other is None:
        return Problem(name, Damage.MISSING, "missing")
    del added[other]
    return Problem(name, Damage.RENAMED, f"renamed to {other}")


def _changed(folder: Path, name: str, actual: str, size: int | None) -> Problem:
    if not _SHA256.fullmatch(actual):
        return Problem(name, Damage.CHANGED, f"changed: {actual}")
    now = (folder / name).stat().st_size
    if size is not None and now < size:
        return Problem(name, Damage.TRUNCATED, f"truncated, {now} of {size} bytes")
    if name == SEAL and not read_record(folder / SEAL).endswith(b"}\n"):
        return Problem(name, Damage.TRUNCATED, "truncated or changed at its end")
    return Problem(name, Damage.CHANGED, "changed")


def _digest(path: Path, most: int) -> str:
    """Return the SHA-256, or why there is none: evidence is a plain file that can be read, of at most `most` bytes."""
    what = irregular(path)
    if what is not None:
        return f"expected a plain file, got {what}"
    try:
        if (size := path.stat().st_size) > most:
            return f"{size} bytes, more than any file that was sealed"
        return digest(path)
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def blob_id(data: bytes, like: str) -> str:
    """Return what git calls a file of this content, in the hash of which `like` is an id."""
    algorithm = hashlib.sha1 if len(like) == 40 else hashlib.sha256
    return algorithm(b"blob %d\0" % len(data) + data).hexdigest()
