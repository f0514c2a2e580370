"""Ten random kills of phase-m1; and a judge of them that is not easily pleased."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM

import psutil
import pytest

from tools.scaling import cli
from tools.scaling.base.text import marks
from tools.scaling.bundle.bundle import Bundle
from tools.scaling.bundle.layout import CommandRecord
from tools.scaling.guard import cgroup
from tools.scaling.studies.kills import run as kills
from tools.scaling.studies.kills import scene as kill_scene
from tools.scaling.studies.kills.run import Clone
from tools.scaling.studies.kills.scene import Kill, Victim, cast, hears
from tools.scaling.studies.kills.text import PART, kills_table, write_part
from tools.scaling.studies.kills.verdicts import (
    AUDIT,
    KillEnding,
    LoggedCommand,
    Reached,
    came_too_late,
    commands,
    judge,
)

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
SAMPLE = [
    ("nox", SIGTERM),
    ("terminal", SIGINT),
    ("parent", SIGKILL),
    ("parent", SIGHUP),
    ("leash", SIGKILL),
    ("worker", SIGINT),
    ("worker", SIGKILL),
    ("tool", SIGTERM),
    ("limit", SIGKILL),
    ("oom", SIGKILL),
]


@pytest.fixture(scope="module")
def clone(pristine, tmp_path_factory):
    """One checkout in which a run after the other is killed."""
    folder = tmp_path_factory.mktemp("kills")
    return Clone(pristine.copy_to(folder / "repo").root, folder)


@pytest.fixture(scope="module")
def measure(clone):
    return kills.measured(clone)


@linux
@pytest.mark.slow
@pytest.mark.parametrize("number", range(10), ids=[f"{who} {sent.name}" for who, sent in SAMPLE])
def test_a_random_kill(clone, measure, number):
    """The moment is drawn, in the first half of a run to be quick; `nox -s kills` strikes anywhere."""
    who, sent = SAMPLE[number]
    if who in ("nox", "terminal"):
        pytest.importorskip("nox")
    if who == "oom":
        group = cgroup.make_group(2**30)
        if group is None:
            pytest.skip("needs a memory cgroup that can be written: none can be made below ours")
        group.remove()
    drawn = kills.kills(10, seed=3)[number]
    moment = drawn.moment * (0.12 if who == "tool" else 0.5)
    ending = kills.repeated(clone, replace(drawn, who=who, signal=sent, moment=moment), measure)
    assert not ending.wrong, ending


def test_the_same_seed_draws_the_same_kills():
    assert kills.kills(50, 4) == kills.kills(50, 4) != kills.kills(50, 5)
    drawn = kills.kills(200, 1)
    assert {kill.who for kill in drawn} == {*kills.ROLES, "terminal", "limit", "oom"}
    assert {kill.signal for kill in drawn} == {*kills.SIGNALS}
    assert {kill.signal for kill in drawn if kill.who == "terminal"} == {SIGINT, SIGHUP}
    assert "oom" not in {kill.who for kill in kills.kills(200, 1, oom=False)}


# A made-up run of eight commands: (step, command, exit, MiB).
WORKER = "KMP_DUPLICATE_LIB_OK=TRUE PYTHONPATH=src python -m tools.scaling"
RUN = [
    ("provenance", "git status -sb", 0, 1),
    ("provenance", "python -m pip show nanobragg-torch", 1, 30),
    ("harness", f"{WORKER} harness", 0, 150),
    ("harness", f"{WORKER} inspect", 0, 150),
    ("comparison", f"{WORKER} compare", 0, 160),
    ("comparison", f"{WORKER} check", 0, 200),
    ("ledger", "python -m tools.scaling ledger", 0, 35),
    ("handoff", "git status -sb", 0, 1),
]
WHOLE, LAST_ANSWER = len(RUN), 6
TOLD = "python: killed from outside by SIGKILL (no OOM counter of the kernel rose)"
LOST = "python: its leash was killed from outside; 1.0 s"
STOPPED = "python: stopped by the memory guard: python (pid 7) grew to 152 MiB, 81 % of 187 MiB (--memory-limit)"
STOPPED += "; the guard stops at 80 %; 1.0 s"


class Made:
    """A made-up ending, and the bundle it left."""

    def __init__(self, tmp_path):
        self.bundle = Bundle(tmp_path / "reports/2025-10-cli-flags/phase_l/scaling_validation/20261123T120000Z")
        self.bundle.folder.mkdir(parents=True)
        self.root = tmp_path
        self.shown = self.bundle.folder.relative_to(tmp_path).as_posix()
        self.measure = self._recorded(WHOLE)

    def _recorded(self, count, last=0):
        """Record the first `count` commands, with the exit code of the last one if it failed."""
        self.bundle.path("commands.txt").unlink(missing_ok=True)
        for number, (step, command, code, mib) in enumerate(RUN[:count], 1):
            code = last if last and number == count else code
            self.bundle.record(CommandRecord(step, command, datetime.now(UTC), code, 0.1, mib << 20))
        return tuple(commands(self.bundle.folder))

    def passed(self, staged=True):
        self._recorded(WHOLE)
        self.bundle.seal()
        for command in (["init", "-q"], ["add", "reports"] if staged else ["status"]):
            subprocess.run(["git", *command], cwd=self.root, check=True, stdout=subprocess.DEVNULL)
        return f"PASS: {self.shown}/report.html"

    def blocked(self, why, count, code=5, failed=True, audited=None):
        """Halted at command `count`; returns the last line."""
        self._recorded(count, code if failed else 0)
        step = RUN[count - 1][0]
        text = f"# Blocked\n\nThe run halted at step {step} with exit code {code}.\n\nWhy: {audited or why}\n\nKept:\n"
        self.bundle.path(AUDIT).write_text(text)
        self.bundle.seal()
        return f"BLOCKED {step}: {why} (exit {code}); evidence: {self.shown}"

    def died(self, count):
        self._recorded(count)
        return ""

    def judged(self, kill, hit, code, last, before, after=None, limit_mib=0):
        """before, after: the commands recorded when it was hit; None before there was a bundle."""
        before, after = (
            Reached(n is not None, n or 0, n is not None and n > WHOLE)
            for n in (before, before if after is None else after)
        )
        ending = KillEnding(kill, code=code, last=last, hit=[*hit], limit_mib=limit_mib, before=before, after=after)
        judge(ending, [self.bundle.folder], self.measure)
        return ending.wrong


@pytest.fixture
def made(tmp_path):
    return Made(tmp_path)


def kill(who, sent=SIGKILL):
    return Kill(0, who, sent, 0.5)


WORKER_HIT, PARENT_HIT, NOX_HIT = Victim("program", "worker"), Victim("parent"), Victim("nox")
LEASH_HIT, KEEPER_HIT = Victim("leash", "worker"), Victim("keeper", "worker")
STAGED = WHOLE + 1  # more than is recorded: all was staged


def test_right_endings_are_let_pass(tmp_path):
    """One of each kind; the tests below take them and change one thing."""

    def of(name):
        (tmp_path / name).mkdir()
        return Made(tmp_path / name)

    a = of("nobody")
    assert a.judged(kill("nobody"), [], 0, a.passed(), WHOLE) == []
    a = of("worker")
    assert a.judged(kill("worker"), [WORKER_HIT], 5, a.blocked(TOLD, 4), 3) == []
    a = of("worker between two commands")
    assert a.judged(kill("worker"), [WORKER_HIT], 5, a.blocked(TOLD, 5), 3) == []
    a = of("worker, all answered")
    assert a.judged(kill("worker"), [WORKER_HIT], 0, a.passed(), LAST_ANSWER) == []
    a = of("leash")
    assert a.judged(kill("leash"), [LEASH_HIT], 5, a.blocked(LOST, 4), 3) == []
    a = of("leash SIGTERM")
    hit, told = replace(LEASH_HIT, hears="answers"), TOLD.replace("SIGKILL", "SIGTERM")
    assert a.judged(kill("leash", SIGTERM), [hit], 5, a.blocked(told, 4), 3) == []
    a = of("keeper that ignores")
    assert a.judged(kill("keeper", SIGTERM), [replace(KEEPER_HIT, hears="ignores")], 0, a.passed(), 3) == []
    for who in ("parent", "leash", "worker"):  # nohup
        a = of(f"{who} that ignores")
        hit = {"parent": PARENT_HIT, "leash": LEASH_HIT, "worker": WORKER_HIT}[who]
        assert a.judged(kill(who, SIGHUP), [replace(hit, hears="ignores")], 0, a.passed(), 3) == []
    a = of("worker that is starting")
    told = TOLD.replace("SIGKILL", "SIGINT")
    assert a.judged(kill("worker", SIGINT), [replace(WORKER_HIT, hears="holds")], 5, a.blocked(told, 3), 2) == []
    a = of("leash that holds it")
    assert a.judged(kill("leash", SIGINT), [replace(LEASH_HIT, hears="holds")], 0, a.passed(), 2) == []
    a = of("tool")
    assert a.judged(kill("tool"), [Victim("program", "tool")], 5, a.blocked(TOLD, 1), 0) == []
    a = of("parent SIGKILL")
    assert a.judged(kill("parent"), [PARENT_HIT], -9, a.died(4), 3) == []
    a = of("parent SIGTERM")
    assert a.judged(kill("parent", SIGTERM), [PARENT_HIT], 5, a.blocked("interrupted by SIGTERM", 4), 3) == []
    a = of("parent SIGTERM, all staged")
    a.passed()
    assert a.judged(kill("parent", SIGTERM), [PARENT_HIT], -15, "PASS: x", STAGED) == []
    a = of("nox")
    assert a.judged(kill("nox"), [NOX_HIT], -9, a.blocked("interrupted by SIGTERM", 4), 3) == []
    a = of("terminal")
    last = a.blocked("interrupted by SIGINT", 4)
    assert a.judged(kill("terminal", SIGINT), [NOX_HIT, PARENT_HIT], 130, last, 3) == []
    a = of("limit")
    assert a.judged(kill("limit"), [], 4, a.blocked(STOPPED, 3, 4), 0, limit_mib=187) == []


@pytest.mark.parametrize(
    ("who", "hit", "code", "said", "before"),
    [
        (kill("worker"), WORKER_HIT, 5, ("killed by the kernel for want of memory: oom_kill rose", 4), 3),
        (kill("worker"), WORKER_HIT, 1, (TOLD, 4, 1), 3),
        (kill("worker"), WORKER_HIT, 5, (TOLD, 4, 4), 3),
        (kill("worker", SIGTERM), WORKER_HIT, 5, (TOLD, 4), 3),
        (kill("worker"), WORKER_HIT, 0, None, 3),  # the worker was dead, and had to answer
        (kill("worker"), WORKER_HIT, 5, (TOLD, 8), LAST_ANSWER),  # nobody needed it any more
        (kill("oom"), WORKER_HIT, 5, (TOLD, 4), 3),
        (kill("oom"), PARENT_HIT, 5, (TOLD, 4), 3),
        (kill("oom"), PARENT_HIT, 0, None, 3),
        (kill("limit"), None, 5, (TOLD, 3), 0),
        (kill("limit"), None, 0, None, 0),
        (kill("limit"), None, 4, (STOPPED.replace("187", "400"), 3, 4), 0),
        (kill("parent"), PARENT_HIT, 5, (TOLD, 4), 3),
        (kill("parent", SIGINT), PARENT_HIT, 5, ("interrupted by SIGTERM", 4), 3),
        (kill("parent", SIGTERM), PARENT_HIT, 0, None, 3),
        (kill("parent", SIGTERM), PARENT_HIT, -15, None, 3),  # it had a bundle to seal
        (kill("parent", SIGHUP), PARENT_HIT, -1, None, 3),
        (kill("nox"), NOX_HIT, -9, None, 3),  # the run went on though nox was dead
        (kill("nox", SIGINT), NOX_HIT, 130, ("interrupted by SIGINT", 4), 3),
        (kill("terminal", SIGINT), PARENT_HIT, 0, None, 3),
        (kill("leash"), LEASH_HIT, 4, ("stopped by the memory guard: y", 4, 4), 3),
        (kill("leash"), LEASH_HIT, 5, (TOLD, 4), 3),
        (kill("keeper", SIGTERM), replace(KEEPER_HIT, hears="ignores"), 5, (LOST, 4), 3),
        (kill("tool"), Victim("program", "tool"), 4, (TOLD, 1, 4), 0),
        (kill("tool"), Victim("git"), 2, ("git ls-files in /x: no message", 1, 2), 0),
        (kill("worker"), None, 5, (TOLD, 4), 3),
    ],
)
def test_a_wrong_word_is_not_let_pass(made, who, hit, code, said, before):
    last = made.passed() if said is None else made.blocked(*said)
    wrong = made.judged(who, [hit] if hit else [], code, last, before, limit_mib=187 if who.who == "limit" else 0)
    assert len(wrong) == 1 and wrong[0].startswith(f"exit {code}, {last!r} after "), wrong
    assert "; expected " in wrong[0]


def test_a_pass_must_be_whole_sealed_and_staged(made):
    last = made.passed(staged=False)

    def wrong():
        return made.judged(kill("nobody"), [], 0, last, WHOLE)

    assert wrong() == ["alone, expected staged"]
    subprocess.run(["git", "add", "reports"], cwd=made.root, check=True)
    assert wrong() == []
    assert made.judged(kill("nobody"), [], 0, "PASS: reports/other/report.html", WHOLE) == ["PASS names another bundle"]
    made.bundle.path("sha256.txt").unlink()
    assert wrong() == ["PASS, but not every step is recorded and sealed"]
    made._recorded(WHOLE - 1)
    assert wrong() == ["PASS, but not every step is recorded and sealed"]
    made._recorded(WHOLE, last=1)
    assert "commands.txt: command 8 has exit 1, expected 0" in wrong()


def test_the_other_end_of_a_worker_is_told_by_the_record(made):
    """Killed between two looks that saw its last answer under way, and then out: either is right, if recorded."""
    last = made.passed()
    assert made.judged(kill("worker"), [WORKER_HIT], 0, last, LAST_ANSWER - 1, LAST_ANSWER) == []
    made.bundle.path("sha256.txt").unlink()
    made._recorded(LAST_ANSWER - 1)
    made.bundle.seal()
    wrong = made.judged(kill("worker"), [WORKER_HIT], 0, last, LAST_ANSWER - 1, LAST_ANSWER)
    assert "PASS, but not every step is recorded and sealed" in wrong


@pytest.mark.parametrize(
    ("spoil", "wrong"),
    [
        (lambda b: b.path("commands.txt").write_text("[001] x\n$ y\n\n"), "verify: commands.txt: "),
        (lambda b: b.path("sha256.txt").unlink(), "the bundle is not sealed"),
        (lambda b: b.path(AUDIT).unlink(), f"no {AUDIT}"),
        (lambda b: b.path(".env.json.0a1b2c3d").write_text("{}"), "temporary file .env.json.0a1b2c3d"),
        (lambda b: b.path("env.json").write_text('{"a": '), "env.json: "),
    ],
)
def test_the_evidence_of_a_blocked_run_must_hold(made, spoil, wrong):
    last = made.blocked(TOLD, 4)
    spoil(made.bundle)
    found = made.judged(kill("worker"), [WORKER_HIT], 5, last, 3)
    assert any(line.startswith(wrong) for line in found), found


def test_a_blocked_run_must_name_its_step_and_its_cause(made):
    last = made.blocked(TOLD, 4, audited="something else")
    hit = kill("worker"), [WORKER_HIT], 5
    assert made.judged(*hit, last, 3) == [f"{AUDIT} does not say what the last line says"]
    assert made.judged(*hit, last.replace("2026", "2025"), 3)[1:] == ["BLOCKED names another bundle"]
    assert made.judged(*hit, last.partition("; evidence")[0], 3)[1:] == ["BLOCKED names another bundle"]
    # it went on after the death of the worker
    assert made.judged(*hit, last, 1)[:1] == ["commands.txt: 4 commands, expected 2 to 3"]


def test_a_failure_before_the_last_command_is_not_overlooked(made):
    last = made.blocked(TOLD, 5)
    text = made.bundle.path("commands.txt").read_text().replace("step harness  exit 0", "step harness  exit 1")
    made.bundle.path("sha256.txt").unlink()
    made.bundle.path("commands.txt").write_text(text)
    made.bundle.seal()
    assert made.judged(kill("worker"), [WORKER_HIT], 5, last, 4) == ["commands.txt: command 3 has exit 1, expected 0"]


def test_a_run_that_died_has_told_nothing_and_sealed_nothing(made):
    hit = kill("parent"), [PARENT_HIT], -9, made.died(3), 3
    assert made.judged(*hit) == []
    made.bundle.seal()
    assert made.judged(*hit) == ["sealed before its end"]
    made.bundle.path("sha256.txt").unlink()
    made.bundle.path(AUDIT).write_text("why\n")
    assert made.judged(*hit) == [f"{AUDIT} of a run that said nothing"]
    for name in (AUDIT, "seal.json"):
        made.bundle.path(name).unlink()
    # whoever can answer a signal seals what it has; before its handlers are there, it has nothing
    early = made.judged(kill("parent", SIGTERM), [PARENT_HIT], -15, "", None)
    assert early == ["commands.txt: 3 commands, expected 0 to 1", "an open bundle, though the run could have sealed it"]
    made.bundle.path("commands.txt").write_text("[001] x\n$ y\n\n[003] x\n$")
    assert "commands.txt is not whole" in made.judged(*hit)


def test_a_second_bundle_and_a_lost_one_are_wrong(made, tmp_path):
    ending = KillEnding(kill("parent"), code=-9, hit=[PARENT_HIT], before=Reached(True, 0))
    judge(ending, [], made.measure)
    assert ending.wrong == ["no bundle"]
    (second := made.bundle.folder.with_name("20261123T120001Z")).mkdir()
    made.died(0)
    ending = KillEnding(kill("parent"), code=-9, hit=[PARENT_HIT], before=Reached(True, 0))
    judge(ending, [made.bundle.folder, second], made.measure)
    assert ending.wrong == ["2 bundles"]


def test_only_a_kill_that_ended_something_counts():
    def late(victim, **facts):
        return came_too_late(KillEnding(kill("any"), code=0, last="PASS: x", hit=[victim] if victim else [], **facts))

    assert late(None) and late(Victim("program", "tool")) and late(Victim("git")) and late(PARENT_HIT)
    assert not late(WORKER_HIT) and not late(Victim("keeper", "tool", "ignores"))
    assert not came_too_late(KillEnding(kill("parent"), code=-9, hit=[PARENT_HIT]))


@linux
def test_what_a_process_does_with_a_signal_is_read_from_its_masks():
    code = (
        "import signal; signal.signal(1, signal.SIG_IGN); signal.signal(15, print); print(flush=True)"
        "; __import__('time').sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        try:
            assert [hears(child.pid, n) for n in (SIGHUP, SIGTERM, SIGINT, SIGKILL)] == [
                "ignores",
                "answers",
                "answers",
                "dies",
            ]
            assert [victim for _, victim in cast(child.pid, through_nox=False)] == [Victim("parent")]
        finally:
            child.kill()


def test_the_table_counts_each_kind_once():
    hit = KillEnding(kill("worker"), code=5, hit=[WORKER_HIT], bundle="sealed", repeats=2)
    stopped = KillEnding(kill("limit"), code=4, limit_mib=80, bundle="sealed")
    died = KillEnding(kill("oom"), code=-9, hit=[PARENT_HIT], bundle="open")
    rows = kills_table([hit, KillEnding(kill("worker"), code=0, wrong=["x"]), stopped, died]).splitlines()
    assert rows[2:] == [
        "| limit | 1 | 1 | 1 | 0 | 4: 1 | sealed: 1 |",
        "| oom | 1 | 1 | 1 | 0 | -9: 1 | open: 1 |",
        "| worker SIGKILL | 2 | 1 | 1 | 2 | 0: 1, 5: 1 | none: 1, sealed: 1 |",
        "| sum | 4 | 3 | 3 | 2 | -9: 1, 0: 1, 4: 1, 5: 1 | none: 1, open: 1, sealed: 2 |",
    ]


def test_of_several_who_fit_one_is_hit(monkeypatch):
    """Beside the worker's leash there is for a moment that of a git."""
    sent = []
    monkeypatch.setattr(kill_scene, "processes", lambda: {11: (1, 1), 12: (1, 1), 13: (1, 1)})
    monkeypatch.setattr(kill_scene.os, "kill", lambda pid, number: sent.append((pid, number)))
    present = [(11, PARENT_HIT), (12, LEASH_HIT), (13, Victim("leash", "tool"))]

    def hit(who):
        sent.clear()
        kill_scene._signal(present, kill(who, SIGHUP))
        return [pid for pid, _ in sent]

    assert len(hit("leash")) == 1 and hit("leash")[0] in (12, 13)
    assert len(hit("any")) == 1
    assert hit("all") == [11, 12, 13]
    assert hit("worker") == hit("terminal") == []


