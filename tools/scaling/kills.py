"""`python -m tools.scaling.kills`: phase-m1 killed again and again at random, and what it said of each kill.

Every run starts in a throw-away clone, with a mark in its environment by which whatever it leaves is found. A kill
is right if the last line and the exit code name what truly happened, the bundle holds, and no process is left.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from tools.scaling.evidence import cgroup
from tools.scaling.files import write_text
from tools.scaling.kill_verdicts import Ending, Kill, judge
from tools.scaling.repo import REPORTS_ROOT, ROOT, git

MARK = "SCALING_KILLS_MARK"
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
ROLES = ("parent", "leash", "keeper", "worker", "any", "all")
BEGIN, END = "<!-- kills: begin -->", "<!-- kills: end -->"
GROUP_LIMIT = 512 << 20
# Fills a cgroup until the process that is the kernel's first choice there is dead.
HOG = """
import pathlib, sys, time
pathlib.Path(sys.argv[1], "cgroup.procs").write_text("0")
stat, held, until = pathlib.Path("/proc", sys.argv[2], "stat"), [], time.monotonic() + 20
def alive():
    try:
        return stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
while alive() and time.monotonic() < until:
    held.append(bytearray(b"x") * (1 << 20))
"""


def kills(count: int, seed: int) -> list[Kill]:
    """`count` kills drawn with `seed`."""
    draw, made = random.Random(seed), []
    for number in range(count):
        who = draw.choice([*ROLES, "limit", "oom"])
        made.append(Kill(number, who, draw.choice(SIGNALS), draw.random(), draw.randint(40, 260)))
    return made


class Clone:
    """A checkout in which runs are killed, and the folder for what they leave in TMPDIR."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root, self.scratch = root, scratch
        self.reports = root / REPORTS_ROOT
        self.known: set[Path] = set()

    def reset(self) -> None:
        """Forget what the last run did."""
        with suppress(OSError):
            (self.root / ".git/index.lock").unlink()
        git("reset", "-q", "--hard", cwd=self.root)
        git("clean", "-fdq", cwd=self.root)
        self.known = {*self.reports.glob("2*T*Z")}

    def bundles(self) -> list[Path]:
        """Those of the run since the last reset."""
        return sorted({*self.reports.glob("2*T*Z")} - self.known)

    def start(self, mark: str, out: Path, limit_mib: int, group: Path | None) -> subprocess.Popen[bytes]:
        """phase-m1 in the clone, with the clone's own tools, in the memory cgroup `group`."""
        env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "NOX_CURRENT_SESSION")}
        env |= {"PYTHONPATH": "src", "OMP_NUM_THREADS": "1", MARK: mark, "TMPDIR": str(self.scratch)}
        argv = [sys.executable, "-m", "tools.scaling", "phase-m1"]
        argv += ["--memory-limit", str(limit_mib)] if limit_mib else []
        if group is not None:
            argv = ["sh", "-c", f'echo $$ > "{group}/cgroup.procs" && exec "$@"', "sh", *argv]
        with out.open("wb") as stream:
            return subprocess.Popen(argv, cwd=self.root, env=env, stdout=stream, stderr=stream, start_new_session=True)


def one(clone: Clone, kill: Kill, seconds: float) -> Ending:
    """Start a run, kill it, and hold what it says against what was done. seconds: that a run takes."""
    clone.reset()
    mark, out = f"{os.getpid()}-{kill.number}", clone.scratch / "out"
    ending = Ending(kill)
    with _group(kill.who == "oom") as group:
        process, started = clone.start(mark, out, kill.limit_mib if kill.who == "limit" else 0, group), time.monotonic()
        try:
            if kill.who != "limit":
                _wait(process, kill.moment * seconds)
                ending.victim = _strike(process, kill, group)
                ending.printed = _text(out)
            ending.code = process.wait(90)
            ending.seconds = time.monotonic() - started
        except subprocess.TimeoutExpired:
            ending.wrong.append("did not end within 90 s")
            process.kill()
            process.wait()
        left = _left(mark)
        ending.wrong += [f"left running: {name}" for name in left]
    ending.last = ([""] + _text(out).strip().splitlines())[-1]
    judge(ending, clone.bundles())
    return ending


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def _text(path: Path) -> str:
    return path.read_text(errors="replace")


def _strike(process: subprocess.Popen[bytes], kill: Kill, group: Path | None) -> str:
    """Do it as soon as there is somebody to do it to; returns who was hit, `nobody` where the run was over."""
    deadline = time.monotonic() + 5
    while process.poll() is None and time.monotonic() < deadline:
        if hit := _starve(process, kill, group) if group is not None else _signal(process, kill):
            return hit
        time.sleep(0.02)
    return "nobody"


def _signal(process: subprocess.Popen[bytes], kill: Kill) -> str:
    """Send the signal to whom it is meant for; returns their roles."""
    tree = _tree(process.pid)
    chosen = [(p, role) for p, role in tree if kill.who in (role, "all")]
    if kill.who == "any" and tree:
        chosen = [random.Random(kill.number).choice(tree)]
    hit = []
    for each, role in chosen:
        with suppress(psutil.Error):
            name = " ".join([role, *each.cmdline()[-2:]]) if role == "other" else role
            if each.status() != psutil.STATUS_ZOMBIE:
                each.send_signal(kill.signal)
                hit.append(name)
    return ", ".join(hit)


