"""The store of a campaign -> campaign.html: what was held against what, what failed, what changed, what was drawn."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tools.scaling.base.discretion import discreet
from tools.scaling.base.errors import BadInput
from tools.scaling.base.files import write_text
from tools.scaling.base.text import counted
from tools.scaling.bundle.environment import flattened
from tools.scaling.bundle.layout import read_object
from tools.scaling.campaign.coverage import NAMES, Coverage
from tools.scaling.campaign.engine.store import KEY, key_folders, seeds_text
from tools.scaling.campaign.failures.groups import SHRUNK, FailureGroup, Signature, groups, read_shrunk, signature
from tools.scaling.campaign.generator import NOT_DRAWN
from tools.scaling.campaign.record import Status
from tools.scaling.campaign.tally import CheckTally, Failure, Tally
from tools.scaling.page.campaign_view import (
    CampaignBefore,
    CampaignPage,
    CheckRow,
    FlagCoverage,
    GroupChange,
    GroupRow,
    Held,
    WorkerRow,
)
from tools.scaling.page.heat import heat_map
from tools.scaling.page.html import campaign_page
from tools.scaling.page.reading import LONG, finite, short, value_text
from tools.scaling.page.view import ChangedFact, Pair

PAGE = "campaign.html"
GROUPS, CHANGES, WORKERS, RAREST, PAIRS, REASONS, NOTES = 200, 200, 60, 20, 200, 4, 50  # that are shown
COMMAND = 2000  # characters of a shrunk command line
Kind = tuple[str, str, tuple[str, ...]]


def write_campaign_page(store: Path, folder: Path | None = None, out: Path | None = None) -> Path:
    """Write the page of a campaign and return its path.

    folder: of the campaign's key, in `store`; the one that was written last without it. out: STORE/campaign.html
    without it. Raises BadInput: no store, no campaign in it, a newer format, or a page that cannot be written.
    """
    known = key_folders(store)
    if not known:
        raise BadInput(f"{store}: expected the store of a campaign, got a folder without one")
    chosen = folder or known[-1]
    earlier = [each for each in known if each.name != chosen.name and _time(each) <= _time(chosen)]
    path = out or store / PAGE
    write_text(path, campaign_page(page_of(chosen, earlier[-1] if earlier else None)))
    return path


def _time(folder: Path) -> int:
    return folder.stat().st_mtime_ns


def page_of(folder: Path, earlier: Path | None) -> CampaignPage:
    """What the page of the key's `folder` shows; earlier: the folder of the campaign before. Raises BadInput."""
    tally, says, counts = Tally(), dict[Signature, str](), Counter[Kind]()
    found = groups(_noted(tally.failures(folder), says, counts), read_shrunk(folder / SHRUNK))
    key = _key(folder)
    before = None if earlier is None else _before(earlier, key, tally, counts)
    news = {} if before is None else {each.kind: each.word for each in before.changes if each.word in ("NEW", "GROWN")}
    workers = _workers(tally)
    return CampaignPage(
        digest=folder.name,
        verdict=("FAIL" if tally.failed else "PASS") if tally.cases else "NOT RUN",
        headline=_headline(tally, found),
        facts=tuple(_facts(tally, key)),
        key=tuple(Pair(short(name), value_text(value)) for name, value in flattened(key)),
        checks=tuple(_check(name, check) for name, check in tally.checks.items()),
        groups=_groups(found[:GROUPS], says, news),
        groups_left_out=max(0, len(found) - GROUPS),
        before=before,
        coverage=_coverage(tally.coverage, sorted(tally.strange)),
        workers=workers[:WORKERS],
        workers_left_out=max(0, len(workers) - WORKERS),
        cases=tally.cases,
        notes=tuple(short(discreet(note), LONG) for note in tally.notes[:NOTES]),
    )


