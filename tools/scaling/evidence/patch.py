"""What a dirty working tree had beyond its commit, as a patch that makes it again.

The patch holds staged, unstaged and untracked changes alike, without reports/ and the ledgers, which a run itself
writes. It is made with an index and an object store of its own, so the user's are not touched.
"""

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tools.scaling.errors import BadInput
from tools.scaling.evidence.bundle import Bundle
from tools.scaling.evidence.ledger import LEDGERS
from tools.scaling.files import write_bytes
from tools.scaling.repo import ROOT, digest, git, git_bytes, relative

PATCH = "dirty.patch"
LARGEST = 32 * 2**20  # bytes; a larger untracked file is named, not kept
# Whatever the user's git is set to, the patch has the one form that `git apply` reads.
_PLAIN = ["-c", "diff.noprefix=false", "-c", "diff.mnemonicPrefix=false", "-c", "core.quotePath=true"]
_DIFF = ["diff", "--cached", "--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "HEAD"]


@dataclass(frozen=True)
class Dirty:
    """The patch, empty for a clean tree. left_out: untracked files that are too large for it or cannot be read."""

    patch: bytes
    left_out: tuple[str, ...]


def record(bundle: Bundle) -> dict[str, object]:
    """Write dirty.patch into the bundle where the tree is dirty. Returns the entries for provenance.json."""
    dirty = working_patch(without=bundle.folder.parent)
    if dirty.patch:
        write_bytes(bundle.path(PATCH), dirty.patch)
    return {"patch": PATCH if dirty.patch else None, "patch_left_out": list(dirty.left_out)}


def input_digests(paths: Iterable[Path]) -> dict[str, str]:
    """The SHA-256 of each file that a run reads, by its path as the tools write it."""
    return {relative(path): digest(path) for path in sorted(set(paths)) if path.is_file()}


def working_patch(without: Path | None = None) -> Dirty:
    """How ROOT differs from HEAD. without: a folder of bundles that is left out, as reports/ is.

    ASCII: where the text of a change is not, the whole patch is written as binary.
    """
    excluded = ["reports", *LEDGERS]
    if without is not None and without.is_relative_to(ROOT) and without != ROOT:
        excluded.append(without.relative_to(ROOT).as_posix())
    kept_out = [f":(exclude,top,literal){name}" for name in excluded]
    large = [f":(exclude,top,literal){name}" for name in _untracked(kept_out) if _too_large(ROOT / name)]
    with tempfile.TemporaryDirectory(prefix="scaling-patch-") as scratch:
        objects = Path(scratch) / "objects"
        objects.mkdir()
        theirs = git("rev-parse", "--path-format=absolute", "--git-path", "objects").strip()
        env = {
            "GIT_INDEX_FILE": f"{scratch}/index",
            "GIT_OBJECT_DIRECTORY": str(objects),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": theirs,
        }
        git_bytes("read-tree", "HEAD", env=env)
        with suppress(BadInput):  # what cannot be read is left out, and said below
            git_bytes("add", "--all", "--ignore-errors", "--", ".", *kept_out, *large, env=env)
        left_out = tuple(_untracked(kept_out, env))
        patch = git_bytes(*_PLAIN, *_DIFF, env=env)
        if not patch.isascii():
            (Path(scratch) / "attributes").write_text("* -diff\n")
            patch = git_bytes(*_PLAIN, "-c", f"core.attributesFile={scratch}/attributes", *_DIFF, env=env)
    return Dirty(patch, left_out)


def _untracked(without: Sequence[str], env: Mapping[str, str] | None = None) -> list[str]:
    """The untracked files, of the index that `env` names, but those that the pathspecs `without` leave out."""
    listed = git_bytes("ls-files", "--others", "--exclude-standard", "-z", "--", ".", *without, env=env)
    return [name for name in os.fsdecode(listed).split("\0") if name]


def _too_large(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size > LARGEST


def apply(patch: Path, tree: Path) -> None:
    """Apply a bundle's dirty.patch in the working tree `tree`. Raises BadInput where it does not fit."""
    try:
        git_bytes("apply", "--whitespace=nowarn", "--", str(patch), cwd=tree)
    except BadInput as error:
        raise BadInput(
            f"{patch}: expected a patch of the bundle's commit, got one that does not apply: {error}"
        ) from error
