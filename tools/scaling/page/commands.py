"""commands.txt -> its entries, for a page."""

import re
from collections.abc import Sequence

from tools.scaling.base.repo import EXPORTED
from tools.scaling.bundle.layout import COMMANDS, CommandEntry, command_blocks, command_entry
from tools.scaling.page.view import CommandRow

MOST, COMMAND, LAST, GATES = 5000, 600, 200, 12  # entries read; characters shown; lines of gates


def read_commands(text: str) -> tuple[list[CommandEntry], int]:
    """Return the first MOST entries of the text of a commands.txt, and how many more it has.

    Entries that write the page are left out: a page cannot show the command that is writing it, which is recorded
    afterwards, and so it shows none of them, whenever it is made.
    """
    blocks = command_blocks(text)
    entries = [entry for block in blocks[:MOST] if (entry := command_entry(block)) is not None]
    others = [entry for entry in entries if " tools.scaling page " not in f"{entry.command} "]
    return others, max(len(blocks) - MOST, 0)


def shown_command(entry: CommandEntry, folder: str) -> CommandRow:
    """Return the entry as a page shows it: without what `exports_line` sets, with $RUN_DIR for the folder."""
    said = [line for line in entry.out if line.strip()]
    return CommandRow(
        number=entry.number,
        started=entry.started,
        step=entry.step,
        command=cut(_named(entry.command.removeprefix(EXPORTED + " "), folder), COMMAND),
        exit_code=str(entry.exit_code),
        seconds=f"{entry.seconds} s",
        peak=entry.peak,
        note=cut(entry.note),
        last=cut(_named(said[-1], folder)) if said else "",
        lines=len(said),
    )


def _named(text: str, folder: str) -> str:
    return text.replace(folder, "$RUN_DIR") if folder else text


def folder_in(entries: Sequence[CommandEntry], stamp: str) -> str:
    """Return the bundle's folder as its commands call it, wherever it lies now; nothing where none does."""
    pattern = re.compile(rf"(?<![^\s'\"=])[^\s'\"=]*/{re.escape(stamp)}(?=[/\s'\"]|$)")
    folders = (match[0] for entry in entries if (match := pattern.search(entry.command[:4000])))
    return next(folders, "")


def exports_line(folder: str) -> str:
    """Return the line after which the shown commands can be run again."""
    return f"export {EXPORTED}" + (f" RUN_DIR={folder}" if folder else "")


def gates(entries: Sequence[CommandEntry]) -> tuple[str, ...]:
    """Return what check and the mapped tests said, a line each."""
    lines = []
    for entry in entries:
        if " tools.scaling check " in entry.command:
            lines += list(entry.out)
        elif " tools.scaling pytest " in entry.command and entry.out:
            lines.append(f"{entry.command.rpartition('tools.scaling ')[2]}: {entry.out[-1]}")
    more = (f"{len(lines) - GATES} more lines are in {COMMANDS}",) if len(lines) > GATES else ()
    return (*(cut(line) for line in lines[:GATES]), *more)


def cut(text: str, most: int = LAST) -> str:
    """Return at most `most` characters of `text`, and how many more there are."""
    return text if len(text) <= most else f"{text[:most]} ... ({len(text) - most} more characters, see {COMMANDS})"
