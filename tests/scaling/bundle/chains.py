"""What the tests of seals and chains share: a chain of bundles, a forger, what a verdict says."""

import hashlib
import json
import subprocess
from datetime import UTC, datetime, timedelta

from tools.scaling.bundle.bundle import Bundle, create
from tools.scaling.bundle.layout import SEAL
from tools.scaling.bundle.seal import write_seal

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
COMMIT = "1" * 40
GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]


def make(root, number, **files):
    """The bundle of `number` minutes after noon, sealed."""
    bundle = create(root, now=NOON + timedelta(minutes=number))
    (bundle.folder / "spec").mkdir()
    bundle.write_provenance({"git_sha": COMMIT})
    for name, text in ({"a.log": f"first line\n{number}\n", "spec/b.log": f"{number} b\n"} | files).items():
        bundle.path(name).write_text(text)
    bundle.seal()
    return bundle


def at(root, number):
    return Bundle(root / (NOON + timedelta(minutes=number)).strftime("%Y%m%dT%H%M%SZ"))


def reseal(bundle):
    """What a forger does after an edit: the sizes and the manifest made anew, the link kept."""
    data = json.loads(bundle.path(SEAL).read_text())
    bundle.path("sha256.txt").unlink()
    bundle.path(SEAL).unlink()
    write_seal(bundle.folder)
    fresh = json.loads(bundle.path(SEAL).read_text()) | {k: data[k] for k in ("number", "previous")}
    bundle.path(SEAL).write_text(json.dumps(fresh, indent=2) + "\n")
    lines = bundle.path("sha256.txt").read_text().splitlines()
    digest = hashlib.sha256(bundle.path(SEAL).read_bytes()).hexdigest()
    bundle.path("sha256.txt").write_text(
        "".join(f"{digest if n == SEAL else d}  {n}\n" for d, n in map(str.split, lines))
    )
    assert bundle.problems() == []


def said(verdict):
    """Every line of a chain's verdict, with its bundle in front."""
    lines = [str(problem) for problem in verdict.lost]
    return lines + [
        f"{one.bundle.rsplit('/', 1)[-1]}/{problem}" for one in verdict.verdicts for problem in one.problems
    ]


def git(folder, *arguments):
    return subprocess.run([*GIT, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def manifest_anew(bundle):
    """sha256.txt as `sha256sum` would make it, seal.json as it is."""
    names = [name for name in bundle.files() if not bundle.path(name).is_dir()]
    lines = [f"{hashlib.sha256(bundle.path(name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    bundle.path("sha256.txt").write_text("".join(lines))
