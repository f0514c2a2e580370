"""report.html: a bundle's files -> its page, written before the seal.

Damaged files are named on the page; none stops it. Everything is bounded, so that the page stays small whatever is in
the bundle; what is left out is counted, and the raw file that has it is named. The page depends on the bundle and the
one before it, not on where they lie.
"""

import base64
import dataclasses
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tools.scaling.base.files import write_text
from tools.scaling.bundle.bundle import Bundle
from tools.scaling.bundle.environment import changes, flattened
from tools.scaling.bundle.layout import (
    ATTESTATION,
    AUDIT,
    COMMANDS,
    ENVIRONMENT,
    IMAGE_FOLDER,
    IMAGE_RECORD,
    IMAGES,
    MANIFEST,
    PROVENANCE,
    REPORT,
    SEAL,
    STAMPED,
    TRIPTYCH,
)
from tools.scaling.bundle.seal import irregular
from tools.scaling.page.audit import blocks_of
from tools.scaling.page.commands import exports_line, folder_in, gates, read_commands, shown_command
from tools.scaling.page.comparison import comparisons_of
from tools.scaling.page.html import report_page
from tools.scaling.page.reading import LONG, Reader, number, short, value_text, when
from tools.scaling.page.view import ChangedFact, Comparison, Page, Pair, Previous, RawFile

PICTURE, AGREEMENT, SIMULATED = (f"{IMAGE_FOLDER}/{name}" for name in (TRIPTYCH, IMAGES, IMAGE_RECORD))
LIMIT = 500_000  # bytes of a report.html
# How many of each are shown, and how much of an audit.
COMMANDS_SHOWN, PAIRS, CHANGES, FILES, NOTES, AUDIT_SHOWN = 100, 80, 60, 150, 12, 8000


def write_report(bundle: Bundle) -> Path:
    """Write report.html into an open bundle, from what is in it. Raises BadInput: sealed, or cannot be written."""
    bundle.require_open()
    path = bundle.path(REPORT)
    write_text(path, report_text(bundle))
    return path


def report_text(bundle: Bundle) -> str:
    """Return the page of a bundle: the same bundle gives the same text, sealed or not. At most LIMIT bytes."""
    page = page_of(bundle)
    text = report_page(page)
    for lighter in _LIGHTER:
        if len(text) <= LIMIT:
            break
        page = lighter(page)
        text = report_page(page)
    return text


def _linked_image(page: Page) -> Page:
    note = "The image is too large for this page:" if page.image else ""
    return dataclasses.replace(page, image=None, image_note=note)


def _fewer_commands(page: Page) -> Page:
    kept = 20
    left = page.commands_left_out + max(len(page.commands) - kept, 0)
    return dataclasses.replace(page, commands=page.commands[:kept], commands_left_out=left)


def _tables_only(page: Page) -> Page:
    bare = tuple(dataclasses.replace(each, series=(), differing=each.differing[:5]) for each in page.comparisons)
    return dataclasses.replace(page, comparisons=bare, environment=page.environment[:20], files=page.files[-20:])


# What a page that is too large gives up, in this order.
_LIGHTER: tuple[Callable[[Page], Page], ...] = (_linked_image, _fewer_commands, _tables_only)


def page_of(bundle: Bundle) -> Page:
    """Return everything that report.html shows of `bundle`."""
    reader = Reader(bundle)
    known = reader.provenance()
    stamp = str(known.get("timestamp") or bundle.stamp)
    entries, left = read_commands(reader.text(COMMANDS))
    folder = folder_in(entries, stamp)
    comparisons = comparisons_of(reader, known.get("implementations"))
    audit = reader.text(AUDIT)
    verdict, headline = verdict_of(comparisons, audit, _images_alone(reader, known))
    settings = _mapping(known.get("settings"))
    environment = reader.json(ENVIRONMENT) or {}
    return Page(
        stamp=stamp,
        when=when(stamp),
        title=_title(settings),
        verdict=verdict,
        headline=headline,
        facts=_facts(known, settings, environment),
        gates=gates(entries),
        comparisons=comparisons,
        commands=tuple(shown_command(entry, folder) for entry in entries[:COMMANDS_SHOWN]),
        commands_left_out=left + max(len(entries) - COMMANDS_SHOWN, 0),
        exports=exports_line(folder),
        environment=tuple(Pair(short(name), value_text(value)) for name, value in flattened(environment))[:PAIRS],
        previous=_previous(bundle, verdict, known, environment, comparisons),
        files=_files(bundle),
        image=_image(bundle),
        image_note="",
        image_facts=_image_facts(reader),
        audit=blocks_of(audit[:AUDIT_SHOWN]),
        audit_cut=len(audit) > AUDIT_SHOWN,
        notes=tuple(short(note, LONG) for note in reader.notes[:NOTES]),
    )