def _starve(process: subprocess.Popen[bytes], kill: Kill, group: Path) -> str:
    """Let the memory of `group` run out, with the parent or the worker as the kernel's first choice."""
    wanted = random.Random(kill.number).choice(("parent", "worker", "worker"))
    for victim, role in _tree(process.pid):
        if role == wanted:
            with suppress(OSError):
                Path(f"/proc/{victim.pid}/oom_score_adj").write_text("1000")
                argv = [sys.executable, "-c", HOG, str(group), str(victim.pid)]
                subprocess.run(argv, check=False, timeout=60, stderr=subprocess.DEVNULL)
                return role
    return ""


def _tree(parent: int) -> list[tuple[psutil.Process, str]]:
    """Every process of a run, and its role."""
    with suppress(psutil.Error):
        top = psutil.Process(parent)
        found = [(top, "parent")]
        for each in top.children(recursive=True):
            with suppress(psutil.Error):
                words = each.cmdline()
                under_top = each.ppid() == parent
                if any(word.endswith("leash.py") for word in words):
                    found.append((each, "keeper" if under_top else "leash"))
                else:
                    found.append((each, "worker" if words[-1:] == ["worker"] else "other"))
        return found
    return []


def _left(mark: str, within: float = 10.0) -> list[str]:
    """What of a run is alive `within` seconds after its end; it is then ended."""
    deadline = time.monotonic() + within
    while (alive := [*_marked(mark)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    for each in alive:
        with suppress(psutil.Error):
            each.kill()
    return [f"pid {each.pid}" for each in alive]


def _marked(mark: str) -> Iterator[psutil.Process]:
    for each in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if each.status() != psutil.STATUS_ZOMBIE and each.environ().get(MARK) == mark:
                yield each


@contextmanager
def _group(wanted: bool) -> Iterator[Path | None]:
    """A memory cgroup for a whole run, hog and all; None where it is not wanted or there can be none."""
    made = cgroup.make_group(GROUP_LIMIT) if wanted else None
    try:
        yield made.folder if made is not None else None
    finally:
        if made is not None:
            for inner in made.folder.glob("scaling-guard-*"):
                cgroup.Group(made.source, inner).remove()
            made.remove()


def table(endings: Sequence[Ending]) -> list[str]:
    """Markdown: a row a kind of kill, and the sum."""
    rows = ["| killed | runs | hit | verdict right, bundle valid, nothing left | exit codes | bundles |"]
    rows.append("|---|---|---|---|---|---|")
    groups: dict[str, list[Ending]] = {}
    for each in sorted(endings, key=lambda e: e.kill.kind):
        groups.setdefault(each.kill.kind, []).append(each)
    for name, group in [*groups.items(), ("all", [*endings])]:
        hit = sum(e.victim != "nobody" for e in group)
        codes = ", ".join(f"{code}: {n}" for code, n in sorted(Counter(e.code for e in group).items()))
        kept = ", ".join(f"{state}: {n}" for state, n in sorted(Counter(e.bundle for e in group).items()))
        right = sum(not e.wrong for e in group)
        label = "sum" if name == "all" else name
        rows.append(f"| {label} | {len(group)} | {hit} | {right} | {codes} | {kept} |")
    return rows


@contextmanager
def fresh_clone() -> Iterator[Clone]:
    """A clone of HEAD."""
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        root, scratch = Path(folder) / "repo", Path(folder) / "tmp"
        scratch.mkdir()
        git("clone", "-q", str(ROOT), str(root), cwd=ROOT)
        yield Clone(root, scratch)


def green(clone: Clone) -> float:
    """The seconds of a run that nobody kills."""
    ending = one(clone, Kill(-1, "nobody", signal.SIGKILL, 1.0), 300.0)
    if ending.wrong:
        raise SystemExit(f"a run that nobody kills does not pass: {ending.wrong[0]}")
    return ending.seconds


def campaign(clone: Clone, todo: Sequence[Kill], seconds: float, say: Callable[[str], None]) -> list[Ending]:
    """All of them, each told when it is over. seconds: that a run takes, unless one takes less."""
    endings = []
    for kill in todo:
        ending = one(clone, kill, seconds)
        endings.append(ending)
        if ending.code == 0:
            seconds = min(seconds, ending.seconds)
        verdict = "right" if not ending.wrong else "WRONG: " + "; ".join(ending.wrong)
        say(f"{kill.number + 1:>3} {kill.kind:<15} at {100 * kill.moment:2.0f} %, hit {ending.victim}: {verdict}")
    return endings


def write_docs(path: Path, text: str) -> None:
    """Put `text` between the marks of `path`."""
    before, _, rest = path.read_text(encoding="ascii").partition(BEGIN)
    _, _, after = rest.partition(END)
    write_text(path, f"{before}{BEGIN}\n{text}\n{END}{after}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign, print its table; 1 if any kill was not answered rightly."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m tools.scaling.kills", description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--docs", type=Path, help="Markdown file whose marked part gets the table.")
    options = parser.parse_args(arguments)

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    with fresh_clone() as clone:
        seconds = green(clone)
        say(f"a run takes {seconds:.1f} s")
        endings = campaign(clone, kills(options.count, options.seed), seconds, say)
        green(clone)  # also removes the groups of the dead
    rows = table(endings)
    for row in rows:
        say(row)
    if options.docs is not None:
        command = f"`python -m tools.scaling.kills --count {options.count} --seed {options.seed}`"
        write_docs(options.docs, f"{command}, a run of {seconds:.1f} s:\n\n" + "\n".join(rows))
    return 1 if any(each.wrong for each in endings) else 0


if __name__ == "__main__":
    raise SystemExit(main())
