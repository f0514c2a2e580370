"""What a dirty working tree had beyond its commit, as a patch that makes it again.

The patch holds staged and unstaged changes alike, without reports/ and the ledgers, which a run itself writes.
Untracked files, which may be anybody's secrets, are in it only where they are asked for. It is made with an index and
an object store of its own, so the user's are not touched.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tools.scaling.base.discretion import discreet
from tools.scaling.base.errors import BadInput
from tools.scaling.base.files import one_line, write_bytes
from tools.scaling.base.repo import ROOT, digest, git, git_bytes, inside, relative
from tools.scaling.base.scratch import scratch
from tools.scaling.base.text import counted
from tools.scaling.bundle.bundle import Bundle
from tools.scaling.bundle.layout import PATCH
from tools.scaling.bundle.ledger import LEDGERS

LARGEST = 32 * 2**20  # bytes; a larger untracked file is named, not kept
NAMED = 12  # files that a line on the terminal names
# Whatever the user's git is set to, the patch has the one form that `git apply` reads.
_PLAIN = ["-c", "diff.noprefix=false", "-c", "diff.mnemonicPrefix=false", "-c", "core.quotePath=true"]
_DIFF = ["diff", "--cached", "--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "HEAD"]
# A private key, and a URL with credentials.
_SECRET = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----|://(?!git@)[^/\s@'\"<>]+@")


@dataclass(frozen=True)
class Dirty:
    """The patch, empty for a clean tree. changed: the files in it. left_out: those that differ and are not in it.

    secret: those of left_out that hold a private key or a URL with credentials. A folder that is left out whole is
    named alone, with / at its end.
    """

    patch: bytes
    changed: tuple[str, ...]
    left_out: tuple[str, ...]
    secret: tuple[str, ...] = ()

    def lines(self, include_untracked: bool) -> list[str]:
        """Return what a terminal says of it; nothing of a clean tree."""
        said = []
        if self.changed:
            kept = counted(len(self.changed), "file that differs from the commit is", "files that differ are")
            said.append(f"{PATCH}: {kept} kept in the bundle: {_named(self.changed)}")
        others = [name for name in self.left_out if name not in self.secret]
        if others:
            ask = "" if include_untracked else "; --include-untracked keeps them"
            what = counted(len(others), "file or folder that git does not track is", "that git does not track are")
            said.append(f"{what} left out, so that replay cannot be exact{ask}: {_named(others)}")
        if self.secret:
            said.append(f"left out for a private key or a URL with credentials in it: {_named(self.secret)}")
        return said


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(one_line, names[:NAMED])) + more


def record_patch(bundle: Bundle, include_untracked: bool) -> tuple[dict[str, object], list[str]]:
    """Write dirty.patch into the bundle where the tree is dirty.

    Returns the entries for provenance.json, and the lines that tell of them.
    """
    dirty = working_patch(include_untracked, without=bundle.folder.parent)
    if dirty.patch:
        write_bytes(bundle.path(PATCH), dirty.patch)
    entries: dict[str, object] = {
        "patch": PATCH if dirty.patch else None,
        "patch_left_out": list(map(one_line, dirty.left_out)),
    }
    return entries, dirty.lines(include_untracked)


def input_digests(paths: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of each file that a run reads, by its path as evidence has it."""
    return {discreet(relative(path)): digest(path) for path in sorted(set(paths)) if path.is_file()}


def working_patch(include_untracked: bool = False, without: Path | None = None) -> Dirty:
    """Return how the working tree differs from HEAD. without: a folder of bundles that is left out, as reports/ is.

    ASCII: where the text of a change is not, the whole patch is written as binary.
    """
    excluded = ["reports", *LEDGERS]
    if without is not None and inside(without) and without.resolve() != ROOT:
        excluded.append(without.resolve().relative_to(ROOT).as_posix())
    kept_out = [f":(exclude,top,literal){name}" for name in excluded]
    with scratch("patch") as folder:
        env = _own_store(folder)
        _add(include_untracked, kept_out, env)
        changed = _names("diff", "--cached", "--name-only", "-z", "HEAD", env=env)
        secret = [name for name in changed if _tells_a_secret(name)]
        wanted = [name for name in changed if name not in secret]
        left_out = [*_untracked(kept_out, env), *secret]
        patch = _diff(folder, [f":(exclude,top,literal){name}" for name in secret], env) if wanted else b""
    return Dirty(patch, tuple(wanted), tuple(sorted(left_out)), tuple(secret))


