"""study campaign-kills: what it draws, and that its verdict on a store can fail."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.scaling.campaign import synthetic
from tools.scaling.campaign.engine import store
from tools.scaling.campaign.engine.key import Asked
from tools.scaling.studies import campaign_kills as work


def test_each_kind_of_kill_is_drawn():
    drawn = work.kills(200, 1)
    assert {(kill.elsewhere, kill.who) for kill in drawn} == {
        (True, "worker"), (True, "caller"), (True, "scheduler"), (True, "all"),
        (False, "worker"), (False, "caller"), (False, "all"),
    }  # fmt: skip
    assert {kill.signal for kill in drawn} == {signal.SIGKILL, signal.SIGTERM, signal.SIGINT}
    assert work.kills(200, 1) == drawn


def test_a_store_is_judged(tmp_path, monkeypatch):
    monkeypatch.setattr(work, "SEEDS", 40)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    where = store.open_key(tmp_path, synthetic.KEY)
    for start in (0, 10, 20, 30):
        results = [work.cheap(seed, Asked()) for seed in range(start, start + 10)]
        last = store.put(where, store.pack(results, synthetic.KEY, {}))
    assert work.judged(tmp_path) == (40, 0, [])
    content = last.read_bytes()
    last.write_bytes(content[:-9])
    (where / ".begun").touch()
    cases, _, told = work.judged(tmp_path)
    assert cases == 30
    assert told == [
        f"{last}: torn: expected a last line with the sha256 of all before it",
        ".begun: temporary",
        f"seeds without a result: {list(range(30, 40))}",
    ]
    last.write_bytes(content)
    store.put(where, store.pack([work.cheap(3, Asked())], synthetic.KEY, {"another": 1}))
    assert work.judged(tmp_path)[2] == [".begun: temporary", "seeds with two results: [3]"]


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_who_is_left_is_found_and_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(work, "LEFT", 0.0)
    stage = work.Stage(tmp_path, elsewhere=False)
    child = subprocess.Popen(["sleep", "60"], env=os.environ | {work.MARK: stage.mark})
    while child.pid not in stage.marked():  # until it runs its program
        assert child.poll() is None
    assert stage._left() == ["left: b'sleep 60 '"]
    stage.sweep()
    assert child.wait() == -signal.SIGKILL
    assert stage._left() == []
