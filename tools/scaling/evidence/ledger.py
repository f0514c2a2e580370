"""Ledger entries: the plan's Phase M1 row and one Attempt in docs/fix_plan.md.

Each is a pure function from the ledger's text to its text, and does nothing when the run's
timestamp is in it already. So the same entry can be made in the working tree and, apart from
whatever else the user changed there, in git's index.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tools.scaling.errors import BadInput, why
from tools.scaling.files import text_bytes, to_ascii, write_all
from tools.scaling.repo import ROOT, git

PLAN = "plans/active/cli-noise-pix0/plan.md"
FIX_PLAN = "docs/fix_plan.md"
ATTEMPTS = "<!-- attempts: newest last; python -m tools.scaling ledger appends here -->"
_M1 = re.compile(r"^\| M1 \|.*$", re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """What a run says of itself. lines: the Attempt's bullet points, name -> text."""

    stamp: str
    run_dir: str
    outcome: str
    lines: Mapping[str, str]


def with_plan_row(text: str, entry: Entry) -> str:
    """The plan with its M1 row telling of `entry`."""
    row = _M1.search(text)
    if row is None:
        raise BadInput(f"{PLAN}: expected a table row that begins with '| M1 |', got none")
    if entry.stamp in row[0]:
        return text
    task = row[0].split("|")[2].strip()
    new = f"| M1 | {task} | {entry.outcome} | {entry.stamp} | `{entry.run_dir}` |"
    return text[: row.start()] + to_ascii(new) + text[row.end() :]


def with_attempt(text: str, entry: Entry) -> str:
    """The fix plan with one Attempt for `entry` at the end of its attempts."""
    if ATTEMPTS not in text:
        raise BadInput(f"{FIX_PLAN}: expected the line '{ATTEMPTS}', got none")
    if re.search(rf"^### Attempt \d+ - {entry.stamp}", text, flags=re.MULTILINE):
        return text
    number = 1 + max(map(int, re.findall(r"^### Attempt (\d+) - ", text, flags=re.MULTILINE)), default=0)
    body = "".join(f"- {name}: {value}\n" for name, value in entry.lines.items())
    attempt = f"\n### Attempt {number} - {entry.stamp}: {entry.outcome}\n\n{body}"
    return text.rstrip("\n") + "\n" + to_ascii(attempt)


LEDGERS: dict[str, Callable[[str, Entry], str]] = {PLAN: with_plan_row, FIX_PLAN: with_attempt}


def write(entry: Entry) -> list[str]:
    """Make both entries in the working tree. Returns the ledgers that changed; both or none are made."""
    texts = {name: _read(name) for name in LEDGERS}
    made = {name: add(texts[name], entry) for name, add in LEDGERS.items()}
    changed = [name for name in LEDGERS if made[name] != texts[name]]
    write_all({ROOT / name: text_bytes(made[name]) for name in changed})
    return changed


def attempt_of(stamp: str) -> str:
    """The text of the run's Attempt; BadInput if it has none."""
    found = re.search(rf"^### Attempt \d+ - {stamp}.*?(?=^### |\Z)", _read(FIX_PLAN), flags=re.MULTILINE | re.DOTALL)
    if found is None:
        raise BadInput(f"{FIX_PLAN}: expected an Attempt for {stamp}, got none; run the ledger step first")
    return found[0]


def stage(entry: Entry) -> list[str]:
    """Put the entries, and nothing else that the user changed in the ledgers, into git's index."""
    staged = []
    for name, add in LEDGERS.items():
        try:
            before = git("show", f":{name}")
        except BadInput:  # not in the index: the file is new, and all of it is the user's to add
            continue
        mode = git("ls-files", "--stage", "--", name).split()[0]
        blob = git("hash-object", "-w", "--stdin", stdin=add(before, entry).encode()).strip()
        git("update-index", "--cacheinfo", f"{mode},{blob},{name}")
        staged.append(name)
    return staged


def _read(name: str) -> str:
    try:
        return (ROOT / name).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{name}: expected a readable ASCII ledger, got: {why(error)}") from error