def test_a_page_without_the_marks_is_refused_before_the_runs(tmp_path, capsys):
    (tmp_path / "page.md").write_text("# Kills\n")
    for name in ("absent.md", "page.md"):
        assert cli.main(["study", "kills", "--count", "1", "--out", str(tmp_path / name)]) == 2
        assert f"{name}: expected a Markdown file with the marks " in capsys.readouterr().err
    assert (tmp_path / "page.md").read_text() == "# Kills\n"


def test_the_table_goes_between_the_marks(tmp_path):
    page = tmp_path / "page.md"
    begin, end = marks(PART)
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    measure = kills.Measure((LoggedCommand("harness_traces", "worker", 0, 80.4),), ((1.0, "end"),))
    write_part(page, 1, 2, measure, [KillEnding(kill("worker"), code=5, hit=[WORKER_HIT], bundle="sealed")])
    lines = page.read_text().splitlines()
    assert lines[2] == "`python -m tools.scaling study kills --count 1 --seed 2`, peak of a run 80 MiB:"
    assert (lines[:2], lines[-2:], "old" in lines) == (["before", begin], [end, "after"], False)
    assert lines[-3] == "| sum | 1 | 1 | 1 | 0 | 5: 1 | sealed: 1 |"


@linux
def test_who_is_to_run_out_of_memory_has_no_children_meanwhile():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        with kill_scene._stopped(child.pid):
            assert psutil.Process(child.pid).status() == psutil.STATUS_STOPPED
        assert psutil.Process(child.pid).status() != psutil.STATUS_STOPPED
    finally:
        child.kill()
        child.wait()
