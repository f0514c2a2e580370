"""The store of campaigns: a folder for each key, in it a file for each shard. It needs neither torch nor dask.

STORE/DIGEST/key.json is what the results depend on; STORE/DIGEST/FIRST-LAST-DIGEST.jsonl are the results of a shard:

    {"format": 1, "key": {...}, "digest": "...", "seeds": "0:100", "worker": {...}, "flags": [...], "plain": [...]}
    [SEED, SECONDS, [FLAG, ...], [VERDICT, ...]]
    {"count": 100, "sha256": "..."}

FLAG is an index into `flags`. A VERDICT that is ok or unasked is an index into `plain`, whose rows are [check, status,
says]; with numbers it is [INDEX, WORST, ULPS, SLOW, FAST, LABEL], shortened at its end. One that failed is whole. The
last line has the sha256 of all before it, so that a torn file shows. Files of two machines may lie in one folder.
"""

import fcntl
import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

from tools.scaling.base.errors import BadInput
from tools.scaling.base.files import make_folder, write_bytes, write_json
from tools.scaling.campaign.record import Result, Status, Verdict

FORMAT = 1
KEY, LOCK, SUFFIX, TORN = "key.json", "lock", ".jsonl", ".torn"
MOST = 2**53  # seeds are below it: every reader of JSON has them exactly
Say = Callable[[str], None]


def parse_seeds(text: str) -> list[range]:
    """The seeds that `text` names, `FIRST:END` (END not among them) or `SEED`, several with commas between them.

    They are a set: what is out of order, or named twice, is put in order. Raises BadInput for what names no seed.
    """
    spans = []
    for word in text.split(","):
        first, colon, end = word.strip().partition(":")
        numbers = [first, end] if colon else [first]
        if not all(number.isascii() and number.isdigit() for number in numbers):
            raise BadInput(f"--seeds {word.strip()}: expected FIRST:END or a seed, from 0 on, got none")
        # 20 digits show what is beyond MOST, and Python converts no number of more than 4,300
        start, *stop = (int(number.lstrip("0")[:20] or 0) for number in numbers)
        span = range(start, stop[0] if stop else start + 1)
        if not span or span.stop > MOST:
            problem = "no seed" if not span else f"seeds beyond {MOST}"
            raise BadInput(f"--seeds {word.strip()}: expected FIRST:END with FIRST below END, got {problem}")
        spans.append(span)
    return united(spans)


def seeds_text(spans: Iterable[range]) -> str:
    """Return what `parse_seeds` reads as `spans`."""
    return ",".join(f"{span.start}:{span.stop}" if len(span) > 1 else str(span.start) for span in spans)


def united(spans: Iterable[range]) -> list[range]:
    """The union of `spans`: in order, apart from each other."""
    made: list[range] = []
    for span in sorted(spans, key=lambda each: (each.start, each.stop)):
        if made and span.start <= made[-1].stop:
            made[-1] = range(made[-1].start, max(made[-1].stop, span.stop))
        else:
            made.append(span)
    return made


def without(wanted: Sequence[range], done: Sequence[range]) -> list[range]:
    """The seeds of `wanted` that are not in `done`; both as `united` returns them."""
    left, rest = [], iter(done)
    current = next(rest, None)
    for span in wanted:
        start = span.start
        while current is not None and current.start < span.stop:
            if current.stop > start:
                if current.start > start:
                    left.append(range(start, current.start))
                start = max(start, current.stop)
            if current.stop > span.stop:
                break
            current = next(rest, None)
        if start < span.stop:
            left.append(range(start, span.stop))
    return left


def of_seeds(seeds: Iterable[int]) -> list[range]:
    """The spans of single seeds."""
    return united(range(seed, seed + 1) for seed in seeds)


def key_digest(key: Mapping[str, Any]) -> str:
    """The sha256 of a key's canonical JSON, in hex."""
    return hashlib.sha256(json.dumps(key, sort_keys=True, separators=(",", ":")).encode("ascii")).hexdigest()


class Unusable(BadInput):
    """A file of a store that does not count. torn: it is half-written, or was changed."""

    def __init__(self, message: str, torn: bool = False) -> None:
        super().__init__(message)
        self.torn = torn


