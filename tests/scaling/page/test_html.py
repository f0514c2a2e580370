"""report.html: the numbers of the bundle, nothing that runs or loads, small and the same each time."""

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scaling.page.bundles import EXPLAINED, FOLDERS, HOSTILE, RECORDS, Document, metrics
from tools.scaling.base.errors import BadInput
from tools.scaling.base.files import write_json, write_text
from tools.scaling.bundle.bundle import Bundle
from tools.scaling.bundle.layout import CommandRecord
from tools.scaling.page.report import LIMIT, PICTURE, report_text, write_report

Make = Callable[..., Bundle]
PNG = b"\x89PNG\r\n\x1a\n"


def texts(bundle: Bundle) -> tuple[str, Document]:
    text = report_text(bundle)
    return text, Document(text)


@pytest.mark.parametrize("mode", FOLDERS)
def test_the_factor_table_holds_the_numbers_of_metrics_json(make_bundle: Make, mode: str) -> None:
    bundle = make_bundle()
    table = texts(bundle)[1].tables[f"Factors of {mode}"]
    factors = metrics(bundle, mode)["factors"]
    assert len(table) == 1 + len(factors) == 10
    for (name, row), cells in zip(factors.items(), table[1:]):
        assert cells[0] == name + row["description"]
        assert cells[1:3] == [f"{row['c_value']:.15g}", f"{row['py_value']:.15g}"]
        assert float(cells[3]) == pytest.approx(row["abs_delta"], rel=1e-3)
        assert float(cells[4]) == pytest.approx(row["rel_delta"], rel=1e-6)
        assert cells[5] == row["status"]


@pytest.mark.parametrize("mode", FOLDERS)
@pytest.mark.parametrize("quantity", ["k_frac", "F_latt_b", "F_latt"])
def test_the_phi_steps_hold_the_numbers_of_metrics_json(make_bundle: Make, mode: str, quantity: str) -> None:
    bundle = make_bundle()
    table = texts(bundle)[1].tables[f"{quantity} per phi step, {mode}"]
    rows = [row for row in metrics(bundle, mode)["per_phi"] if row["name"] == f"PHI.{quantity}"]
    assert len(table) == 1 + len(rows) == 11
    for row, cells in zip(rows, table[1:]):
        assert cells[:3] == [f"{0.01 * row['phi_tic']:.15g}", f"{row['c']:.15g}", f"{row['py']:.15g}"]
        assert float(cells[3]) == pytest.approx(row["py"] - row["c"], rel=1e-6)
        assert cells[4] == row["status"]


def test_the_commit_is_named_with_its_patch(make_bundle: Make) -> None:
    bundle = make_bundle()
    commit = f"{'c0ffee' * 6}0000"
    assert commit in texts(bundle)[1].text and "dirty.patch" not in texts(bundle)[1].text
    bundle.write_provenance(bundle.provenance() | {"patch": "dirty.patch"})
    assert f"{commit}, and dirty.patch" in texts(bundle)[1].text


def test_the_attribution_is_shown_largest_first(make_bundle: Make) -> None:
    text, page = texts(make_bundle())
    assert page.tables["Causes, by size of effect"][1:] == [
        ["odettaken as given", "", "-2.157e-03", "103.4000 %", "6.560e-07", "3,289 x"],
        ["sdetno known variant", "", "+8.088e-05", "-3.8800 %", "5.700e-08", "1,413 x"],
    ]
    assert "odet is taken as given: this makes 103.4 % of the -2.086116e-03 in I_before_scaling." in page.text
    assert '<rect x="-1.0" y=".15" width="1.0"' in text


def test_no_attribution_where_nothing_was_explained(make_bundle: Make) -> None:
    bundle = make_bundle()
    bundle.path("legacy/explain.json").unlink()
    assert "Attribution" not in texts(bundle)[1].text


