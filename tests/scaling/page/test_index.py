"""index.html: every bundle with its verdict, regressions and trends pointed at, small over a thousand bundles."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scaling.page.bundles import HOSTILE, Document, thousand
from tools.scaling.base.errors import BadInput
from tools.scaling.base.repo import REPORTS_ROOT, ROOT
from tools.scaling.bundle.bundle import Bundle
from tools.scaling.bundle.history import history
from tools.scaling.page.html import index_page
from tools.scaling.page.index import POINTS, index_of, index_path, write_index
from tools.scaling.page.report import write_report

Make = Callable[..., Bundle]


@pytest.fixture
def four(make_bundle: Make) -> Path:
    """PASS, blocked, divergent (a regression), broken; oldest first."""
    first = make_bundle("20261120T000000Z")
    write_report(first)
    first.seal()
    blocked = make_bundle("20261121T000000Z")
    blocked.path("metrics.json").unlink()
    blocked.path("instrumentation_audit.md").write_text("# Blocked: comparison\n\nWhy: x\n")
    blocked.seal()
    worse = make_bundle("20261122T000000Z", c_parity={"polar": "0.9"})
    worse.path("explain.json").write_text(json.dumps({"causes": [{"quantity": HOSTILE, "variant": "taken as given"}]}))
    worse.seal()
    broken = make_bundle("20261123T000000Z")
    broken.path("metrics.json").write_text("{")
    broken.seal()
    return first.folder.parent


def read(root: Path) -> Document:
    return Document(write_index(root).read_text(encoding="ascii"))


def test_every_bundle_is_a_row_newest_first(four: Path) -> None:
    rows = read(four).tables["Bundles, newest first"][1:]
    assert [(row[0], row[-1]) for row in rows] == [
        ("20261123T000000Z", "BROKEN"),
        ("20261122T000000Z", "DIVERGENT"),
        ("20261121T000000Z", "BLOCKED"),
        ("20261120T000000Z", "PASS"),
    ]
    assert rows[0][1].startswith("metrics.json: expected JSON, got")
    assert rows[1][1:5] == ["c0ffeec0ffee", "supervisor 685 1039 cpu float64", "polar", "1.601e-02"]
    assert rows[1][5] == (
        f"{HOSTILE} (taken as given)"
        "Regression: polar passed in 20261120T000000Z (c0ffeec0ffee), now CRITICAL (c0ffeec0ffee)."
    )
    assert rows[3][3:6] == ["none", "0", ""]


def test_the_newest_and_the_counts_come_first(four: Path) -> None:
    page = read(four)
    assert page.text.index("The newest, 20261123T000000Z: metrics.json: expected JSON") < page.text.index("All bundles")
    assert "BLOCKED 1" in page.text and "PASS 1" in page.text


def test_links_lead_to_the_pages_from_wherever_the_index_lies(four: Path, tmp_path: Path) -> None:
    out = tmp_path / "else where" / "index.html"
    out.parent.mkdir()
    hrefs = Document(write_index(four, out).read_text()).attributes("href")
    page = "../bundles/20261120T000000Z/report.html"
    assert {page, "../bundles/20261121T000000Z/"} <= {*hrefs}
    assert (out.parent / page).is_file()


def test_trends_of_what_ever_differed_and_names_of_the_rest(four: Path) -> None:
    page = read(four)
    drawn = [a["data-quantity"] for tag, a in page.tags if tag == "figure"]
    assert drawn == ["polar"]
    assert "supervisor, pixel (685, 1039), cpu float64, 2 bundles" in page.text
    assert "Exactly zero in every bundle: I_before_scaling, r_e_sqr," in page.text
    assert "newest -1.601e-02" in page.text


def test_what_others_wrote_is_shown_and_never_markup(four: Path) -> None:
    text = write_index(four).read_text()
    assert text.count("<script>") == 1 and HOSTILE in Document(text).text
    assert text.isascii() and "://" not in text and " src=" not in text


def test_the_same_bundles_give_the_same_bytes(four: Path) -> None:
    assert write_index(four).read_bytes() == write_index(four).read_bytes()


def test_no_bundles_is_an_empty_table(tmp_path: Path) -> None:
    page = read(tmp_path)
    assert "0 bundles" in page.text and page.tables["Bundles, newest first"][1:] == []


def test_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="absent: expected a folder of bundles, got No such file or directory"):
        write_index(tmp_path / "absent", tmp_path / "index.html")
    assert not (tmp_path / "index.html").exists()


def test_the_projects_own_index_lies_in_reports(tmp_path: Path) -> None:
    assert index_path(ROOT / REPORTS_ROOT) == ROOT / "reports/index.html"
    assert index_path(tmp_path) == tmp_path / "index.html"


def test_a_thousand_bundles_stay_under_three_megabytes(make_bundle: Make, tmp_path: Path) -> None:
    thousand(tmp_path / "many", make_bundle())
    index = index_of(history(tmp_path / "many"), tmp_path / "many", tmp_path)
    assert len(index.rows) == 1000
    assert [(group.bundles, len(group.trends)) for group in index.trends] == [(250, 9), (750, 9)]
    long = index.trends[1].trends[1]
    assert len(long.values) == POINTS and max(v for v in long.values if v is not None) == 7e-3
    assert len(index_page(index)) < 3_000_000