def _noted(failures: Iterable[Failure], says: dict[Signature, str], counts: Counter[Kind]) -> Iterator[Failure]:
    """The same failures; the first sentence of each signature, and the number of each kind, are kept."""
    for seed, verdict, flags in failures:
        known = signature(verdict, flags)
        says.setdefault(known, verdict.says)
        counts[known.kind] += 1
        yield seed, verdict, flags


def _key(folder: Path) -> Mapping[str, Any]:
    return read_object(folder / KEY, "the key of a campaign")


def _headline(tally: Tally, found: Sequence[FailureGroup]) -> str:
    many = counted(tally.cases, "case")
    if not tally.failed:
        return f"{many}, none fails." if tally.cases else "No case is in the store."
    return f"{many}: {tally.failed:,} {'fails' if tally.failed == 1 else 'fail'}, in {counted(len(found), 'group')}."


def _facts(tally: Tally, key: Mapping[str, Any]) -> Iterator[Pair]:
    against = key.get("implementation")
    hosts = {host for _, host, _ in tally.workers}
    wall = sum(each.seconds for each in tally.workers.values())
    facts = {
        "Cases": f"{tally.cases:,}",
        "Seeds": short(seeds_text(tally.seeds)),
        "Against": "no other program" if against is None else _name(against),
        "On": ", ".join(str(key[name]) for name in ("device", "dtype") if key.get(name)),
        "Commit": f"{str(key.get('commit', '-'))[:12]}{' and a patch' if key.get('patch') else ''}",
        "Generator": value_text(key.get("generator")),
        "torch": f"{key.get('torch', '-')}, {key.get('cpu', '-')}",
        "Machines": counted(len(hosts), "host") + ", " + counted(len(tally.workers), "worker"),
        "Core-hours": f"{wall / 3600:.3g}, of which {tally.seconds / 3600:.3g} in cases",
        "A million takes": f"{wall / max(tally.cases, 1) * 1e6 / 3600:.3g} core-hours",
    }
    yield from (Pair(name, text) for name, text in facts.items())


def _name(implementation: Any) -> str:
    return short(str(implementation.get("name", "-") if isinstance(implementation, dict) else implementation))


def _check(name: str, check: CheckTally) -> CheckRow:
    ends = check.status
    reasons = tuple((short(text or "no reason given"), count) for text, count in check.reasons.most_common(REASONS))
    agreeing, failing = (
        None if each is None else Held(finite(each[0]), each[1], each[2]) for each in (check.agreeing, check.failing)
    )
    most = None if check.most_ulps is None else Held(None, check.most_ulps[1], check.most_ulps[0])
    last = max((place for place, count in enumerate(check.bits) if count), default=-1)
    return CheckRow(
        short(name), ends[Status.ok], ends[Status.differs], ends[Status.error], ends[Status.unasked],
        reasons, agreeing, failing, most, tuple(check.bits[: last + 1]),
    )  # fmt: skip


def _words(kind: Kind) -> str:
    check, label, quirks = kind
    return " ".join(filter(None, (check, label, *quirks)))


def _groups(
    found: Sequence[FailureGroup], says: Mapping[Signature, str], news: Mapping[str, str]
) -> tuple[GroupRow, ...]:
    """The rows of the groups; a shrunk case, which serves all decades of its kind, has its command in the first."""
    rows, shown = [], set[str]()
    for group in found:
        kind, shrunk = _words(group.signature.kind), group.shrunk
        first = shrunk is not None and shrunk.folder not in shown
        shown |= {shrunk.folder} if shrunk else set()
        rows.append(
            GroupRow(
                signature=short(f"{kind} {group.signature.decade}".strip()),
                count=group.count,
                seeds=group.seeds,
                says=short(discreet(_said(says, group.signature)), LONG),
                command=short(shrunk.command, COMMAND) if shrunk and first else "",
                sentence=short(discreet(shrunk.sentence), 2 * LONG) if shrunk and first else "",
                cause=short(group.cause),
                folder=short(shrunk.folder) if shrunk else "",
                kept=shrunk.kept if shrunk else 0,
                change=news.get(short(kind), ""),
            )
        )
    return tuple(rows)