def test_commands_with_exit_codes_seconds_and_memory(make_bundle: Make) -> None:
    page = texts(make_bundle())[1]
    rows = page.tables["Commands in the order they ran"][1:]
    assert [row[1:] for row in rows] == [
        ["0", "0.086 s", "1.0 MiB"],
        ["1", "0.790 s", "-"],
        ["0", "12.500 s", "152.0 MiB"],
    ]
    assert rows[1][0] == "002 provenance, 2026-11-23T00:00:00Zpython -m pip show xno x"
    assert "python -m tools.scaling check --run-dir $RUN_DIR --case x" in rows[2][0]
    assert "export KMP_DUPLICATE_LIB_OK=TRUE PYTHONPATH=src RUN_DIR=reports/a/20261123T200921Z" in page.text
    assert "ok   c-parity: as expected" in page.text


def test_files_are_linked_relatively(make_bundle: Make) -> None:
    bundle = make_bundle()
    write_text(bundle.path("a b#?.log"), "x")
    rows = texts(bundle)[1]
    hrefs = rows.attributes("href")
    assert {"a%20b%23%3F.log", "metrics.json", "legacy/metrics.json", "commands.txt", "sha256.txt", "seal.json"} <= {
        *hrefs
    }
    sizes = dict(rows.tables["Files of the bundle"][1:])
    assert sizes["a b#?.log"] == "1 B"
    assert sizes["metrics.json"] == f"{bundle.path('metrics.json').stat().st_size:,} B"


@pytest.mark.parametrize(
    "swaps, verdict, headline",
    [
        ({}, "PASS", "All 9 factors agree with the reference (tolerance 1e-06 relative)."),
        ({"polar": "0.9"}, "DIVERGENT", "First divergence: polar, -1.600597e-02 relative (tolerance 1e-06 relative)."),
    ],
)
def test_the_verdict_comes_first(make_bundle: Make, swaps: dict[str, str], verdict: str, headline: str) -> None:
    page = texts(make_bundle(c_parity=swaps))[1]
    assert page.text.index(verdict) < page.text.index(headline) < page.text.index("Bundle") + 400
    assert next(a for t, a in page.tags if a.get("id") == "verdict")["class"] == (
        "verdict good" if verdict == "PASS" else "verdict bad"
    )


def test_a_blocked_run_says_why(make_bundle: Make) -> None:
    bundle = make_bundle()
    write_text(
        bundle.path("instrumentation_audit.md"), "# Blocked: comparison\n\nThe run...\n\nWhy: no reference <b>\n"
    )
    text, page = texts(bundle)
    assert "BLOCKED" in page.text and "The run halted at comparison: no reference <b>" in page.text
    assert 'class="verdict halt"' in text and "<b>" not in text


def test_a_run_that_diverges_says_where_by_how_much_and_why_in_its_banner(make_bundle: Make) -> None:
    bundle = make_bundle(c_parity={"polar": "0.9"})
    write_text(bundle.path("explain.json"), json.dumps(EXPLAINED))
    write_text(bundle.path("instrumentation_audit.md"), "# Blocked: comparison\n\nWhy: check: c-parity\n")
    page = texts(bundle)[1]
    halted = page.text.index("The run halted at comparison: check: c-parity. First divergence: polar, -1.600597e-02")
    assert halted < page.text.index(EXPLAINED["sentence"]) < page.text.index("Bundle") + 700


def test_the_audit_of_a_blocked_run_is_rendered(make_bundle: Make) -> None:
    bundle = make_bundle()
    audit = "# Blocked: comparison\n\nThe run halted.\nIn two lines.\n\nCommand:\n\n    python <x>\n      deeper\n\n"
    write_text(bundle.path("instrumentation_audit.md"), audit + "Kept:\n\n- `metrics.json`\n- `env.json`\n")
    text = texts(bundle)[0]
    for part in (
        "<h3>Blocked: comparison</h3>\n<p>The run halted. In two lines.</p>\n<p>Command:</p>\n",
        "<pre>python &lt;x&gt;\n  deeper</pre>",
        "<ul>\n<li><code>metrics.json</code></li>\n<li><code>env.json</code></li>\n</ul>",
    ):
        assert part in text, text[text.index('id="audit"') :][:600]
    assert "The rest is in" not in text
    write_text(bundle.path("instrumentation_audit.md"), audit + "x" * 9000)
    assert 'The rest is in <a href="instrumentation_audit.md">' in texts(bundle)[0]


