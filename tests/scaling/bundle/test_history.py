"""history: one row a bundle, broken ones among them; regressions pointed at with both commits."""

import json
import os

import pytest

from tools.scaling.base.errors import BadInput
from tools.scaling.bundle.bundle import Bundle
from tools.scaling.bundle.history import history, level
from tools.scaling.bundle.text import history_lines

NAMES = ("I_before_scaling", "polar")
STATUSES = ((1e-6, "PASS"), (1e-4, "MINOR"), (1e-2, "DIVERGENT"), (1e9, "CRITICAL"))


def status(delta):
    return next((word for bound, word in STATUSES if abs(delta) <= bound), "NONFINITE")


def make(
    root, stamp, deltas=(0.0, 0.0), upstream=None, commit="c", device="cpu", sealed=True, tables=2000, explain=None
):
    """A bundle as a run leaves it: metrics with long tables behind the head."""
    folder = root / stamp
    folder.mkdir(parents=True)
    bundle = Bundle(folder)
    settings = {"case": "supervisor", "pixel": [685, 1039], "device": device, "dtype": "float64"}
    bundle.write_provenance({"timestamp": stamp, "git_sha": commit, "settings": settings})
    factors = {n: {"rel_delta": d, "status": status(d), "c_value": 1.0} for n, d in zip(NAMES, deltas)}
    bad = [name for name, row in factors.items() if row["status"] != "PASS"]
    metrics = {"first_divergence": bad[0] if bad else None, "num_divergent": len(bad), "factors": factors}
    metrics |= {"first_upstream_divergence": upstream, "quantities": [{"name": "x", "c": 0.5}] * tables}
    bundle.path("metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    if explain is not None:
        bundle.path("explain.json").write_text(json.dumps({"causes": explain, "quantities": []}))
    if sealed:
        bundle.path("sha256.txt").write_text("")
    return folder


def stamp(number):
    return f"20261123T12{number:02d}00Z"


def test_a_row_says_what_the_bundle_says(tmp_path):
    causes = [{"quantity": "odet_vec", "variant": "odet as given"}, {"quantity": "sdet_vec"}]
    make(tmp_path, stamp(0), (1e-3, -0.25), commit="a" * 40, explain=causes)
    (row,) = history(tmp_path).rows
    assert (row.time, row.commit, row.device, row.dtype) == ("2026-11-23T12:00:00Z", "a" * 40, "cpu", "float64")
    assert (row.verdict, row.first_divergence, row.worst) == ("DIVERGENT", "I_before_scaling", 0.25)
    assert (row.case, row.pixel, row.cause) == ("supervisor", (685, 1039), "odet_vec (odet as given)")
    assert row.deltas == {"I_before_scaling": 1e-3, "polar": -0.25}
    lines = list(history_lines(history(tmp_path)))
    assert lines[1].split() == [
        *("2026-11-23T12:00:00Z", "aaaaaaaaaa", "cpu", "float64", "DIVERGENT"),
        *("I_before_scaling", "2.5e-01", "odet_vec", "(odet", "as", "given)"),
    ]


@pytest.mark.parametrize("tables", [0, 3, 2000])
def test_metrics_of_any_length_are_read(tmp_path, tables):
    make(tmp_path, stamp(0), (0.0, 1e-9), tables=tables)
    (row,) = history(tmp_path).rows
    assert (row.verdict, row.worst) == ("PASS", 1e-9)


def test_a_regression_is_pointed_at_with_both_commits(tmp_path):
    make(tmp_path, stamp(0), commit="good")
    make(tmp_path, stamp(1), (1e-5, 0.0), commit="other", device="cuda")
    make(tmp_path, stamp(2), (0.0, 1e-3), commit="bad")
    make(tmp_path, stamp(3), (0.0, 1e-3), commit="still")
    make(tmp_path, stamp(4), commit="mended")
    make(tmp_path, stamp(5), upstream="pix0_vector", commit="upstream")
    found = [(r.quantity, r.status, r.good_commit, r.bad_commit) for r in history(tmp_path).regressions]
    assert found == [("polar", "DIVERGENT", "good", "bad"), ("pix0_vector", "upstream", "mended", "upstream")]
    lines = list(history_lines(history(tmp_path)))
    assert f"REGRESSION polar: PASS at good ({stamp(0)}), DIVERGENT at bad ({stamp(2)})" in lines
    assert "  polar                    _##__" in lines
    assert lines[-1] == "6 bundles, 2 regressions"


def test_regressions_of_one_bundle_come_in_the_order_of_the_chain(tmp_path):
    make(tmp_path, stamp(0))
    make(tmp_path, stamp(1), (1e-3, 1e-3), upstream="fdet")
    found = [each.quantity for each in history(tmp_path).regressions]
    assert found == [*NAMES, "fdet"]


def test_a_quantity_that_went_missing_is_a_regression(tmp_path):
    make(tmp_path, stamp(0))
    make(tmp_path, stamp(1), (0.0,))
    (found,) = history(tmp_path).regressions
    assert (found.quantity, found.status) == ("polar", "MISSING")


def test_each_verdict(tmp_path):
    make(tmp_path, stamp(0))
    make(tmp_path, stamp(1), sealed=False)
    (make(tmp_path, stamp(2), (0.0, 1.0)) / "instrumentation_audit.md").write_text("# Blocked")
    early = make(tmp_path, stamp(3))
    (early / "instrumentation_audit.md").write_text("# Blocked")
    (early / "metrics.json").unlink()
    assert [row.verdict for row in history(tmp_path).rows] == ["PASS", "OPEN", "BLOCKED", "BLOCKED"]


BREAK = {
    "metrics.json: missing": lambda f: (f / "metrics.json").unlink(),
    "metrics.json: expected JSON, got": lambda f: os.truncate(f / "metrics.json", 40000),
    "metrics.json: expected JSON": lambda f: (f / "metrics.json").write_text("{"),
    "expected a bundle's record, got KeyError('factors')": lambda f: (f / "metrics.json").write_text("{}"),
    "provenance.json: No such file or directory": lambda f: (f / "provenance.json").unlink(),
    "provenance.json: written by a newer version": lambda f: (f / "provenance.json").write_text('{"format": 2}'),
    "expected a bundle's record, got KeyError('settings')": lambda f: (f / "provenance.json").write_text("{}"),
    "provenance.json: expected JSON, got list": lambda f: (f / "provenance.json").write_text("[]"),
    "explain.json: expected JSON": lambda f: (f / "explain.json").write_text("x"),
}


@pytest.mark.parametrize("why", BREAK)
def test_a_broken_bundle_is_listed_as_broken_and_the_others_are_shown(tmp_path, why):
    for number in range(3):
        folder = make(tmp_path, stamp(number))
        if number == 1:
            BREAK[why](folder)
    rows = history(tmp_path).rows
    assert [row.verdict for row in rows] == ["PASS", "BROKEN", "PASS"]
    assert rows[1].problem.startswith(why)
    assert why[:60] in list(history_lines(history(tmp_path)))[2]
    (tmp_path / stamp(5)).write_text("a file, no folder")
    assert history(tmp_path).rows[-1].problem == f"{stamp(5)}: Not a directory"


@pytest.mark.parametrize("make_it", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
@pytest.mark.parametrize("name", ["provenance.json", "metrics.json", "explain.json"])
def test_what_is_no_plain_file_is_not_waited_for(tmp_path, name, make_it):
    folder = make(tmp_path, stamp(0), explain=[])
    (folder / name).unlink()
    make_it(folder / name)
    assert history(tmp_path).rows[0].problem == f"{name}: expected a plain file, got something else"


def test_values_that_no_run_writes_are_shown_as_text_or_left_out(tmp_path):
    """The rows are JSON, and lines of a terminal, whatever a bundle holds."""
    folder = make(tmp_path, stamp(0), (0.0, float("nan")), tables=0)
    known = json.loads((folder / "provenance.json").read_text())
    known |= {"git_sha": {}, "settings": known["settings"] | {"dtype": "a\nb\x1b[31m"}}
    (folder / "provenance.json").write_text(json.dumps(known))
    found = history(tmp_path)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["rows"][0]["deltas"]["polar"] is None
    assert found.rows[0].commit == "{}"
    lines = list(history_lines(found))
    assert r"a\x0ab\x1b[31m" in lines[1]
    assert all(" " <= character <= "~" for line in lines for character in line)


def test_since_takes_a_day_a_time_or_a_stamp(tmp_path):
    for number in range(4):
        make(tmp_path, stamp(number))
    for since, count in (
        ("2026-11-23", 4), ("2026-11-24", 0), ("2026-11-23T12:02", 2), ("2026-11-23T13:03+01:00", 1), (stamp(1), 3),
    ):  # fmt: skip
        assert len(history(tmp_path, since).rows) == count, since
    with pytest.raises(BadInput, match=r"--since soon: expected a day \(2026-11-23\), an ISO time or a bundle's stamp"):
        history(tmp_path, "soon")
    with pytest.raises(BadInput, match="none: expected a folder of bundles, got No such file"):
        history(tmp_path / "none")
    assert next(history_lines(history(tmp_path, "2026-11-24"))).endswith(": no bundles since 2026-11-24")


def test_levels_are_decades():
    assert [level(d) for d in (None, 0.0, -1e-15, 1e-13, 1e-11, -1e-9, 1e-7, 1e-5, 0.5)] == [
        None,
        0,
        1,
        2,
        3,
        4,
        5,
        6,
        7,
    ]


def test_the_long_tables_are_not_read(tmp_path, monkeypatch):
    make(tmp_path, stamp(0), tables=5000)
    read = []
    real = os.read
    monkeypatch.setattr(os, "read", lambda handle, size: read.append(size) or real(handle, size))
    assert history(tmp_path).rows[0].verdict == "PASS"
    assert sum(read) <= 3 * 8192
