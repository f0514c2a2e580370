"""The numbered steps, in the order in which they run, as one table.

The noxfile reads this file in nox's own Python, so it imports the standard library alone.
"""

from typing import NamedTuple


class StepRow(NamedTuple):
    """One step: `numbers` of the hand-worked list, its session's name, what it does.

    hint: what `nox -l` says beside it. needs_bundle: False for the steps that leave no artifact; without an open
    bundle they run unrecorded.
    """

    numbers: str
    name: str
    what: str
    hint: str = ""
    needs_bundle: bool = True

    @property
    def sentence(self) -> str:
        """The step as a line of `nox -l`."""
        head = f"Step{'s' * (not self.numbers.isdecimal())} {self.numbers}"
        return f"{head if self.numbers != OPTIONAL else OPTIONAL.capitalize()}: {self.what}{self.hint}."


OPTIONAL = "optional"
TABLE = (
    StepRow("1-6", "provenance", "open a bundle (commit, status, exports, installed package)"),
    StepRow("7-9, 11", "harness_traces", "c-parity, spec and legacy traces, inspected"),
    StepRow("10", "env_snapshot", "env.json"),
    StepRow("14-19, 26", "comparison", "the traces compared with the reference and explained, metrics checked"),
    StepRow(
        OPTIONAL,
        "image",
        "the window or the whole detector against the reference's image",
        "; -- --image whole for all of it",
    ),
    StepRow("20", "collect_only", "pytest --collect-only of the mapped tests", needs_bundle=False),
    StepRow(
        "21-22",
        "parity_tests",
        "the mapped tests, CPU and CUDA",
        "; -- --device cuda for one alone",
        needs_bundle=False,
    ),
    StepRow("24-25", "ledger", "the plan's M1 row and one Attempt in docs/fix_plan.md"),
    StepRow("27, 30", "handoff", "final status, protected files, extra diagnostics"),
    StepRow("23", "checksums", "the seal: sha256.txt, verified"),
    StepRow("28", "stage", "git add of exactly what the run wrote"),
)