def test_output_that_is_cut_says_so(make_bundle: Make) -> None:
    long = CommandRecord(
        "comparison", "python " + "y" * 700, RECORDS[0].started, 0, 1.0, None, stdout="first\n" + "x" * 250
    )
    bundle = make_bundle()
    bundle.record(long)
    page = texts(bundle)[1]
    assert "y" * 593 + " ... (107 more characters, see commands.txt)" in page.text
    assert (
        "x" * 200 + " ... (50 more characters, see commands.txt) (the last of 2 lines, commands.txt has all)"
        in page.text
    )


def test_a_run_halted_at_its_first_step_has_a_page(tmp_path: Path) -> None:
    folder = tmp_path / "20261123T200921Z"
    folder.mkdir()
    write_text(folder / "instrumentation_audit.md", "# Blocked: provenance\n\nWhy: no git repository\n")
    page = texts(Bundle(folder))[1]
    assert "The run halted at provenance: no git repository" in page.text
    assert "None was recorded." in page.text


def test_an_open_bundle_has_a_page(make_bundle: Make) -> None:
    bundle = make_bundle()
    for place in FOLDERS.values():
        (bundle.path(place) / "metrics.json").unlink()
    page = texts(bundle)[1]
    assert "OPEN" in page.text and "The port was not compared with the reference" in page.text


@pytest.mark.parametrize(
    "name, content, note",
    [
        ("metrics.json", '{"factors": {', "metrics.json: expected JSON, got Expecting"),
        ("metrics.json", "[]", "metrics.json: expected JSON, got list in place of an object"),
        ("metrics.json", "{}", "metrics.json: expected what this version writes, got KeyError('factors')"),
        ("spec/metrics.json", '{"factors": {"a": 3}}', "spec/metrics.json: expected what this version writes"),
        ("legacy/explain.json", '{"causes": 3}', "legacy/explain.json: expected what this version writes"),
        ("env.json", "\x00", "env.json: expected JSON, got Expecting value"),
        ("env.json", "[" * 100000, "env.json: expected JSON, got"),
        ("provenance.json", '{"format": 99}', "provenance.json: written by a newer version (expected format 1 or less"),
        ("provenance.json", "", "provenance.json: expected what provenance wrote, got"),
    ],
)
def test_a_damaged_file_is_named_and_the_rest_is_shown(make_bundle: Make, name: str, content: str, note: str) -> None:
    bundle = make_bundle()
    bundle.path(name).write_text(content)
    page = texts(bundle)[1]
    assert f"UNREADABLE {note}" in page.text
    whole = [mode for mode, place in FOLDERS.items() if f"{place}/metrics.json".lstrip("/") != name]
    assert all(f"Factors of {mode}" in page.tables for mode in whole)


def test_a_number_that_is_none_is_no_curve_and_no_crash(make_bundle: Make) -> None:
    bundle = make_bundle(c_parity={"F_latt_3": "nan", "k_frac_2": "inf"})
    page = texts(bundle)[1]
    assert page.tables["F_latt per phi step, c-parity"][4][2:] == ["-", "-", "NONFINITE"]
    assert "Worst relative delta nan." in page.text


def test_what_others_wrote_is_shown_and_never_markup(make_bundle: Make) -> None:
    bundle = make_bundle(env={HOSTILE: HOSTILE}, settings={"case": HOSTILE})
    data = metrics(bundle)
    data["factors"][HOSTILE] = data["factors"]["polar"] | {"description": HOSTILE, "status": HOSTILE}
    data["quantities"].append(data["quantities"][0] | {"name": HOSTILE, "stage": HOSTILE, "status": "MINOR"})
    data["per_phi"] += [row | {"name": f"PHI.{HOSTILE}"} for row in data["per_phi"] if row["name"] == "PHI.k_frac"]
    data["orphans"] = [{"name": HOSTILE, "c_count": 1, "py_count": 0, "note": HOSTILE}]
    data["hypotheses"] = [HOSTILE]
    write_json(bundle.path("metrics.json"), data)
    causes = [
        {"quantity": HOSTILE, "variant": HOSTILE, "defect_rel": 1, "effect_rel": 1, "share": 1, "amplification": 1}
    ]
    explained = {"target": HOSTILE, "delta_rel": 1, "explained_rel": 1, "sentence": HOSTILE, "causes": causes}
    write_json(bundle.path("explain.json"), explained)
    bundle.record(CommandRecord(HOSTILE, HOSTILE, RECORDS[0].started, 0, 1.0, None, HOSTILE, HOSTILE, HOSTILE))
    write_text(bundle.path("instrumentation_audit.md"), f"# Blocked: {HOSTILE}\n\nWhy: {HOSTILE}\n")
    for name in ("javascript:alert(1)", 'x" onmouseover="alert(1)'):
        write_text(bundle.path(name), "")
    text, page = texts(bundle)
    assert "<script" not in text.lower() and page.text.count(HOSTILE) > 20
    assert not [a for _, found in page.tags for a in found if a.startswith("on")]
    assert not [h for h in page.attributes("href") if "javascript:" in h.lower()]


