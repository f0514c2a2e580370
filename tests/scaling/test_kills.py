"""Ten random kills of phase-m1; and a judge of them that is not easily pleased."""

import os
import signal
import sys
from dataclasses import replace

import pytest

from tools.scaling import kill_verdicts, kills
from tools.scaling.evidence.bundle import Bundle
from tools.scaling.kill_verdicts import Ending, Kill, judge
from tools.scaling.kills import Clone

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
# One of each kind; where in a run each strikes is drawn.
SAMPLE = [
    ("parent", signal.SIGKILL),
    ("parent", signal.SIGTERM),
    ("leash", signal.SIGKILL),
    ("keeper", signal.SIGKILL),
    ("worker", signal.SIGKILL),
    ("worker", signal.SIGINT),
    ("all", signal.SIGKILL),
    ("any", signal.SIGTERM),
    ("limit", signal.SIGKILL),
    ("oom", signal.SIGKILL),
]


@pytest.mark.skipif(
    "NB_KILLS" not in os.environ, reason="random by the clock, so not for every run: NB_KILLS=1, or nox -s kills"
)
@linux
@pytest.mark.slow
@pytest.mark.parametrize("number", range(10), ids=[f"{who} {s.name}" for who, s in SAMPLE])
def test_a_random_kill(pristine, tmp_path, number):
    """Early in a run, to be quick; `nox -s kills` strikes anywhere."""
    who, sent = SAMPLE[number]
    drawn = kills.kills(10, seed=3)[number]
    kill = replace(drawn, who=who, signal=sent, moment=drawn.moment / 2, limit_mib=120)
    ending = kills.one(Clone(pristine.copy_to(tmp_path / "repo").root, tmp_path), kill, 5.0)
    assert not ending.wrong, ending


def test_the_same_seed_draws_the_same_kills():
    assert kills.kills(50, 4) == kills.kills(50, 4) != kills.kills(50, 5)
    assert {kill.who for kill in kills.kills(200, 1)} == {*kills.ROLES, "limit", "oom"}


WORKER = Kill(0, "worker", signal.SIGKILL, 0.5)
TOLD = "BLOCKED comparison: python: killed from outside by SIGKILL (no OOM counter of the kernel rose) (exit 5)"
EARLY = "[   7-9, 11] harness_traces: traces"


@pytest.mark.parametrize(
    ("kill", "victim", "code", "last"),
    [
        (WORKER, "worker", 5, "BLOCKED comparison: killed by the kernel for want of memory: oom_kill rose (exit 5)"),
        (WORKER, "worker", 1, TOLD),
        (WORKER, "worker", 0, "PASS: reports/x"),
        (replace(WORKER, signal=signal.SIGTERM), "worker", 5, TOLD),
        (replace(WORKER, who="oom"), "worker", 5, TOLD),
        (replace(WORKER, who="oom"), "parent", 5, TOLD),
        (replace(WORKER, who="limit"), "nobody", 5, TOLD),
        (replace(WORKER, who="parent"), "parent", 5, TOLD),
        (replace(WORKER, who="parent", signal=signal.SIGINT), "parent", 5, "BLOCKED x: interrupted by SIGTERM"),
        (replace(WORKER, who="all"), "parent, worker", 0, "PASS: reports/x"),
        (replace(WORKER, who="leash"), "leash", 4, "BLOCKED x: stopped by the memory guard: y"),
        (WORKER, "nobody", 5, TOLD),
    ],
)
def test_a_wrong_word_is_not_let_pass(kill, victim, code, last):
    ending = Ending(kill, code=code, last=last, printed=EARLY, victim=victim)
    judge(ending, [])
    assert ending.wrong == [f"exit {code}, {last!r} after {kill.kind} hit {victim}"]


def test_the_right_word_is():
    ending = Ending(WORKER, code=5, last=TOLD, printed=EARLY, victim="worker")
    judge(ending, [])
    assert ending.wrong == []


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "20261123T120000Z"
    folder.mkdir()
    (folder / "commands.txt").write_text("[001] x\n$ y\n\n[002] x\n$ z\n\n")
    (folder / kill_verdicts.AUDIT).write_text("why\n")
    return Bundle(folder)


@pytest.mark.parametrize(
    ("name", "text", "wrong"),
    [
        ("commands.txt", "[001] x\n$ y\n\n[003] x\n$ z\n\n", "commands.txt is not whole"),
        ("commands.txt", "[001] x\n$ y\n\n[002] x\n$", "commands.txt is not whole"),
        ("env.json", '{"a": ', "env.json: "),
        (".env.json.0a1b2c3d", "{}", "temporary file .env.json.0a1b2c3d"),
    ],
)
def test_an_open_bundle_with_half_a_file_is_not_let_pass(bundle, name, text, wrong):
    ending = Ending(replace(WORKER, who="parent"), code=-9, printed=EARLY, victim="parent")
    judge(ending, [bundle.folder])
    assert (ending.wrong, ending.bundle) == ([], "open")
    bundle.path(name).write_text(text)
    judge(ending, [bundle.folder])
    assert len(ending.wrong) == 1 and ending.wrong[0].startswith(wrong)


def test_a_sealed_bundle_must_hold_and_a_blocked_one_must_be_sealed(bundle):
    def wrong():
        ending = Ending(WORKER, code=5, last=TOLD, printed=EARLY, victim="worker")
        judge(ending, [bundle.folder])
        return ending.wrong

    assert wrong() == ["the bundle is not sealed"]
    bundle.seal()
    assert wrong() == []
    bundle.path("commands.txt").write_text("[001] x\n$ y\n\n")
    assert len(wrong()) == 1 and "commands.txt" in wrong()[0]
    bundle.path(kill_verdicts.AUDIT).unlink()
    assert f"no {kill_verdicts.AUDIT}" in wrong()


def test_the_table_counts_each_kind_once():
    endings = [Ending(WORKER, code=5, victim="worker", bundle="sealed"), Ending(WORKER, code=0, wrong=["x"])]
    rows = kills.table([*endings, Ending(replace(WORKER, who="oom"), code=-9, victim="parent", bundle="open")])
    assert rows[2:] == [
        "| oom | 1 | 1 | 1 | -9: 1 | open: 1 |",
        "| worker SIGKILL | 2 | 1 | 1 | 0: 1, 5: 1 | none: 1, sealed: 1 |",
        "| sum | 3 | 2 | 2 | -9: 1, 0: 1, 5: 1 | none: 1, open: 1, sealed: 1 |",
    ]