def _said(says: Mapping[Signature, str], sign: Signature) -> str:
    """What the first case of a group says; of one whose quirks do not matter, the first with any quirks."""
    alike = (text for each, text in says.items() if replace(each, quirks=()) == replace(sign, quirks=()))
    return says[sign] if sign in says else next(alike)


def _before(folder: Path, key: Mapping[str, Any], now: Tally, counts: Counter[Kind]) -> CampaignBefore:
    then, theirs = Tally(), Counter[Kind]()
    for _, verdict, flags in then.failures(folder):
        theirs[signature(verdict, flags).kind] += 1
    same = then.seeds == now.seeds
    changes = [
        GroupChange(word, short(_words(kind)), theirs[kind], counts[kind])
        for kind in sorted({*counts, *theirs})
        if (word := changed(theirs[kind], then.cases, counts[kind], now.cases, same))
    ]
    changes.sort(key=lambda each: (_ORDER.index(each.word), -max(each.before, each.now), each.kind))
    ours, others = dict(flattened(key)), dict(flattened(_key(folder)))
    settings = tuple(
        ChangedFact(short(name), value_text(others.get(name)), value_text(ours.get(name)))
        for name in {**others, **ours}
        if others.get(name) != ours.get(name)
    )
    return CampaignBefore(folder.name, then.cases, settings, tuple(changes[:CHANGES]), same)


_ORDER = ("NEW", "GROWN", "GONE", "FEWER")


def changed(before: int, cases_before: int, now: int, cases: int, same_seeds: bool) -> str:
    """Whether a kind of failure is NEW, GROWN, GONE or FEWER than before; empty where it is as it was.

    Of the same seeds every difference counts; of other seeds one beyond three standard deviations of what two counts
    of one rate, both Poisson's, differ by. A kind that was never seen before is NEW in any case.
    """
    share = 1.0 if same_seeds else cases / max(cases_before, 1)
    expected = before * share
    rate = (before + now) / max(cases_before + cases, 1)
    spread = 0.0 if same_seeds else 3.0 * math.sqrt(rate * (cases + share**2 * cases_before))
    if now and not before:
        return "NEW"
    if now - expected > spread:
        return "GROWN"
    if expected - now > spread:
        return "FEWER" if now else "GONE"
    return ""


def _workers(tally: Tally) -> tuple[WorkerRow, ...]:
    rows = [
        WorkerRow(
            short(f"{name} on {host}"), short(cpu), each.cases, each.seconds,
            each.cases / each.seconds if each.seconds > 0 else None,
        )
        for (name, host, cpu), each in tally.workers.items()
    ]  # fmt: skip
    return tuple(sorted(rows, key=lambda row: (-row.cases, row.name)))


def _coverage(coverage: Coverage, strange: Sequence[str]) -> FlagCoverage:
    drawn = sorted((count, name) for name, count in coverage.counts.items() if count)
    rows, columns = np.triu_indices(len(NAMES))
    counts, cases = coverage.counts, max(coverage.cases, 1)
    apart = sorted(((round(counts[x] * counts[y] / cases, 1), x, y) for x, y in coverage.apart()), reverse=True)
    return FlagCoverage(
        names=NAMES,
        pairs=tuple(coverage.pairs[rows, columns].tolist()),
        picture=heat_map(coverage.pairs, [NAMES.index(name) for name in NOT_DRAWN]),
        rarest=tuple((name, count) for count, name in drawn[:RAREST]),
        never=coverage.never(),
        left_out=tuple(Pair(name, why) for name, why in NOT_DRAWN.items()),
        apart=tuple((x, y, expected) for expected, x, y in apart[:PAIRS]),
        apart_count=len(apart),
        strange=tuple(short(name) for name in strange[:PAIRS]),
    )