@dataclass(frozen=True)
class Shard:
    """The results in one file, whose lines are parsed when they are asked for.

    head: the first line. lines: those of the cases, without the last line end. skip: seeds that are not wanted, or
    that another file of the store has already, where their results count.
    """

    path: Path
    head: Mapping[str, Any]
    lines: bytes = field(repr=False)
    skip: frozenset[int] = frozenset()

    @property
    def worker(self) -> Mapping[str, Any]:
        """Who made them: name, host, cpu, pid, seconds (of the wall)."""
        return dict(self.head["worker"])

    @cached_property
    def seeds(self) -> list[range]:
        """The seeds of the file."""
        return parse_seeds(self.head["seeds"])

    def rows(self) -> list[list[Any]]:
        """[SEED, SECONDS, [FLAG, ...], [VERDICT, ...]] of each case, as in the file: what is quick to count."""
        rows: list[list[Any]] = json.loads(b"[" + self.lines.replace(b"\n", b",") + b"]")
        return [row for row in rows if row[0] not in self.skip] if self.skip else rows

    @cached_property
    def plain(self) -> list[Verdict]:
        """The verdicts to which the numbers in a row point."""
        return [Verdict(check, Status(status), says) for check, status, says in self.head["plain"]]

    def verdict(self, packed: Any) -> Verdict:
        """The verdict that a row has as `packed`."""
        if isinstance(packed, int):
            return self.plain[packed]
        if isinstance(packed, list):
            index, worst, ulps, slow, fast, label = [*packed, *_REST[len(packed) :]]
            bare = self.plain[index]
            pixel = None if slow is None else (slow, fast)
            return Verdict(bare.check, bare.status, bare.says, pixel, label, float(worst), ulps)
        pixel = None if packed["pixel"] is None else tuple(packed["pixel"])
        return Verdict(
            **{**packed, "status": Status(packed["status"]), "pixel": pixel, "worst": float(packed["worst"])}
        )

    def results(self) -> Iterator[Result]:
        """The results, in the order of the file."""
        names = self.head["flags"]
        for seed, seconds, flags, verdicts in self.rows():
            yield Result(seed, tuple(names[flag] for flag in flags), tuple(map(self.verdict, verdicts)), seconds)


_REST: tuple[Any, ...] = (None, 0.0, None, None, None, "")  # of a verdict with numbers: what is left out at its end


def pack(results: Sequence[Result], key: Mapping[str, Any], worker: Mapping[str, Any]) -> bytes:
    """The file of a shard with these results."""
    flags: dict[str, int] = {}
    plain: dict[tuple[str, str, str], int] = {}
    rows = []
    for each in results:
        named = [flags.setdefault(flag, len(flags)) for flag in each.flags]
        rows.append([each.seed, round(each.seconds, 4), named, [_packed(one, plain) for one in each.verdicts]])
    head = {"format": FORMAT, "key": key, "digest": key_digest(key)}
    head |= {"seeds": seeds_text(of_seeds(each.seed for each in results)), "worker": worker}
    head |= {"flags": list(flags), "plain": list(plain)}
    content = "".join(f"{json.dumps(row, separators=(',', ':'), allow_nan=False)}\n" for row in (head, *rows)).encode()
    last = {"count": len(rows), "sha256": hashlib.sha256(content).hexdigest()}
    return content + f"{json.dumps(last)}\n".encode("ascii")


def _packed(verdict: Verdict, plain: dict[tuple[str, str, str], int]) -> Any:
    if verdict.status in (Status.differs, Status.error):
        return {**asdict(verdict), "worst": _number(verdict.worst)}
    index = plain.setdefault((verdict.check, verdict.status.value, verdict.says), len(plain))
    worst = float(f"{verdict.worst:.4g}")  # four digits do for what is ok
    numbers = [index, _number(worst), verdict.ulps, *(verdict.pixel or (None, None)), verdict.label]
    while len(numbers) > 1 and numbers[-1] == _REST[len(numbers) - 1]:
        numbers.pop()
    return numbers if len(numbers) > 1 else index


def _number(value: float) -> float | str:
    return value if isfinite(value) else str(float(value))  # as which JSON has no number


