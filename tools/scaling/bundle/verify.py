"""Can a bundle be trusted: its files against its seal, its place in the chain, what git has of it.

A folder of bundles is a chain: each seal.json has the digest of the sha256.txt of the bundle before. Rewriting one
bundle breaks what the next one says of it; the end of the chain, which nobody vouches for yet, is held against
what git has staged or committed.
"""

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from tools.scaling.base.errors import BadInput
from tools.scaling.base.repo import digest, git, relative
from tools.scaling.bundle.bundle import Bundle, bundles
from tools.scaling.bundle.layout import ATTESTATION, MANIFEST, SEAL, STAMPED, read_record
from tools.scaling.bundle.seal import (
    Damage,
    Link,
    Problem,
    Seal,
    blob_id,
    irregular,
    irregular_manifest,
    problems,
    read_seal,
)


class Standing(StrEnum):
    """What vouches for a bundle beside its own seal."""

    COMMITTED = "committed"
    STAGED = "staged"
    ALONE = "alone"
    UNKNOWN = "unknown"  # git could not be asked
    OPEN = "open"


class Signature(StrEnum):
    NONE = "not signed"
    UNCHECKED = "signed, not checked"
    VALID = "signature holds"
    INVALID = "signature does not hold"


@dataclass(frozen=True)
class SealVerdict:
    """What verify says of one bundle. files: how many its sha256.txt covers. unasked: why git could not be asked."""

    bundle: str
    files: int
    problems: tuple[Problem, ...]
    standing: Standing
    signature: Signature
    unasked: str = ""

    @property
    def ok(self) -> bool:
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        return {
            "bundle": self.bundle,
            "ok": self.ok,
            "files": self.files,
            "standing": self.standing.value,
            "signature": self.signature.value,
            "unasked": self.unasked,
            "problems": [{"name": p.name, "kind": p.kind.value, "detail": p.detail} for p in self.problems],
        }


@dataclass(frozen=True)
class ChainVerdict:
    """What verify --all says. newest: the end of the chain. lost: bundles of which only git or the chain knows.

    unasked: why git could not be asked; empty where it was, or where there is none to ask.
    """

    root: str
    verdicts: tuple[SealVerdict, ...]
    lost: tuple[Problem, ...]
    newest: str | None
    standing: Standing
    unasked: str = ""

    @property
    def ok(self) -> bool:
        return not self.lost and all(verdict.ok for verdict in self.verdicts)

    def to_dict(self) -> dict[str, Any]:
        return {
            "root": self.root,
            "ok": self.ok,
            "newest": self.newest,
            "standing": self.standing.value,
            "unasked": self.unasked,
            "lost": [{"name": p.name, "kind": p.kind.value, "detail": p.detail} for p in self.lost],
            "bundles": [verdict.to_dict() for verdict in self.verdicts],
        }


@dataclass(frozen=True)
class Known:
    """What git calls a bundle's sha256.txt, in its index and in HEAD; None where it has none."""

    staged: str | None
    committed: str | None


class GitRefused(BadInput):
    """There is a repository, and git does not answer for it."""


def known_to_git(root: Path) -> dict[str, Known]:
    """Return the bundles under `root` that git has, staged or committed. Empty where there is no repository.

    Raises GitRefused where there is one that git does not read: another user's, a damaged one, no git.
    """
    if not any((folder / ".git").exists() for folder in (root.absolute(), *root.absolute().parents)):
        return {}
    pattern = f":(glob)*/{MANIFEST}"
    try:
        commands = [["ls-files", "--stage", "-z", "--", pattern]]
        if git("rev-parse", "--revs-only", "HEAD", cwd=root).strip():  # else there is no commit yet
            commands.append(["ls-tree", "-r", "-z", "HEAD", "--", "."])
        listed = [[row.partition("\t") for row in git(*c, cwd=root).split("\0") if row] for c in commands]
    except BadInput as error:
        raise GitRefused(f"git could not be asked: {error}") from error
    known: list[dict[str, str]] = [{}, {}]
    for nth, rows in enumerate(listed):
        ids = {name: head.split()[1 + nth] for head, _, name in rows}
        known[nth] = {n.split("/")[0]: v for n, v in ids.items() if n.count("/") == 1 and n.endswith(MANIFEST)}
    staged, committed = known
    names = [name for name in staged.keys() | committed.keys() if STAMPED.fullmatch(name)]
    return {name: Known(staged.get(name), committed.get(name)) for name in names}


def _asked(root: Path) -> tuple[Mapping[str, Known], str]:
    """Return what git knows of the bundles under `root`, or nothing and why it could not be asked."""
    try:
        return known_to_git(root), ""
    except GitRefused as error:
        return {}, str(error)