def _own_store(folder: Path) -> Mapping[str, str]:
    """Return what gives git an index and an object store in `folder`; the index holds HEAD."""
    (folder / "objects").mkdir()
    objects = git("rev-parse", "--path-format=absolute", "--git-path", "objects").strip()
    env = {
        "GIT_INDEX_FILE": f"{folder}/index",
        "GIT_OBJECT_DIRECTORY": f"{folder}/objects",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": objects,
    }
    git_bytes("read-tree", "HEAD", env=env)
    return env


def _add(include_untracked: bool, kept_out: Sequence[str], env: Mapping[str, str]) -> None:
    """Bring the working tree's changes into the index of `env`: of tracked files, and of those staged as new."""
    staged = _names("diff", "--cached", "--name-only", "--diff-filter=A", "-z", "HEAD", "--", ".", *kept_out)
    new = _untracked(kept_out, env, whole=False) if include_untracked else staged
    new = [name for name in new if not name.endswith("/") and not _too_large(ROOT / name)]  # no other repository
    with suppress(BadInput):  # that it found changes; without it, every object of the repository would be touched
        git_bytes("update-index", "-q", "--refresh", env=env)
    with suppress(BadInput):  # what cannot be read is left out, and said
        git_bytes("add", "--update", "--ignore-errors", "--", ".", *kept_out, env=env)
    there = [os.fsencode(name) for name in new if os.path.lexists(ROOT / name)]
    if there:
        from_stdin = ["--force", "--ignore-errors", "--pathspec-from-file=-", "--pathspec-file-nul"]
        with suppress(BadInput):
            literally = {**env, "GIT_LITERAL_PATHSPECS": "1"}
            git_bytes("add", *from_stdin, stdin=b"\0".join(there), env=literally)


def _diff(folder: Path, without: Sequence[str], env: Mapping[str, str]) -> bytes:
    patch = git_bytes(*_PLAIN, *_DIFF, "--", ".", *without, env=env)
    if patch.isascii():
        return patch
    (folder / "attributes").write_text("* -diff\n")
    plain = [*_PLAIN, "-c", f"core.attributesFile={folder}/attributes"]
    return git_bytes(*plain, *_DIFF, "--", ".", *without, env=env)


def _tells_a_secret(name: str) -> bool:
    """Return whether the file holds a private key or a URL with credentials that its commit does not hold."""
    path = ROOT / name
    if path.is_symlink() or not path.is_file():
        return False
    secrets = set(_SECRET.findall(path.read_bytes()))
    if not secrets:
        return False
    with suppress(BadInput):  # a new file
        secrets -= set(_SECRET.findall(git_bytes("show", f"HEAD:{name}")))
    return bool(secrets)


def _untracked(without: Sequence[str], env: Mapping[str, str] | None = None, whole: bool = True) -> list[str]:
    """Return the untracked files, of the index that `env` names, but those that the pathspecs `without` leave out.

    whole: name a folder in which nothing is tracked, not each of its files.
    """
    folders = ["--directory", "--no-empty-directory"] if whole else []
    return _names("ls-files", "--others", "--exclude-standard", *folders, "-z", "--", ".", *without, env=env)


def _names(*command: str, env: Mapping[str, str] | None = None) -> list[str]:
    return [name for name in os.fsdecode(git_bytes(*command, env=env)).split("\0") if name]


def _too_large(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size > LARGEST


def files_of(patch: Path) -> list[str]:
    """Return the files that a patch changes, as it is asked before it is applied. Raises BadInput where it is none."""
    listed = os.fsdecode(git_bytes("apply", "--numstat", "-z", "--", str(patch)))
    return [row.split("\t", 2)[-1] for row in listed.split("\0") if row]


def apply(patch: Path, tree: Path) -> None:
    """Apply a bundle's dirty.patch in the working tree `tree`. Raises BadInput where it does not fit."""
    try:
        git_bytes("apply", "--whitespace=nowarn", "--", str(patch), cwd=tree)
    except BadInput as error:
        raise BadInput(
            f"{patch}: expected a patch of the bundle's commit, got one that does not apply: {error}"
        ) from error