def _draw(bundle: Bundle, data: bytes) -> None:
    bundle.path(PICTURE).parent.mkdir()
    bundle.path(PICTURE).write_bytes(data)


def test_nothing_is_loaded_and_all_is_ascii(make_bundle: Make) -> None:
    bundle = make_bundle(env={"LANG": "d\u00e9j\u00e0 \U0001f600"})
    _draw(bundle, PNG + b"x")
    text, page = texts(bundle)
    assert text.isascii() and "d\u00e9j\u00e0 \U0001f600" in page.text
    loading = [
        (tag, a) for tag, a in page.tags if tag in ("script", "iframe", "object", "embed", "base", "audio", "video")
    ]
    assert loading == []
    assert page.attributes("src") == ["data:image/png;base64," + base64.b64encode(PNG + b"x").decode()]
    links = [a["href"] for tag, a in page.tags if tag == "link"]
    assert links == ["data:,"]
    assert "url(" not in text and "@import" not in text and "://" not in text


def test_what_was_simulated_and_compared_stands_beside_the_picture(make_bundle: Make) -> None:
    bundle = make_bundle()
    assert "Pixels not bitwise equal" not in texts(bundle)[1].text
    _draw(bundle, PNG + b"x")
    simulated = {"window_slow_fast": [650, 729, 1000, 1079], "reference": "<b>.bin"}
    compared = {
        "passed": False,
        "pixels": 6400,
        "unequal": 3,
        "correlation": 0.5,
        "sum_ratio": 1.001,
        "peak_ratio": None,
    }
    write_json(bundle.path("image/image.json"), simulated)
    write_json(bundle.path("image/images.json"), compared)
    text = texts(bundle)[1].text
    for told in ("slow 650 to 729, fast 1000 to 1079", "<b>.bin", "FAIL", "3 of 6400", "0.5", "1.001", "none"):
        assert told in text
    write_json(bundle.path("image/images.json"), {"passed": True})
    text = texts(bundle)[1].text
    assert "image/images.json: expected what this version writes" in text and "slow 650 to 729" in text


@pytest.mark.parametrize("content", [b"GIF89a", b""])
def test_an_image_that_is_no_png_is_left_out(make_bundle: Make, content: bytes) -> None:
    bundle = make_bundle()
    _draw(bundle, content)
    assert texts(bundle)[1].attributes("src") == []


def test_the_same_bundle_gives_the_same_bytes(make_bundle: Make, tmp_path: Path) -> None:
    make_bundle("20261122T000000Z", env={"torch": "2.12.0"}).seal()
    bundle = make_bundle()
    path = write_report(bundle)
    written = path.read_bytes()
    bundle.record(CommandRecord("handoff", "python -m tools.scaling page reports/a", RECORDS[0].started, 0, 0.1, None))
    bundle.seal()
    assert "report.html" in bundle.path("sha256.txt").read_text() and bundle.problems() == []
    assert report_text(bundle).encode() == written
    elsewhere = shutil.copytree(bundle.folder.parent, tmp_path / "elsewhere" / "deeper")
    assert report_text(Bundle(elsewhere / bundle.stamp)).encode() == written
    with pytest.raises(BadInput, match="sealed, nothing in it may change"):
        write_report(bundle)
    assert path.read_bytes() == written


