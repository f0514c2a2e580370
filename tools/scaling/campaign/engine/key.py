"""What the results of a campaign depend on besides the seeds: the key of a store's folder."""

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.scaling.base.errors import BadInput
from tools.scaling.base.repo import ROOT, git, head
from tools.scaling.campaign.engine.store import FORMAT

if TYPE_CHECKING:
    from tools.scaling.campaign.scene import How

CODE = ("src", "tools")  # where a file that git does not track would be imported from
JUDGE = "tools.scaling.campaign.engine.shard:judged"


@dataclass(frozen=True)
class Asked:
    """What is asked of every case.

    device, dtype: where and in which type the port computes once more. against: the name of an implementation, or its
    TOML file; empty: none. work: MODULE:FUNCTION, which makes the Result of a seed and of this record.
    """

    device: str = "cpu"
    dtype: str = "float32"
    against: str = ""
    work: str = JUDGE

    @property
    def how(self) -> "How":
        """The same for the checks. Raises BadInput for an implementation that cannot be started."""
        return _how(self)


@cache
def _how(asked: Asked) -> "How":
    from tools.scaling.campaign.scene import How
    from tools.scaling.implementations.describe import find_implementation

    program = find_implementation(asked.against) if asked.against else None
    if program is not None and not program.command:
        raise BadInput(
            f"--against {asked.against}: expected an implementation that is started, got one without command"
        )
    return How(asked.device, asked.dtype, program)


@cache
def key_of(asked: Asked) -> dict[str, Any]:
    """The key of what this process computes; values are those of JSON.

    commit, patch: of this checkout; the patch's sha256 also tells of files under src and tools that git does not track.
    implementation: its name, and the sha256 of its description and its programs. cpu: which instructions torch uses.
    Raises BadInput where there is no git, Unavailable where the implementation is not there.
    """
    import torch

    from tools.scaling.campaign.generator import GENERATOR

    return {
        "format": FORMAT,
        "generator": GENERATOR,
        "work": asked.work,
        "commit": head(),
        "patch": _patch(),
        "implementation": _implementation(asked),
        "device": asked.device,
        "dtype": asked.dtype,
        "torch": torch.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }


def _patch() -> str | None:
    """The sha256 of what the working tree has beyond the commit, or None."""
    from tools.scaling.bundle.patch import working_patch

    untracked = git("ls-files", "--others", "--exclude-standard", "-z", "--", *CODE, cwd=ROOT).split("\0")[:-1]
    tracked, files = working_patch().patch, [(name, (ROOT / name).read_bytes()) for name in untracked]
    if not tracked and not files:
        return None
    told = hashlib.sha256(tracked)
    for name, content in files:
        told.update(f"{name}\0{len(content)}\0".encode() + content)
    return told.hexdigest()


def _implementation(asked: Asked) -> dict[str, str] | None:
    from tools.scaling.implementations.run import record_of

    program = asked.how.against
    if program is None:
        return None
    # the names of its files differ from one machine to the next
    record = {name: value for name, value in record_of(program).items() if name not in ("command", "file")}
    record["programs_sha256"] = sorted(record["programs_sha256"].values())
    return {
        "name": program.name,
        "sha256": hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest(),
    }


def absolute(against: str | None) -> str:
    """The name of an implementation as any process of this machine finds it; empty for none."""
    if against and (against.endswith(".toml") or "/" in against):
        return str(Path(against).expanduser().absolute())
    return against or ""


def difference(key: dict[str, Any], other: dict[str, Any]) -> str:
    """A line of what `key` has otherwise than `other`, as NAME: VALUE and OTHER VALUE; empty where they are equal."""
    told = []
    for name in key:
        if key[name] != other.get(name):
            told.append(f"{name} {_short(other.get(name))}, expected {_short(key[name])}")
    return "; ".join(told)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['name']} {value['sha256'][:12]}"
    return "none" if value is None else str(value)[:12]