def _images_alone(reader: Reader, known: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the verdict of two implementations of which one prints no trace; None for any others."""
    pair, compared = _mapping(known.get("implementations")), reader.json(AGREEMENT)
    if not pair or pair.get("modes") or not compared:
        return None
    word = "PASS" if compared.get("passed") is True else "DIVERGENT"
    told = f"Judged by the images alone: {compared.get('unequal')} of {compared.get('pixels')} pixels differ in a bit."
    return word, f"{told} {_mapping(compared.get('diagnosis')).get('sentence', '')}".strip()


def verdict_of(comparisons: Sequence[Comparison], audit: str, images: tuple[str, str] | None = None) -> tuple[str, str]:
    """Return the word and what stands under it: BLOCKED, OPEN (not compared yet), or what c-parity says.

    images: what the images say where there was no trace to compare.
    """
    said = ""
    if comparisons and comparisons[0].name == "c-parity":
        first = comparisons[0]
        why = first.attribution.sentence if first.attribution else ""
        said = first.headline if first.verdict == "PASS" else f"{first.headline} {why}".strip()
    if audit:
        step = re.search(r"^# Blocked: (.+)$", audit, re.MULTILINE)
        told = re.search(r"^Why: (.+)$", audit, re.MULTILINE)
        reason = told[1] if told else f"{AUDIT} does not say why"
        halted = short(f"The run halted at {step[1] if step else 'a step'}: {reason}", LONG)
        diverged = said and comparisons[0].verdict != "PASS"
        return "BLOCKED", f"{halted}. {said}" if diverged else halted
    if not said and images is not None:
        return images
    if not said:
        return "OPEN", "The port was not compared with the reference, or its metrics cannot be read."
    return comparisons[0].verdict, said


def _title(settings: Mapping[str, Any]) -> str:
    pixel = settings.get("pixel")
    where = f", pixel slow {pixel[0]} fast {pixel[1]}" if isinstance(pixel, list) and len(pixel) == 2 else ""
    return short(f"Scaling parity: {settings.get('case', 'unknown case')}{where}")


def _facts(known: Mapping[str, Any], settings: Mapping[str, Any], env: Mapping[str, Any]) -> tuple[Pair, ...]:
    patch = known.get("patch")
    facts = {
        "Commit": f"{known['git_sha']}{', and ' + str(patch) if patch else ''}" if "git_sha" in known else None,
        "Device and type": f"{settings.get('device', '?')}, {settings.get('dtype', '?')}" if settings else None,
        "Reference": known.get("reference"),
        **_programs(known),
        "torch": env.get("torch"),
    }
    return tuple(Pair(name, short(str(value), LONG)) for name, value in facts.items() if value)


def _programs(known: Mapping[str, Any]) -> dict[str, str]:
    """Return the two implementations, with their variants and digests; nothing where the usual pair was compared."""
    facts = {}
    for role, title in (("candidate", "Candidate program"), ("reference", "Reference program")):
        record = _mapping(_mapping(known.get("implementations")).get(role))
        if record:
            digests = [str(value)[:12] for value in _mapping(record.get("programs_sha256")).values()]
            told = [f"variant {record.get('variant')}", *(f"sha256 {value}" for value in digests)]
            told += [_commit(str(record["commit"]))] if record.get("commit") else []
            facts[title] = f"{record.get('name')} ({', '.join(told)})"
    return facts


def _commit(text: str) -> str:
    """Return a commit, or the digest of files that no git keeps, as a page shows it."""
    commit, _, of_files = text.partition("; sha256 of its files ")
    return f"files sha256 {of_files[:12]}" if of_files else f"commit {commit[:12]}{'-dirty' * text.endswith('-dirty')}"


def _previous(
    bundle: Bundle, verdict: str, known: Mapping[str, Any], env: Mapping[str, Any], comparisons: Sequence[Comparison]
) -> Previous | None:
    """Return the bundle before this one by name, and what differs between the two."""
    names = os.listdir(bundle.folder.parent)  # noqa: PTH208 - names alone are wanted, thousands of them
    earlier = sorted(name for name in names if STAMPED.fullmatch(name) and name < bundle.stamp)
    last = next((n for n in reversed(earlier) if irregular(bundle.folder.parent / n / PROVENANCE) is None), None)
    if last is None:
        return None
    before = Reader(Bundle(bundle.folder.parent / last))
    its = comparisons_of(before)
    was = before.provenance()
    now = _compared_facts(verdict, known, env, comparisons)
    then = _compared_facts(verdict_of(its, before.text(AUDIT))[0], was, before.json(ENVIRONMENT) or {}, its)
    changed = [
        ChangedFact(short(each.name), value_text(each.then), value_text(each.now)) for each in changes(then, now)
    ]
    page = f"../{last}/{REPORT}" if before.bundle.path(REPORT).is_file() else f"../{last}/"
    return Previous(last, page, tuple(changed[:CHANGES]), max(len(changed) - CHANGES, 0))


def _compared_facts(
    verdict: str, known: Mapping[str, Any], env: Mapping[str, Any], comparisons: Sequence[Comparison]
) -> dict[str, Any]:
    given = {name: known[name] for name in ("git_sha", "patch", "settings", "reference") if name in known}
    results = {each.name: {row.name: row.py for row in each.factors} for each in comparisons}
    return {"verdict": verdict, **given, **results, **env}


def _files(bundle: Bundle) -> tuple[RawFile, ...]:
    """Return the files that were there before the seal, and the two that it adds."""
    own = {REPORT, SEAL, ATTESTATION}
    names = [name for name in bundle.files() if name not in own][:FILES]
    sizes = {
        name: bundle.path(name).lstat().st_size for name in names if name != COMMANDS
    }  # the page is recorded there
    raw = [RawFile(short(name), quote(name), sizes.get(name)) for name in names]
    return (*raw, RawFile(SEAL, SEAL, None), RawFile(MANIFEST, MANIFEST, None))


def _image(bundle: Bundle) -> str | None:
    try:
        data = bundle.path(PICTURE).read_bytes()
    except OSError:
        return None
    return base64.b64encode(data).decode() if data.startswith(b"\x89PNG\r\n\x1a\n") else None


def _image_facts(reader: Reader) -> tuple[Pair, ...]:
    """Return what was simulated, and how far it is from the reference's; nothing where no image was."""
    made, compared = reader.json(SIMULATED), reader.json(AGREEMENT)

    def simulated() -> dict[str, Any]:
        if not made:
            return {}
        slow_min, slow_max, fast_min, fast_max = made["window_slow_fast"]
        region = f"slow {slow_min} to {slow_max}, fast {fast_min} to {fast_max}"
        return {"Region": region, "Reference image": made["reference"] or "none"}

    def agreement() -> dict[str, Any]:
        if not compared:
            return {}
        numbers = {name: number(compared[name]) for name in ("correlation", "sum_ratio", "peak_ratio")}
        unequal = f"{compared['unequal']} of {compared['pixels']}"
        ratios = {name.replace("_", " ").capitalize(): value_text(value) for name, value in numbers.items()}
        facts = {"Verdict": "PASS" if compared["passed"] else "FAIL", "Pixels not bitwise equal": unequal, **ratios}
        return facts | ({"Diagnosis": compared["diagnosis"]["sentence"]} if compared.get("diagnosis") else {})

    facts = (reader.made(SIMULATED, simulated) or {}) | (reader.made(AGREEMENT, agreement) or {})
    return tuple(Pair(name, short(str(value), LONG)) for name, value in facts.items())


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
