"""A sample of `nox -s mutations`: random damage to a chain of bundles, each named by verify --all."""

import pytest

from tools.scaling.bundle.verify import verify_all
from tools.scaling.studies.mutations import MUTATIONS, Hit, build_chain, is_named, run


def test_a_sample_of_random_mutations_is_named(tmp_path):
    tally = run(60, 7, tmp_path)
    assert tally.missed == ()
    assert tally.ok
    assert sum(tally.made.values()) >= 50
    assert tally.made.keys() <= MUTATIONS.keys()


def test_what_is_not_named_counts_as_missed(tmp_path):
    root = build_chain(tmp_path)
    sound = verify_all(root)
    assert sound.ok
    stamp = sound.newest
    assert not is_named(Hit("", ((stamp, None),)), sound)
    (root / stamp / "env.json").write_text("x")
    assert is_named(Hit("", ((stamp, "env.json"),)), verify_all(root))
    assert not is_named(Hit("", ((stamp, "metrics.json"),)), verify_all(root))


@pytest.mark.parametrize("blind", ["problems", "_chain_problems", "_lost"])
def test_a_blinded_verify_is_caught(tmp_path, monkeypatch, blind):
    monkeypatch.setattr(f"tools.scaling.bundle.verify.{blind}", lambda *_: [])
    tally = run(60, 7, tmp_path)
    assert not tally.ok
    assert tally.missed