def verify_bundle(run_dir: Path, public_key: Path | None = None) -> SealVerdict:
    """Hash one bundle again, hold its manifest against git, and its signature against `public_key`.

    Raises BadInput where `run_dir` is no folder or was sealed by a newer version.
    """
    if not run_dir.is_dir():
        raise BadInput(f"{run_dir}: expected a bundle's folder, got none")
    bundle = Bundle(run_dir.absolute())
    known, unasked = _asked(run_dir.parent)
    verdict = _verdict(bundle, known.get(bundle.stamp), public_key, unasked)
    newer = [problem for problem in verdict.problems if problem.kind is Damage.NEWER]
    if newer:
        raise BadInput(f"{bundle.shown(newer[0].name)}: {newer[0].detail}")
    return verdict


def _verdict(bundle: Bundle, known: Known | None, public_key: Path | None, unasked: str) -> SealVerdict:
    signature, files = Signature.NONE, 0
    try:
        faults = problems(bundle.folder)
        signature = Signature.UNCHECKED if irregular(bundle.folder / ATTESTATION) is None else Signature.NONE
        if public_key is not None and _readable(bundle):
            from tools.scaling.bundle.signing import check

            wrong = check(bundle.folder, public_key)
            faults += wrong
            signature = Signature.INVALID if wrong else Signature.VALID
        standing, against = _held_against_git(bundle, known)
    except OSError as error:  # one that cannot be read does not end the verdict on the others
        name = Path(error.filename or "").name or MANIFEST
        problem = Problem(name, Damage.CHANGED, f"cannot be read: {error.strerror}")
        return SealVerdict(bundle.shown(), 0, (problem,), Standing.UNKNOWN if unasked else Standing.ALONE, signature)
    if against:  # git knows better than the folder
        faults = [problem for problem in faults if problem.kind is not Damage.UNSEALED]
    if unasked and standing is Standing.ALONE:
        standing = Standing.UNKNOWN
    with suppress(BadInput):  # what keeps it from being read is among the problems
        files = len(bundle.files()) if bundle.sealed else 0
    return SealVerdict(bundle.shown(), files, (*faults, *against), standing, signature, unasked)


def _readable(bundle: Bundle) -> bool:
    """Return whether its sha256.txt is a file; where something else is in its place, `problems` says so."""
    return irregular_manifest(bundle.folder) is None


def _held_against_git(bundle: Bundle, known: Known | None) -> tuple[Standing, list[Problem]]:
    if known is None:
        return (Standing.ALONE if bundle.sealed else Standing.OPEN), []
    standing = Standing.COMMITTED if known.committed else Standing.STAGED
    if not bundle.sealed:
        return Standing.OPEN, [Problem(MANIFEST, Damage.DELETED, f"missing, git has it {standing.value}")]
    if not _readable(bundle):
        return standing, []
    data = read_record(bundle.path(MANIFEST))
    for value, word in ((known.committed, "committed"), (known.staged, "staged")):
        if value is not None and blob_id(data, value) != value:
            return standing, [Problem(MANIFEST, Damage.REWRITTEN, f"rewritten, git has another {word}")]
    return standing, []


def verify_all(
    root: Path,
    public_key: Path | None = None,
    known: Mapping[str, Known] | None = None,
    also: Path | None = None,
) -> ChainVerdict:
    """Verify every bundle under `root`, and the chain that they are.

    known: what git has of them; read now unless given. also: a bundle that is verified with them, wherever it lies.
    Raises BadInput where there are no bundles.
    """
    if not root.is_dir():
        raise BadInput(f"{relative(root)}: expected a folder of bundles, got none")
    present = {bundle.stamp: bundle for bundle in (*bundles(root), *_under_other_names(root))}
    known, unasked = _asked(root) if known is None else (known, "")
    if not present and not known:
        raise BadInput(f"{relative(root)}: expected a folder of bundles, got none in it")
    links = _links(present)
    verdicts = {name: _verdict(bundle, known.get(name), public_key, unasked) for name, bundle in present.items()}
    for name in present.keys() - links.keys() - known.keys():  # a run that is still open is no damage
        verdicts[name] = replace(verdicts[name], problems=())
    for name, problem in _chain_problems(links, present, known):
        verdicts[name] = replace(verdicts[name], problems=(*verdicts[name].problems, problem))
    numbered = [(seal.number, name) for name, seal in links.items() if seal is not None and seal.bundle == name]
    newest = max(numbered)[1] if numbered else None
    standing = verdicts[newest].standing if newest else Standing.ALONE
    lost = tuple(_lost(links, present, known))
    every = list(verdicts.values())
    if also is not None and also.resolve() not in [bundle.folder.resolve() for bundle in present.values()]:
        every.append(verify_bundle(also, public_key))
        unasked = unasked or every[-1].unasked
    return ChainVerdict(relative(root), tuple(every), lost, newest, standing, unasked)


