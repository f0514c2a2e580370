"""The two implementations that a run compares, where they are not our port and the golden data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tools.scaling.base.errors import BadInput
from tools.scaling.bundle.layout import MODES, Mode
from tools.scaling.cases.case import Case
from tools.scaling.implementations.describe import PORT, RECORDED, Implementation, choose, refuse_same_name
from tools.scaling.implementations.run import record_of
from tools.scaling.procedure.settings import Settings

REFERENCE_LOG = "trace_py_scaling_reference.log"  # the trace of a reference that is a program, made in the run


@dataclass(frozen=True)
class ProgramPair:
    """A reference and a candidate. traced: whether both have a trace of the run's pixel; else the image decides."""

    reference: Implementation
    candidate: Implementation
    traced: bool

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The traces of the candidate: the controls exist for our port alone."""
        if not self.traced:
            return ()
        return tuple(MODES.values()) if self.candidate is PORT else (MODES["c-parity"],)

    def record(self) -> dict[str, Any]:
        """Return what provenance.json says of the pair."""
        both = {"reference": record_of(self.reference), "candidate": record_of(self.candidate)}
        return both | {"modes": [mode.name for mode in self.modes]}


def pair_of(settings: Settings, case: Case, pixel: tuple[int, int]) -> ProgramPair | None:
    """The pair that the settings name; None for our port beside the golden data.

    Raises BadInput for a name that is none, for two implementations of one name, and for a reference that is both a
    file and a program.
    """
    reference = choose("reference", settings.reference, settings.reference_command, RECORDED)
    candidate = choose("candidate", settings.candidate, settings.candidate_command, PORT)
    refuse_same_name(reference, candidate)
    if reference is RECORDED and candidate is PORT:
        return None
    for flag, given in (("--c", settings.c), ("--image-c", settings.image_c)):
        if given and reference is not RECORDED:
            raise BadInput(f"{flag}: expected a reference's file or an implementation that makes it, got both")
    traced = candidate.trace is not None and reference.trace is not None
    recorded = reference is not RECORDED or settings.c is not None or case.reference(pixel) is not None
    return ProgramPair(reference, candidate, traced and recorded)


def modes_in(known: Mapping[str, Any]) -> tuple[Mode, ...]:
    """Return the modes that a run traced, by its provenance: of another pair than the usual, those that it names."""
    pair = known.get("implementations")
    return tuple(MODES.values()) if pair is None else tuple(MODES[name] for name in pair["modes"])
