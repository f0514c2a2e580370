"""What a run compares, where and how: one record, as provenance.json keeps it and as the options that give it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from tools.scaling.base.discretion import located
from tools.scaling.engine.tolerances import DEFAULT_TOLERANCE

PROGRAMS = ("candidate", "candidate_command", "reference", "reference_command")


@dataclass(frozen=True)
class Settings:
    """What a run compares, where and how. Kept in provenance.json, so that a step run alone knows it.

    image: window or whole, what is simulated beside the traces, or None. image_c: the reference's image of it.
    candidate, reference: the two implementations by name or TOML file, or by their command lines; None: our port and
    the golden data. mode: the program that our port follows, or None. include_untracked: whether dirty.patch holds the
    untracked files, too.
    """

    case: str = "supervisor"
    pixel: tuple[int, int] | None = None
    c: str | None = None
    hkl: str | None = None
    device: str = "cpu"
    dtype: str = "float64"
    tolerance: float = DEFAULT_TOLERANCE
    memory_limit: int | None = None
    image: str | None = None
    image_c: str | None = None
    candidate: str | None = None
    candidate_command: str | None = None
    reference: str | None = None
    reference_command: str | None = None
    mode: str | None = None
    include_untracked: bool = False

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> "Settings":
        """Return the settings that the JSON of provenance.json holds."""
        known = {k: v for k, v in value.items() if k in cls.__dataclass_fields__}
        known |= {
            name: located(known[name])
            for name in ("case", "c", "hkl", "image_c", "candidate", "reference")
            if known.get(name)
        }
        return cls(**known | {"pixel": tuple(known["pixel"]) if known.get("pixel") else None})

    def as_json(self) -> dict[str, Any]:
        """All settings; of the implementations those that are named, so that our port alone is recorded as ever."""
        unsaid = {name for name in (*PROGRAMS, "mode") if getattr(self, name) is None}
        return {name: value for name, value in asdict(self).items() if name not in unsaid}

    @property
    def programs(self) -> list[str]:
        """Return the options that name the two implementations, and how our port computes."""
        given = {f"--{name.replace('_', '-')}": getattr(self, name) for name in PROGRAMS}
        return [word for flag, value in given.items() if value is not None for word in (flag, value)] + self.followed

    @property
    def followed(self) -> list[str]:
        """Return the option that makes our port follow another program than golden."""
        return ["--mode", self.mode] if self.mode else []

    def with_changes(self, **changes: Any) -> "Settings":
        """These settings with every change that is not None."""
        return replace(self, **{name: value for name, value in changes.items() if value is not None})

    def options(self) -> list[str]:
        """Return the options of the subcommands that trace or simulate with these settings; `pixel` must be there."""
        assert self.pixel is not None
        words = ["--case", self.case, "--pixel", *map(str, self.pixel), "--device", self.device, "--dtype", self.dtype]
        return words + (["--hkl", self.hkl] if self.hkl else [])
