"""Does verify --all name whatever is done to a chain of bundles? Random damage, one at a time, and the answer.

The chain is small and lies in a git repository of its own: the older bundles committed, the newest staged. Each
mutation is drawn from the seed, done on disk, judged by verify_all, and undone.
"""

import hashlib
import json
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tools.scaling.bundle.bundle import Bundle, create
from tools.scaling.bundle.layout import MANIFEST, SEAL, STAMP
from tools.scaling.bundle.seal import Link, contents, read_seal
from tools.scaling.bundle.verify import ChainVerdict, Standing, known_to_git, verify_all

BUNDLES = 5
_START = datetime(2026, 1, 1, tzinfo=UTC)
_TEXT = ("env.json", "metrics.json", "trace_py_scaling.log", "spec/metrics.json", "empty.txt")
Snapshot = dict[str, bytes]


@dataclass(frozen=True)
class Hit:
    """What a mutation did, in words, and the places that it touched: (bundle, file), file None for a whole bundle."""

    what: str
    places: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class Tally:
    """How many mutations of each kind were made, and how many verify --all named. missed: the first that it did not."""

    seed: int
    made: dict[str, int]
    named: dict[str, int]
    missed: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return self.made == self.named


def run(count: int, seed: int, folder: Path) -> Tally:
    """Make a chain in the empty `folder`, mutate it `count` times, and return the count of what verify --all named."""
    root = build_chain(folder)
    dice = random.Random(seed)
    sound, known = _snapshot(root), known_to_git(root)
    made: Counter[str] = Counter()
    named: Counter[str] = Counter()
    missed: list[str] = []
    while (number := made.total()) < count:
        kind = dice.choice(list(MUTATIONS))
        hit = MUTATIONS[kind](root, dice)
        if _snapshot(root) != sound:
            made[kind] += 1
            if is_named(hit, verify_all(root, known=known)):
                named[kind] += 1
            elif len(missed) < 20:
                missed.append(f"{number}: {kind}, {hit.what}")
            _restore(root, sound)
    return Tally(seed, dict(sorted(made.items())), dict(sorted(named.items())), tuple(missed))


def is_named(hit: Hit, verdict: ChainVerdict) -> bool:
    """Return whether `verdict` names every place that was hit: the file, or for seal and manifest their bundle."""
    lines = {one.bundle.rsplit("/", 1)[-1]: [str(p) for p in one.problems] for one in verdict.verdicts}
    lost = [problem.name for problem in verdict.lost]
    alone = verdict.newest if verdict.standing is Standing.ALONE else None
    return all(
        bundle in (*lost, alone)
        or (bool(lines.get(bundle)) and (file in (None, SEAL, MANIFEST) or any(str(file) in x for x in lines[bundle])))
        for bundle, file in hit.places
    )


def build_chain(folder: Path) -> Path:
    """Make BUNDLES sealed bundles in a new git repository and return their root: the last two staged, not committed."""
    git = [
        "git",
        "-c",
        "user.name=m",
        "-c",
        "user.email=m@example.org",
        "-c",
        "commit.gpgsign=false",
        "-C",
        str(folder),
    ]

    def call(*arguments: str) -> None:
        subprocess.run([*git, *arguments], check=True, capture_output=True)

    call("init", "-q")
    root = folder / "runs"
    for number in range(BUNDLES):
        bundle = create(root, now=_START + timedelta(hours=number))
        (bundle.folder / "spec").mkdir()
        bundle.write_provenance({"timestamp": bundle.stamp, "git_sha": f"{number:040x}"})
        for name in _TEXT:
            lines = [] if name == "empty.txt" else [f"{name} {number} {i * number}\n" for i in range(20)]
            bundle.path(name).write_text("".join(lines), encoding="ascii")
        bundle.seal()
        call("add", "runs")
        if number < BUNDLES - 2:
            call("commit", "-q", "-m", bundle.stamp)
    return root


def _flip(root: Path, dice: random.Random) -> Hit:
    path = _file(root, dice, least=1)
    data = bytearray(path.read_bytes())
    at, bit = dice.randrange(len(data)), dice.randrange(8)
    data[at] ^= 1 << bit
    path.write_bytes(data)
    return _hit(root, f"bit {bit} of byte {at}", path)


def _truncate(root: Path, dice: random.Random) -> Hit:
    path = _file(root, dice, least=1)
    data = path.read_bytes()
    keep = dice.randrange(len(data))
    path.write_bytes(data[:keep])
    return _hit(root, f"{keep} of {len(data)} bytes kept", path)


