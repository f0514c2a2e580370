"""Ledger entries: the plan's Phase M1 row and one Attempt in docs/fix_plan.md.

Each is a pure function from the ledger's text to its text, and does nothing when the run's
timestamp is in it already. So the same entry can be made in the working tree and, apart from
whatever else the user changed there, in git's index. Runs write one after the other, under a lock.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tools.scaling.base.errors import BadInput, why
from tools.scaling.base.files import alone, text_bytes, write_all
from tools.scaling.base.repo import ROOT, git
from tools.scaling.base.text import code, plain

PLAN = "plans/active/cli-noise-pix0/plan.md"
FIX_PLAN = "docs/fix_plan.md"
ATTEMPTS = "<!-- attempts: newest last; python -m tools.scaling ledger appends here -->"
_M1 = re.compile(r"^\| M1 \|.*$", re.MULTILINE)


@dataclass(frozen=True)
class LedgerEntry:
    """What a run says of itself. outcome: plain text. lines: the Attempt's bullet points, name -> Markdown."""

    stamp: str
    run_dir: str
    outcome: str
    lines: Mapping[str, str]


def with_plan_row(text: str, entry: LedgerEntry) -> str:
    """Return the plan with its M1 row telling of `entry`."""
    row = _M1.search(text)
    if row is None:
        raise BadInput(f"{PLAN}: expected a table row that begins with '| M1 |', got none")
    if plain(entry.stamp) in row[0]:
        return text
    task = row[0].split("|")[2].strip()
    new = f"| M1 | {task} | {plain(entry.outcome)} | {plain(entry.stamp)} | {code(entry.run_dir)} |"
    return text[: row.start()] + _made(new) + text[row.end() :]


def with_attempt(text: str, entry: LedgerEntry, number: int | None = None) -> str:
    """Return the fix plan with one Attempt for `entry`, in order: with the next number, unless one is given."""
    if ATTEMPTS not in text:
        raise BadInput(f"{FIX_PLAN}: expected the line '{ATTEMPTS}', got none")
    if _attempt(text, entry.stamp):
        return text
    there = [
        (int(heading[1]), heading.start()) for heading in re.finditer(r"^### Attempt (\d{1,9}) - ", text, re.MULTILINE)
    ]
    number = number or 1 + max((other for other, _ in there), default=0)
    body = "".join(f"- {name}: {' '.join(value.splitlines())}\n" for name, value in entry.lines.items())
    attempt = _made(f"### Attempt {number} - {plain(entry.stamp)}: {plain(entry.outcome)}\n\n{body}")
    later = next((start for other, start in there if other > number), None)
    if later is not None:
        return f"{text[:later]}{attempt}\n{text[later:]}"
    return text.rstrip("\n") + f"\n\n{attempt}"


def _made(entry: str) -> str:
    """Return what is added to a ledger, as every text of ours is written."""
    return text_bytes(entry).decode("ascii")


def _attempt(text: str, stamp: str) -> re.Match[str] | None:
    """Return the run's Attempt, with its number."""
    begin = rf"^### Attempt (\d+) - {re.escape(plain(stamp))}: "
    return re.search(rf"{begin}.*?(?=^### |\Z)", text, flags=re.MULTILINE | re.DOTALL)


LEDGERS: dict[str, Callable[[str, LedgerEntry], str]] = {PLAN: with_plan_row, FIX_PLAN: with_attempt}


def write(entry: LedgerEntry) -> list[str]:
    """Make both entries in the working tree. Returns the ledgers that changed; both or none are made."""
    with alone(ROOT):
        texts = {name: _read(name) for name in LEDGERS}
        made = {name: add(texts[name], entry) for name, add in LEDGERS.items()}
        changed = [name for name in LEDGERS if made[name] != texts[name]]
        write_all({ROOT / name: made[name].encode("ascii") for name in changed})
    return changed


def attempt_of(stamp: str) -> str:
    """Return the text of the run's Attempt; BadInput if it has none."""
    attempt = _attempt(_read(FIX_PLAN), stamp)
    if attempt is None:
        raise BadInput(f"{FIX_PLAN}: expected an Attempt for {stamp}, got none; run the ledger step first")
    return attempt[0]


def stage(entry: LedgerEntry) -> list[str]:
    """Put the entries, and nothing else that the user changed in the ledgers, into git's index."""
    attempt = _attempt(_read(FIX_PLAN), entry.stamp)
    number = int(attempt[1]) if attempt else None  # the number is that of the working tree
    staged = []
    with alone(ROOT):
        for name, add in LEDGERS.items():
            try:
                before = git("show", f":{name}")
            except BadInput:  # not in the index: the file is new, and all of it is the user's to add
                continue
            text = with_attempt(before, entry, number) if name == FIX_PLAN else add(before, entry)
            mode = git("ls-files", "--stage", "--", name).split()[0]
            blob = git("hash-object", "-w", "--stdin", stdin=text.encode()).strip()
            git("update-index", "--cacheinfo", f"{mode},{blob},{name}")
            staged.append(name)
    return staged


def _read(name: str) -> str:
    try:
        return (ROOT / name).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{name}: expected a readable ASCII ledger, got: {why(error)}") from error