def _under_other_names(root: Path) -> list[Bundle]:
    """Return the folders whose name is no stamp, with the seal of a bundle of the chain: renamed, or copies."""
    renamed = []
    for folder in sorted(root.absolute().iterdir()):
        with suppress(BadInput, OSError):
            other = folder.is_dir() and not STAMPED.fullmatch(folder.name) and irregular(folder / SEAL) != "none"
            if other and STAMPED.fullmatch(read_seal(folder).bundle):
                renamed.append(Bundle(folder))
    return renamed


def _links(present: Mapping[str, Bundle]) -> dict[str, Seal | None]:
    """Return the seals of the sealed bundles; None where one cannot be read, which `problems` names."""
    links: dict[str, Seal | None] = {}
    for name, bundle in present.items():
        if bundle.sealed or irregular(bundle.path(SEAL)) != "none":
            try:
                links[name] = read_seal(bundle.folder)
            except BadInput:
                links[name] = None
    return links


def _chain_problems(
    links: Mapping[str, Seal | None], present: Mapping[str, Bundle], known: Mapping[str, Known]
) -> list[tuple[str, Problem]]:
    """Return what the chain says against the bundles that are there, as (bundle, problem)."""
    faults = [
        (name, Problem("folder", Damage.CHANGED, "changed: expected a folder, got a link"))
        for name, bundle in present.items()
        if bundle.folder.is_symlink()
    ]
    followers: dict[Link | None, list[str]] = defaultdict(list)
    for name, seal in links.items():
        if seal is None:
            continue
        followers[seal.previous].append(name)
        if seal.bundle != name:
            detail = f"slipped in or renamed, its seal is that of {seal.bundle}"
            faults.append((name, Problem(SEAL, Damage.SLIPPED_IN, detail)))
    for link, names in followers.items():
        faults += _against_followers(link, names, links, present)
        if len(names) > 1:
            after = f"follows {link.bundle}" if link else "begins the chain"
            for name in _suspects(names, followers, known):
                others = ", ".join(other for other in names if other != name)
                detail = f"slipped in, or made elsewhere: it {after}, and so does {others}"
                faults.append((name, Problem(SEAL, Damage.SLIPPED_IN, detail)))
    return faults


def _against_followers(
    link: Link | None, names: list[str], links: Mapping[str, Seal | None], present: Mapping[str, Bundle]
) -> list[tuple[str, Problem]]:
    """Return what the followers of `link` say against it (another digest), and what it says against their numbers."""
    number = 1
    if link is not None:
        if link.bundle not in present or not _readable(present[link.bundle]):
            return []
        if digest(present[link.bundle].path(MANIFEST)) != link.sha256:
            detail = f"rewritten, {', '.join(names)} recorded it as {link.sha256[:12]}..."
            return [(link.bundle, Problem(MANIFEST, Damage.REWRITTEN, detail))]
        before = links.get(link.bundle)
        if before is None:
            return []
        number = before.number + 1
    wrong = [(name, seal.number) for name in names if (seal := links[name]) is not None and seal.number != number]
    return [(name, Problem(SEAL, Damage.CHANGED, f"changed: number {its}, expected {number}")) for name, its in wrong]


def _suspects(names: list[str], followers: Mapping[Link | None, list[str]], known: Mapping[str, Known]) -> list[str]:
    """Return those of `names`, bundles that claim the same place in the chain, that are likely to be the wrong ones.

    Right is a bundle that a later seal names as its predecessor; where that tells nothing, one that git has. The others
    are returned; all of `names` where neither tells some of them from the rest.
    """
    followed = {link.bundle for link in followers if link is not None}
    for vouched in (followed, set(known)):
        without = [name for name in names if name not in vouched]
        if 0 < len(without) < len(names):
            return without
    return names


def _lost(links: Mapping[str, Seal | None], present: Mapping[str, Bundle], known: Mapping[str, Known]) -> list[Problem]:
    """Return the bundles that are not there, though a seal or git names them."""
    lost = {}
    for name, known_as in known.items():
        if name not in present:
            word = "committed" if known_as.committed else "staged"
            lost[name] = Problem(name, Damage.DELETED, f"deleted, git has it {word}")
    numbers = {seal.number for seal in links.values() if seal is not None}
    for name, seal in links.items():
        if seal is not None and seal.previous is not None:
            before = seal.previous.bundle
            if before not in present:
                gap = seal.number - 2 - max((n for n in numbers if n < seal.number), default=0)
                more = f", and {gap} more before it" if gap > 0 and not known else ""
                lost.setdefault(before, Problem(before, Damage.DELETED, f"deleted, {name} follows it{more}"))
            elif not present[before].sealed:
                detail = f"its {MANIFEST} is deleted, {name} recorded it"
                lost.setdefault(before, Problem(before, Damage.DELETED, detail))
    return [lost[name] for name in sorted(lost)]