def _add(root: Path, dice: random.Random) -> Hit:
    path = _bundle(root, dice) / dice.choice(["new.log", "spec/new.log", ".hidden", "deep/er/new"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(dice.randbytes(dice.randrange(40)))
    return _hit(root, "added", path)


def _remove(root: Path, dice: random.Random) -> Hit:
    path = _file(root, dice)
    path.unlink()
    return _hit(root, "removed", path)


def _rename(root: Path, dice: random.Random) -> Hit:
    path = _file(root, dice)
    path.rename(path.with_name(f"renamed-{path.name}"))
    return _hit(root, "renamed", path)


def _swap(root: Path, dice: random.Random) -> Hit:
    one, two = _file(root, dice), _file(root, dice)
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    if first == second:
        return Hit("nothing", ())
    return Hit("contents swapped", (*_hit(root, "", one).places, *_hit(root, "", two).places))


def _rewrite_manifest(root: Path, dice: random.Random) -> Hit:
    """Edit a file, then make sizes and manifest anew, so that the bundle alone looks sound."""
    folder = _bundle(root, dice)
    _edit(folder, dice)
    _reseal(folder)
    return Hit("edited and sealed anew", ((folder.name, None),))


def _rewrite_the_rest(root: Path, dice: random.Random) -> Hit:
    """Edit a file and make every seal from there to the end of the chain anew."""
    folders = sorted(root.iterdir())
    start = dice.randrange(len(folders))
    _edit(folders[start], dice)
    _reseal(folders[start])
    for before, folder in zip(folders[start:], folders[start + 1 :]):
        _reseal(folder, previous=_link(before))
    return Hit("edited, and all later seals made anew", tuple((f.name, None) for f in folders[start:]))


def _remove_bundle(root: Path, dice: random.Random) -> Hit:
    folder = _bundle(root, dice)
    shutil.rmtree(folder)
    return Hit("bundle removed", ((folder.name, None),))


def _remove_the_rest(root: Path, dice: random.Random) -> Hit:
    folders = sorted(root.iterdir())[dice.randrange(1, BUNDLES) :]
    for folder in folders:
        shutil.rmtree(folder)
    return Hit("end of the chain removed", tuple((f.name, None) for f in folders))


def _slip_in(root: Path, dice: random.Random) -> Hit:
    """Copy a bundle to another time, perhaps sealed anew under its new name, anywhere in the chain."""
    source = _bundle(root, dice)
    moment = _START + timedelta(seconds=dice.randrange(-3600, 3600 * BUNDLES))
    target = root / moment.strftime(STAMP)
    if target.exists():
        return Hit("nothing", ())
    shutil.copytree(source, target)
    if dice.random() < 0.7:
        before = dice.choice([None, *(f for f in sorted(root.iterdir()) if f != target)])
        _edit(target, dice)
        number = read_seal(before).number + 1 if before else 1
        _reseal(target, bundle=target.name, previous=_link(before) if before else None, number=number)
    return Hit(f"copy of {source.name} slipped in", ((target.name, None),))


def _swap_bundles(root: Path, dice: random.Random) -> Hit:
    one, two = dice.sample(sorted(root.iterdir()), 2)
    one.rename(root / "aside")
    two.rename(one)
    (root / "aside").rename(two)
    return Hit("bundles swapped", ((one.name, None), (two.name, None)))


MUTATIONS: dict[str, Callable[[Path, random.Random], Hit]] = {
    "flip a bit": _flip,
    "truncate a file": _truncate,
    "add a file": _add,
    "remove a file": _remove,
    "rename a file": _rename,
    "swap two files": _swap,
    "rewrite the manifest": _rewrite_manifest,
    "rewrite the rest of the chain": _rewrite_the_rest,
    "remove a bundle": _remove_bundle,
    "remove the end of the chain": _remove_the_rest,
    "slip a bundle in": _slip_in,
    "swap two bundles": _swap_bundles,
}


def _bundle(root: Path, dice: random.Random) -> Path:
    return dice.choice(sorted(root.iterdir()))


def _file(root: Path, dice: random.Random, least: int = 0) -> Path:
    folder = _bundle(root, dice)
    names = [name for name in [*contents(folder), MANIFEST] if (folder / name).stat().st_size >= least]
    return folder / dice.choice(names)


def _hit(root: Path, what: str, path: Path) -> Hit:
    bundle, _, name = path.relative_to(root).as_posix().partition("/")
    return Hit(f"{bundle}/{name}: {what}", ((bundle, name),))


def _edit(folder: Path, dice: random.Random) -> None:
    path = folder / dice.choice(_TEXT)
    path.write_bytes(path.read_bytes() + b"%d\n" % dice.randrange(10**9))


def _link(folder: Path) -> Link:
    return Link(folder.name, _sha256(folder / MANIFEST))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _reseal(folder: Path, **changes: Any) -> None:
    """Seal the folder as a forger would: sizes and digests as they are now, the rest of seal.json as wanted."""
    data = json.loads((folder / SEAL).read_bytes())
    data["sizes"] = {name: (folder / name).stat().st_size for name in contents(folder) if name != SEAL}
    if isinstance(changes.get("previous"), Link):
        changes["previous"] = vars(changes["previous"])
    (folder / SEAL).write_text(json.dumps(data | changes, indent=2) + "\n", encoding="ascii")
    lines = [f"{_sha256(folder / name)}  {name}\n" for name in contents(folder)]
    (folder / MANIFEST).write_text("".join(lines), encoding="ascii")
    assert not Bundle(folder).problems()


def _snapshot(root: Path) -> Snapshot:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _restore(root: Path, sound: Snapshot) -> None:
    now = _snapshot(root)
    for name in now.keys() - sound.keys():
        (root / name).unlink()
    for name, data in sound.items():
        if now.get(name) != data:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
    for folder in sorted((p for p in root.rglob("*") if p.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def tally_lines(tally: Tally) -> Iterator[str]:
    """Yield a line for each kind of mutation, for each one missed, and for the sum."""
    for kind, made in tally.made.items():
        yield f"{kind:<30} {tally.named.get(kind, 0):>6} of {made:>6} named"
    for line in tally.missed:
        yield f"MISSED {line}"
    total, named = sum(tally.made.values()), sum(tally.named.values())
    yield f"{named} of {total} mutations named (seed {tally.seed})"
