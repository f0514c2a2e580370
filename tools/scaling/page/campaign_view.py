"""What campaign.html shows, as plain frozen records. Values are as counted; the template formats them."""

from dataclasses import dataclass

from tools.scaling.page.view import ChangedFact, Number, Pair


@dataclass(frozen=True, slots=True)
class Held:
    """A record: the largest relative deviation, or the most ulps, of a check, and the seed that holds it."""

    value: Number
    seed: int
    ulps: int | None = None


@dataclass(frozen=True, slots=True)
class CheckRow:
    """How a check ended, in cases. reasons: why it was not asked, the most frequent first.

    agreeing, failing: the largest relative deviation of the cases that are ok and of those that fail. most_ulps: of all
    cases. histogram: cases by the bits of their ulps (0, 1, 2-3, 4-7, ...).
    """

    name: str
    ok: int
    differs: int
    error: int
    unasked: int
    reasons: tuple[tuple[str, int], ...]
    agreeing: Held | None
    failing: Held | None
    most_ulps: Held | None
    histogram: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GroupRow:
    """Failures of one signature. says: of its first seed. command, sentence, cause: of the shrunk case, else empty.

    change: NEW or GROWN against the campaign before, else empty.
    """

    signature: str
    count: int
    seeds: tuple[int, ...]
    says: str
    command: str
    sentence: str
    cause: str
    folder: str
    kept: int
    change: str


@dataclass(frozen=True, slots=True)
class GroupChange:
    """A kind of failure in the campaign before and in this one. word: NEW, GONE, GROWN or FEWER."""

    word: str
    kind: str
    before: int
    now: int


@dataclass(frozen=True, slots=True)
class CampaignBefore:
    """The campaign before this one. settings: where the keys differ. same_seeds: it had the very seeds of this one."""

    digest: str
    cases: int
    settings: tuple[ChangedFact, ...]
    changes: tuple[GroupChange, ...]
    same_seeds: bool


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """Who computed. seconds: of the wall, of its shards; rate: cases a second, None where no time was taken."""

    name: str
    cpu: str
    cases: int
    seconds: float
    rate: Number


@dataclass(frozen=True, slots=True)
class FlagCoverage:
    """Which flags the cases had. names: of the table. pairs: the counts of names i <= j, row by row.

    picture: the heat map as base64 PNG, a pixel each pair. rarest: the flags that the fewest cases had. never: those
    that none had. left_out: those that are not drawn, with the reason. apart: pairs that no case had together, of
    `apart_count`. strange: flags of the store that this version does not know.
    """

    names: tuple[str, ...]
    pairs: tuple[int, ...]
    picture: str
    rarest: tuple[tuple[str, int], ...]
    never: tuple[str, ...]
    left_out: tuple[Pair, ...]
    apart: tuple[tuple[str, str, float], ...]
    apart_count: int
    strange: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CampaignPage:
    """campaign.html. key: what the results depend on. notes: files of the store that are left out, and why."""

    digest: str
    verdict: str
    headline: str
    facts: tuple[Pair, ...]
    key: tuple[Pair, ...]
    checks: tuple[CheckRow, ...]
    groups: tuple[GroupRow, ...]
    groups_left_out: int
    before: CampaignBefore | None
    coverage: FlagCoverage
    workers: tuple[WorkerRow, ...]
    workers_left_out: int
    cases: int
    notes: tuple[str, ...]
