"""campaign.html: its numbers are those of the store, what changed is told, and what others wrote is not run."""

import base64
import io
import json
import re
from collections import Counter

import pytest

from tests.scaling.campaign import synthetic
from tests.scaling.cli.calls import run
from tools.scaling.base.errors import BadInput
from tools.scaling.campaign.coverage import NAMES
from tools.scaling.campaign.engine import store
from tools.scaling.campaign.failures.groups import ShrunkCase, Signature
from tools.scaling.campaign.generator import NOT_DRAWN
from tools.scaling.campaign.page import _said, changed, page_of, write_campaign_page
from tools.scaling.campaign.record import Result, Status, Verdict
from tools.scaling.page.curves import COLUMNS_BASE, columns, ulps_of
from tools.scaling.page.html import campaign_page

CASES, BEFORE = 1500, 500
WORKER = {"name": "w", "host": "h", "cpu": "c", "pid": 1, "seconds": 2.0}
HOSTILE = "<script>alert(1)</script>"
SMALL = ShrunkCase(
    Signature("oracle", "polar"), 3, ("-polar", "1"), "python -m nanobragg_torch -polar 1", "polar is 1.", "the beam",
    "oracle-polar", kept=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store of two campaigns, 500 and then 1500 made-up cases, and a shrunk one: (store, before, now)."""
    root = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "FLAGS", tuple(name for name in NAMES if name not in NOT_DRAWN)[:110])
        before = synthetic.write(root, BEFORE, made=BEFORE, commit="1" * 40)
        now = synthetic.write(root, CASES, made=CASES)
    folder = now / "shrunk" / SMALL.folder
    folder.mkdir(parents=True)
    (folder / "shrunk.json").write_text(json.dumps(SMALL.to_dict()))
    return root, before, now


@pytest.fixture(scope="module")
def page(made):
    return page_of(made[2], made[1])


@pytest.fixture(scope="module")
def results(made):
    return [each for shard in store.read(made[2]) for each in shard.results()]


def test_the_counts_are_those_of_the_results(page, results):
    failures = [(each, verdict) for each in results for verdict in each.failures]
    assert len(failures) > 3 and page.verdict == "FAIL"
    assert page.headline.startswith(f"1,500 cases: {len({each.seed for each, _ in failures})} fail, in ")
    assert sum(group.count for group in page.groups) == len(failures)
    assert sorted(seed for group in page.groups for seed in group.seeds) == sorted(each.seed for each, _ in failures)
    assert {each.name for each in page.checks} == {*synthetic.CHECKS} | {verdict.check for _, verdict in failures}
    for row in page.checks:
        verdicts = [(each.seed, one) for each in results for one in each.verdicts if one.check == row.name]
        ended = Counter(one.status for _, one in verdicts)
        assert (row.ok, row.differs, row.error, row.unasked) == tuple(
            ended[status] for status in (Status.ok, Status.differs, Status.error, Status.unasked)
        )
        assert dict(row.reasons) == Counter(one.says for _, one in verdicts if one.status is Status.unasked)
        ulps = [(one.ulps, -seed) for seed, one in verdicts if one.ulps is not None]
        assert sum(row.histogram) == len(ulps)
        if ulps:
            assert (row.most_ulps.ulps, -row.most_ulps.seed) == max(ulps)
            assert row.histogram[0] == sum(one == 0 for one, _ in ulps)
            assert row.histogram[-1] == sum(one.bit_length() == len(row.histogram) - 1 for one, _ in ulps)
            best = max((one.worst, -seed, one.ulps) for seed, one in verdicts if one.status is Status.ok)
            assert (row.agreeing.value, -row.agreeing.seed, row.agreeing.ulps) == best


def test_workers_and_facts(page):
    assert [(each.name, each.cases, each.seconds, each.rate) for each in page.workers] == [
        ("w0 on here", 400, 64.0, 6.25), ("w1 on here", 400, 64.0, 6.25), ("w2 on here", 400, 64.0, 6.25),
        ("w3 on here", 300, 48.0, 6.25),
    ]  # fmt: skip
    facts = {pair.name: pair.value for pair in page.facts}
    assert (facts["Cases"], facts["Seeds"], facts["Against"], facts["On"]) == (
        "1,500", "0:1500", "no other program", "cpu, float64"
    )  # fmt: skip
    assert facts["A million takes"] == f"{0.16 * 1e6 / 3600:.3g} core-hours"


def test_coverage_and_its_map(page, results):
    from matplotlib.image import imread

    together = page.coverage
    size = len(NAMES)
    place = {pair: each for each, pair in enumerate((i, j) for i in range(size) for j in range(i, size))}
    has = [{NAMES.index(flag) for flag in each.flags} for each in results]
    for i, j in ((0, 0), (0, 1), (7, 90), (100, 40)):
        assert together.pairs[place[min(i, j), max(i, j)]] == sum(i in flags and j in flags for flags in has)
    assert together.rarest[0][1] == min(count for name, count in together.rarest)
    assert set(together.never) == {*NAMES} - {*NOT_DRAWN} - {*synthetic.FLAGS} - {
        flag for each in results for flag in each.flags
    }
    pixels = (imread(io.BytesIO(base64.b64decode(together.picture)))[..., :3] * 255).round().astype(int)
    assert pixels.shape == (size, size, 3)
    absent, never = NAMES.index(next(iter(NOT_DRAWN))), NAMES.index(together.never[0])
    assert pixels[absent, 0].tolist() == [139, 148, 158] and pixels[never, 1].tolist() == [209, 36, 47]
    assert pixels[0, 0].sum() < pixels[0, 1].sum()  # more is darker


def test_a_shrunk_case_stands_in_the_first_group_of_its_kind(page):
    rows = [group for group in page.groups if group.cause == SMALL.cause]
    assert rows and all(row.signature.startswith("oracle polar") and row.folder == SMALL.folder for row in rows)
    assert [bool(row.command) for row in rows] == [True] + [False] * (len(rows) - 1)
    assert (rows[0].command, rows[0].sentence, rows[0].kept) == (SMALL.command, SMALL.sentence, 1)
    others = [group for group in page.groups if group.cause != SMALL.cause]
    assert all(not each.command and each.says for each in others)


def test_what_changed_against_the_campaign_before(page, made):
    _, before, now = made
    assert (page.before.digest, page.before.cases, page.before.same_seeds) == (before.name, BEFORE, False)
    assert [(each.name, each.before[:3], each.after[:3]) for each in page.before.settings] == [("commit", "111", "000")]
    backwards = page_of(before, now).before
    new = {each.kind for each in page.before.changes if each.word == "NEW"}
    assert new and new.isdisjoint(each.kind for each in backwards.changes if each.word == "NEW")
    assert {group.signature for group in page.groups if group.change == "NEW"}


@pytest.mark.parametrize(
    ("before", "cases_before", "now", "cases", "same", "word"),
    [
        (0, 100, 1, 100, True, "NEW"), (1, 100, 0, 100, True, "GONE"), (5, 100, 6, 100, True, "GROWN"),
        (6, 100, 5, 100, True, "FEWER"), (5, 100, 5, 100, True, ""), (0, 100, 0, 100, True, ""),
        (0, 1000, 1, 10, False, "NEW"), (100, 1000, 1000, 10000, False, ""), (100, 1000, 1200, 10000, False, ""),
        (100, 1000, 1600, 10000, False, "GROWN"), (100, 1000, 500, 10000, False, "FEWER"),
        (3, 1000, 0, 1000, False, ""), (100, 1000, 0, 1000, False, "GONE"), (100, 10000, 0, 100, False, ""),
    ],
)  # fmt: skip
def test_a_change_is_none_that_chance_makes(before, cases_before, now, cases, same, word):
    assert changed(before, cases_before, now, cases, same) == word


def test_columns_of_a_histogram():
    assert [ulps_of(bits) for bits in (0, 1, 2, 3, 11)] == ["0", "1", "2 to 3", "4 to 7", "1,024 to 2,047"]
    high, low = columns((1000, 0, 1))
    assert (high.left, low.left, high.title, low.title) == (0.0, 8.0, "0 ulps: 1,000 cases", "2 to 3 ulps: 1 case")
    assert high.top < low.top < COLUMNS_BASE


def test_it_is_self_contained_and_runs_no_one_elses_script(tmp_path):
    """In ASCII, with a policy that lets nothing in, whatever stands in verdicts, keys, workers and shrunk cases."""
    key = synthetic.KEY | {"implementation": {"name": HOSTILE, "sha256": "0"}}
    verdicts = (Verdict(HOSTILE, Status.differs, f"caf\u00e9 {HOSTILE}", None, HOSTILE, float("nan"), 3),)
    folder = store.open_key(tmp_path, key)
    content = store.pack([Result(1, ("-cell", HOSTILE), verdicts, 0.1)], key, WORKER | {"name": HOSTILE})
    store.put(folder, content)
    (folder / "000000002-000000003-00000000.jsonl").write_bytes(content[:-9])
    shrunk = ShrunkCase(Signature(HOSTILE, HOSTILE), 1, (HOSTILE,), HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    (folder / "shrunk" / "x").mkdir(parents=True)
    (folder / "shrunk" / "x" / "shrunk.json").write_text(json.dumps(shrunk.to_dict()))
    made = page_of(folder, None)
    assert len(made.notes) == 1 and ": torn: " in made.notes[0] and made.coverage.strange == (HOSTILE,)
    assert made.checks[0].failing.value is None  # a NaN is larger than any number
    text = campaign_page(made)
    assert text.isascii() and HOSTILE not in text and text.count("&lt;script&gt;") > 8
    assert text.count("<script>") == 1 and "default-src 'none'" in text and "script-src 'sha256-" in text
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", text)


def test_the_command_writes_it_into_the_store_or_where_it_is_told_to(made, capsys, tmp_path):
    root, before, now = made
    code, said, error = run(capsys, "campaign", "page", "--store", root)
    assert (code, said, error) == (0, f"page: {root}/campaign.html\n", "")
    text = (root / "campaign.html").read_text(encoding="ascii")
    assert "shrunk to 1 flag: the case" in text
    assert "1,500 cases" in text and now.name in text and before.name in text
    assert run(capsys, "campaign", "page", "--store", root, "--out", tmp_path / "a.html")[0] == 0
    assert (tmp_path / "a.html").read_text() == text
    code, said, error = run(capsys, "campaign", "page", "--store", tmp_path)
    assert (code, said) == (2, "")
    assert error == f"error: {tmp_path}: expected the store of a campaign, got a folder without one\n"
    with pytest.raises(BadInput, match="expected the store of a campaign, got no folder"):
        write_campaign_page(tmp_path / "none")


def test_a_group_whose_quirks_do_not_matter_has_the_sentence_of_its_cases():
    says = {
        Signature("oracle", "x", ("--mode",), "1e-03"): "one",
        Signature("oracle", "x", ("--quirk",), "1e-02"): "two",
    }
    assert _said(says, Signature("oracle", "x", (), "1e-02")) == "two"
    assert _said(says, Signature("oracle", "x", ("--mode",), "1e-03")) == "one"
