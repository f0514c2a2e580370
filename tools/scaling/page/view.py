"""What a page shows, as plain frozen records. Values are as read; the templates format them."""

from dataclasses import dataclass

Number = float | None


@dataclass(frozen=True, slots=True)
class Pair:
    """A name and its value."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Factor:
    """A row of the factor table: values of both sides, their deltas, the status word."""

    name: str
    meaning: str
    c: Number
    py: Number
    abs: Number
    rel: Number
    status: str


@dataclass(frozen=True, slots=True)
class Differing:
    """A traced number upstream of the factors that does not pass. rel: against its vector's length."""

    label: str
    stage: str
    c: Number
    py: Number
    rel: Number
    status: str


@dataclass(frozen=True, slots=True)
class PhiStep:
    """One phi step of a series. difference: py - c. None where a side has no value, or none that is finite."""

    x: float
    c: Number
    py: Number
    difference: Number
    status: str


@dataclass(frozen=True, slots=True)
class PhiSeries:
    """A traced quantity over the phi steps. sweeps: how often the trace goes through them (the first is shown)."""

    name: str
    axis: str
    steps: tuple[PhiStep, ...]
    sweeps: int
    worst_rel: Number
    left_out: int


@dataclass(frozen=True, slots=True)
class CauseRow:
    """One defect; effect_rel: the relative change of the target that it makes alone. share: of the whole delta."""

    quantity: str
    variant: str
    defect_rel: Number
    effect_rel: Number
    share: Number
    amplification: Number


@dataclass(frozen=True, slots=True)
class Attribution:
    """What explain.json says of a comparison."""

    sentence: str
    target: str
    delta_rel: Number
    explained_rel: Number
    causes: tuple[CauseRow, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """One of the three comparisons. expected: what it should show. summary: the file with all of it.

    orphans: names that one trace has more often than the other.
    """

    name: str
    expected: str
    verdict: str
    headline: str
    summary: str
    factors: tuple[Factor, ...]
    differing: tuple[Differing, ...]
    differing_count: int
    traced_count: int
    series: tuple[PhiSeries, ...]
    orphans: tuple[Pair, ...]
    orphans_count: int
    attribution: Attribution | None
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CommandRow:
    """An entry of commands.txt. last: the last line that it printed, of so many `lines`."""

    number: str
    started: str
    step: str
    command: str
    exit_code: str
    seconds: str
    peak: str
    note: str
    last: str
    lines: int


@dataclass(frozen=True, slots=True)
class AuditBlock:
    """A part of a Markdown text. kind: heading, text, list or code."""

    kind: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChangedFact:
    """What is not as it was in the bundle before."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class RawFile:
    """A file of the bundle; href: its name as a relative URL; size in bytes, None for what is not complete yet."""

    name: str
    href: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Previous:
    """The bundle before this one; href is relative. changes: machine, commit, settings and results."""

    stamp: str
    href: str
    changes: tuple[ChangedFact, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class Page:
    """report.html. image: the triptych as base64 PNG; image_facts: what was simulated, and how far off it is.

    audit: what a blocked run wrote; audit_cut: it goes on. notes: what cannot be read.
    """

    stamp: str
    when: str
    title: str
    verdict: str
    headline: str
    facts: tuple[Pair, ...]
    gates: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    commands: tuple[CommandRow, ...]
    commands_left_out: int
    exports: str
    environment: tuple[Pair, ...]
    previous: Previous | None
    files: tuple[RawFile, ...]
    image: str | None
    image_note: str
    image_facts: tuple[Pair, ...]
    audit: tuple[AuditBlock, ...]
    audit_cut: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IndexRow:
    """A bundle in the index; href is relative. what: case, pixel, device, type. regression: what passed before.

    problem: why the bundle is broken; then nothing else is known of it.
    """

    stamp: str
    when: str
    href: str
    commit: str
    what: str
    verdict: str
    first_divergence: str
    worst: Number
    cause: str
    regression: str
    problem: str


@dataclass(frozen=True, slots=True)
class Trend:
    """A quantity's relative delta over the bundles, oldest first; None where a bundle has no value of it."""

    name: str
    values: tuple[Number, ...]


@dataclass(frozen=True, slots=True)
class Trends:
    """The trends of the bundles of one case, pixel, device and type. exact: the quantities that never differed."""

    what: str
    bundles: int
    trends: tuple[Trend, ...]
    exact: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """index.html. rows: newest first. counts: verdict word and how many bundles have it."""

    root: str
    rows: tuple[IndexRow, ...]
    counts: tuple[tuple[str, int], ...]
    trends: tuple[Trends, ...]
    trends_left_out: int


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A measurement on a device. cells: its figures, as many as its part has heads."""

    name: str
    verdict: str
    said: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DevicePart:
    """A part of the evidence of a device: a table."""

    name: str
    seconds: Number
    heads: tuple[str, ...]
    rows: tuple[DeviceRow, ...]


@dataclass(frozen=True, slots=True)
class DevicePage:
    """Everything that report.html shows of the evidence of a device."""

    stamp: str
    when: str
    title: str
    verdict: str
    headline: tuple[str, ...]
    facts: tuple[Pair, ...]
    parts: tuple[DevicePart, ...]
    environment: tuple[Pair, ...]
    notes: tuple[str, ...]