def test_what_changed_since_the_last_bundle(make_bundle: Make) -> None:
    first = make_bundle("20261121T000000Z", env={"torch": "2.12.0", "thread_pools": [{"name": "mkl"}], "command": "a"})
    assert "This is the first bundle of its folder." in texts(first)[1].text
    write_report(first)
    make_bundle("20261121T000000Z-not-one")
    second = make_bundle(
        "20261122T000000Z", c_parity={"polar": "0.9"}, settings={"device": "cuda"}, env={"command": "b"}
    )
    page = texts(second)[1]
    was_is = {row[0]: row[1:] for row in page.tables["Changes since the last bundle"][1:]}
    assert was_is == {
        "verdict": ["PASS", "DIVERGENT"],
        "settings.device": ["cpu", "cuda"],
        "c-parity.polar": ["0.91463969894451", "0.9"],
        "torch": ["2.12.0", "2.13.0"],
        "thread_pools.0.name": ["mkl", "none"],
    }
    assert "../20261121T000000Z/report.html" in page.attributes("href")
    third = make_bundle("20261123T000000Z", c_parity={"polar": "0.9"}, settings={"device": "cuda"})
    same = texts(third)[1]
    assert "Nothing changed since 20261122T000000Z" in same.text and "../20261122T000000Z/" in same.attributes("href")


def test_it_stays_small_whatever_is_in_the_bundle(make_bundle: Make) -> None:
    bundle = make_bundle(env={f"key{i}": "\U0001f600" * 5000 for i in range(300)})
    data = metrics(bundle, "legacy")
    row = data["per_phi"][-1]
    long = "\U0001f600<" * 500
    data["per_phi"] = [
        row | {"name": name, "phi_tic": i, "py": row["py"] + i % 7} for name in ("PHI.a", "PHI.b") for i in range(600)
    ]
    data["quantities"] = [data["quantities"][0] | {"name": f"{long}{i}", "status": "MINOR"} for i in range(200)]
    data["hypotheses"] = [long] * 100
    for place in FOLDERS.values():
        write_json(bundle.path(place) / "metrics.json", data)
    text = (RECORDS[2].as_text(7) + "    stdout| " + "<" * 5000 + "\n") * 500
    write_text(bundle.path("commands.txt"), text)
    _draw(bundle, PNG + bytes(2_000_000))
    for i in range(160):
        write_text(bundle.path(f"{'n' * 200}{i}.log"), "")
    text, page = texts(bundle)
    assert len(text) < LIMIT
    assert "The image is too large for this page:" in page.text and page.attributes("src") == []
    assert "480 more are in commands.txt." in page.text


def test_a_long_sweep_keeps_its_extremes(make_bundle: Make) -> None:
    bundle = make_bundle()
    data = metrics(bundle)
    row = data["per_phi"][-1]
    values = [0.5 * ((i * 7919) % 1000) for i in range(1000)]
    data["per_phi"] = [row | {"name": "PHI.F", "phi_tic": i, "c": v, "py": v, "rel": 0.0} for i, v in enumerate(values)]
    data["per_phi"][517]["py"] += 3.25
    write_json(bundle.path("metrics.json"), data)
    _text, page = texts(bundle)
    table = page.tables["F per phi step, c-parity"]
    assert table[0][0] == "F at phi step" and "steps are left out, metrics.json has all" in page.text
    from tools.scaling.page.comparison import POINTS, comparisons_of
    from tools.scaling.page.reading import Reader

    kept = comparisons_of(Reader(bundle))[0].series[0].steps
    assert len(kept) <= POINTS
    assert {0.0, 499.5} <= {step.c for step in kept}
    assert [step.x for step in kept if step.difference] == [517.0]


def test_a_bundle_written_before_pages_still_reads(make_bundle: Make) -> None:
    bundle = make_bundle()
    data = metrics(bundle)
    old = {key: data[key] for key in ("tolerance_rel", "first_divergence", "num_divergent", "factors")}
    bundle.path("metrics.json").write_text(json.dumps(old))
    page = texts(bundle)[1]
    assert "Factors of c-parity" in page.tables and "UNREADABLE" not in page.text
