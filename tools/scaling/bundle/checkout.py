"""A bundle's commit, checked out again beside the repository, and what its commands did then and now."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tools.scaling.base.errors import BadInput
from tools.scaling.base.repo import ROOT, git, inside
from tools.scaling.base.scratch import TREE, scratch
from tools.scaling.bundle.bundle import Bundle
from tools.scaling.bundle.layout import COMMANDS, PROVENANCE, command_entries, read_record
from tools.scaling.bundle.patch import apply
from tools.scaling.bundle.verify import SealVerdict, Signature, Standing, verify_bundle


def replayable(run_dir: Path, public_key: Path | None = None, trust: bool = False) -> tuple[Bundle, Mapping[str, Any]]:
    """Return the bundle and its provenance, where it can be run again.

    A replay runs what the bundle carries: so this repository's git must have it, staged or committed, or its
    signature must hold against `public_key`, unless `trust`.

    Raises BadInput: no folder, not sealed, damaged, of a newer version, vouched for by nobody, without a commit, from
    another repository.
    """
    verdict = verify_bundle(run_dir, public_key)
    bundle = Bundle(run_dir.absolute())
    faults = verdict.problems
    if faults:
        raise BadInput(
            f"{bundle.shown(faults[0].name)}: expected a bundle that verify holds good, got: {faults[0].detail}"
        )
    if not (trust or _vouched(run_dir, verdict)):
        raise BadInput(
            f"{bundle.shown()}: expected a bundle that this repository's git has, or a signature that holds "
            "(--public-key KEY), got one that nobody vouches for; its code would be run; --trust runs it all the same"
        )
    known = bundle.provenance()
    commit = known.get("git_sha")
    if not isinstance(commit, str) or not re.fullmatch(r"[0-9a-f]{40,64}", commit):
        raise BadInput(f"{bundle.shown(PROVENANCE)}: expected the commit to replay, got {commit!r}")
    try:
        git("cat-file", "-e", f"{commit}^{{commit}}")
    except BadInput as error:
        what = (
            "expected a commit of this repository, got one that it does not have (another repository, or not fetched)"
        )
        raise BadInput(f"{bundle.shown()}: {commit}: {what}") from error
    if not isinstance(known.get("settings"), dict):
        raise BadInput(f"{bundle.shown(PROVENANCE)}: expected the run's settings, got {known.get('settings')!r}")
    return bundle, known


def _vouched(run_dir: Path, verdict: SealVerdict) -> bool:
    """Return whether a signature holds, or this repository's git, and no other that came along, has the bundle."""
    if verdict.signature is Signature.VALID:
        return True
    if verdict.standing not in (Standing.COMMITTED, Standing.STAGED) or not inside(run_dir):
        return False
    return Path(git("rev-parse", "--show-toplevel", cwd=run_dir.resolve()).strip()).resolve() == ROOT


@contextmanager
def worktree(commit: str, patch: Path | None = None) -> Iterator[Path]:
    """Check out `commit` beside the repository, with `patch` applied. It is gone afterwards, whatever happened.

    Raises BadInput where the worktree cannot be made or the patch does not fit.
    """
    with scratch("replay") as folder:
        tree = folder / TREE
        try:  # the user's hooks are none of a replay's business
            git("-c", "core.hooksPath=/dev/null", "worktree", "add", "--detach", "--quiet", str(tree), commit)
        except BadInput as error:
            raise BadInput(f"{tree}: expected to make a worktree of {commit[:12]}, got: {error}") from error
        if patch is not None:
            apply(patch, tree)
        yield tree


def outcomes(bundle: Bundle) -> list[tuple[str, int]]:
    """Return (step, exit code) of every command in commands.txt, in order."""
    try:
        text = read_record(bundle.path(COMMANDS)).decode("ascii")
    except (OSError, ValueError) as error:
        raise BadInput(f"{bundle.shown(COMMANDS)}: expected the commands of a run, got {error}") from error
    return [(entry.step, entry.exit_code) for entry in command_entries(text)]
