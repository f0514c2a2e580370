"""The evidence bundle: one folder a run, its command log, and the seal over it.

A bundle is `REPORTS_ROOT/YYYYMMDDTHHMMSSZ`. It is open until sha256.txt is written; after
that nothing in it changes, and `problems` says whether anything did (seal.py).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tools.scaling.base.errors import BadInput, why
from tools.scaling.base.files import write_json, write_text
from tools.scaling.base.repo import relative
from tools.scaling.bundle.layout import (
    COMMANDS,
    FORMAT,
    MANIFEST,
    PROVENANCE,
    STAMP,
    STAMPED,
    CommandRecord,
    command_blocks,
    read_object,
)
from tools.scaling.bundle.seal import Problem, contents, irregular, problems, write_seal


@dataclass(frozen=True)
class Bundle:
    """One run's folder. `folder` exists; everything else is made by the steps."""

    folder: Path

    @property
    def stamp(self) -> str:
        """The folder's name, which is the run's UTC time."""
        return self.folder.name

    @property
    def sealed(self) -> bool:
        return irregular(self.folder / MANIFEST) != "none"

    def path(self, name: str) -> Path:
        return self.folder / name

    def shown(self, name: str = "") -> str:
        """Return a path inside the bundle as the tools write it: relative to the repo's root."""
        return relative(self.folder / name)

    def files(self) -> list[str]:
        """Return every file in the bundle but the manifest, as sorted POSIX paths relative to it."""
        return contents(self.folder)

    def require_open(self) -> None:
        if self.sealed:
            raise BadInput(f"{self.shown()}: sealed, nothing in it may change; make a new one (provenance)")

    def record(self, entry: CommandRecord) -> None:
        """Append one command to commands.txt."""
        self.require_open()
        path = self.path(COMMANDS)
        text = path.read_text(encoding="ascii") if path.exists() else ""
        write_text(path, text + entry.as_text(len(command_blocks(text)) + 1))

    def provenance(self) -> dict[str, Any]:
        """Return what provenance wrote: the commit, the settings of the run, the protected files' state."""
        value = read_object(self.path(PROVENANCE), "what provenance wrote")
        written = value.get("format", FORMAT)
        if not isinstance(written, int) or written > FORMAT:
            expected = f"expected format {FORMAT} or less, got {written!r}"
            raise BadInput(f"{self.shown(PROVENANCE)}: written by a newer version ({expected})")
        return value

    def write_provenance(self, value: dict[str, Any]) -> None:
        self.require_open()
        write_json(self.path(PROVENANCE), {"format": FORMAT, **value})

    def seal(self, sign: Path | None = None) -> int:
        """Write seal.json and sha256.txt over every file, then verify them. Returns how many files they cover.

        sign: a private key; with it attestation.json is made too (signing.py).
        """
        self.require_open()
        attest = None
        if sign is not None:
            from tools.scaling.bundle.signing import attester

            attest = attester(self.folder, sign)
        count = write_seal(self.folder, attest)
        faults = self.problems()
        if faults:
            raise BadInput(f"{self.shown(MANIFEST)}: does not hold right after writing: {faults[0]}")
        return count

    def problems(self) -> list[Problem]:
        """Return a problem for each file that is changed, truncated, renamed, missing or added; none when all holds."""
        return problems(self.folder)


def create(reports_root: Path, run_dir: Path | None = None, now: datetime | None = None) -> Bundle:
    """Make a new, empty bundle: `run_dir`, or the first free second from `now` on under `reports_root`.

    Raises BadInput if `run_dir` exists, or if the folder cannot be made.
    """
    moment = now or datetime.now(UTC)
    try:
        if run_dir is not None:
            run_dir.mkdir(parents=True)
            return Bundle(run_dir.absolute())
        reports_root.mkdir(parents=True, exist_ok=True)
        while True:
            folder = reports_root / moment.strftime(STAMP)
            try:
                folder.mkdir()
                return Bundle(folder.absolute())
            except FileExistsError:
                moment += timedelta(seconds=1)
    except FileExistsError as error:
        raise BadInput(f"{run_dir or reports_root}: exists; a bundle is never reused or overwritten") from error
    except OSError as error:
        raise BadInput(f"{run_dir or reports_root}: cannot be made: {why(error)}") from error


def bundles(reports_root: Path) -> list[Bundle]:
    """Return all bundles under `reports_root`, oldest first."""
    folders: Iterable[Path] = reports_root.iterdir() if reports_root.is_dir() else ()
    return [Bundle(f.absolute()) for f in sorted(folders) if STAMPED.fullmatch(f.name) and f.is_dir()]


def open_bundle(reports_root: Path, run_dir: Path | None = None) -> Bundle:
    """Return the bundle `run_dir`, or the newest one under `reports_root` that is not sealed. Raises BadInput."""
    if run_dir is not None:
        if not run_dir.is_dir():
            raise BadInput(f"{run_dir}: expected a bundle's folder, got none")
        bundle = Bundle(run_dir.absolute())
        bundle.require_open()
        return bundle
    candidates = [b for b in bundles(reports_root) if not b.sealed]
    if not candidates:
        raise BadInput(f"{relative(reports_root)}: no open bundle; make one first: nox -s provenance")
    return candidates[-1]