def put(folder: Path, content: bytes) -> Path:
    """Write a shard's file into the folder of its key: whole, or not at all. Raises BadInput."""
    spans = parse_seeds(json.loads(content[: content.index(b"\n")])["seeds"])
    name = f"{spans[0].start:09d}-{spans[-1].stop:09d}-{hashlib.sha256(content).hexdigest()[:8]}{SUFFIX}"
    write_bytes(folder / name, content)
    _sync(folder)
    return folder / name


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems do not sync folders
            os.fsync(handle)
    finally:
        os.close(handle)


def open_key(store: Path, key: Mapping[str, Any]) -> Path:
    """The folder of `key` in the store, made where it is not there. Raises BadInput."""
    folder = store / key_digest(key)[:16]
    make_folder(folder)
    if not (folder / KEY).exists():
        write_json(folder / KEY, key)
    return folder


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Nobody else writes into the key's `folder` within. Raises BadInput, with who does, where somebody does.

    What a killed campaign has begun to write is removed. Where locks do not work, nobody is kept out.
    """
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = os.read(handle, 200).decode("ascii", "replace").strip() or "another process"
            raise BadInput(f"{folder}: expected no other campaign in it, got one: {who}") from None
        except OSError:
            pass
        os.ftruncate(handle, 0)
        os.write(handle, f"pid {os.getpid()} on {socket.gethostname()}\n".encode())
        for begun in folder.glob(f".*{SUFFIX}.*"):
            begun.unlink(missing_ok=True)
        yield
    finally:
        os.close(handle)


def key_folders(store: Path) -> list[Path]:
    """The folders of the keys in a store, the one that was written last at the end. Raises BadInput."""
    if not store.is_dir():
        raise BadInput(f"{store}: expected the store of a campaign, got no folder")
    return sorted((path.parent for path in store.glob(f"*/{KEY}")), key=lambda folder: folder.stat().st_mtime)


def read(folder: Path, say: Say = lambda line: None, wanted: Sequence[range] = (range(MOST),)) -> Iterator[Shard]:
    """The shards in the folder of a key, in the order of their seeds; each seed counts once, in the first file by name.

    wanted: these seeds alone. say: gets a line for each file that is torn, or of another key, and is left out. Raises
    BadInput for a file of a newer format.
    """
    seen: set[int] = set()
    for path in shard_files(folder):
        try:
            shard = read_shard(path)
        except Unusable as error:
            say(str(error))
            continue
        seeds = [seed for span in shard.seeds for seed in span]
        skip = frozenset(seed for seed in seeds if seed in seen or not any(seed in span for span in wanted))
        seen.update(seeds)
        if len(skip) < len(seeds):
            yield replace(shard, skip=skip)


def shard_files(folder: Path) -> list[Path]:
    """The files of shards in the folder of a key, in the order of their seeds."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith("."))


def read_shard(path: Path) -> Shard:
    """The shard in one file. Raises Unusable where it is torn or of another key, BadInput for another format."""
    shard = unpack(path.read_bytes(), path)
    if shard.head["digest"][:16] != path.parent.name:
        raise Unusable(f"{path}: expected a shard of key {path.parent.name}, got one of {shard.head['digest'][:16]}")
    return shard


def unpack(content: bytes, path: Path = Path()) -> Shard:
    """The shard in the content of the file at `path`. Raises Unusable where it is torn, BadInput for another format."""
    start, head_end = content.rfind(b"\n", 0, -1) + 1, content.find(b"\n")
    try:
        last = json.loads(content[start:])
        whole = content.endswith(b"\n") and last["sha256"] == hashlib.sha256(content[:start]).hexdigest()
    except (ValueError, TypeError, KeyError):
        whole = False
    if not whole:
        raise Unusable(f"{path}: torn: expected a last line with the sha256 of all before it", torn=True)
    head = json.loads(content[:head_end])
    if head["format"] != FORMAT:
        who = f"written by {'a newer' if head['format'] > FORMAT else 'an older'} version of these tools"
        raise BadInput(f"{path}: expected a store of format {FORMAT}, got {head['format']}: {who}")
    return Shard(path, head, content[head_end + 1 : start - 1])
