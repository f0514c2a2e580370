"""The pages as a browser shows them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.scaling.page.bundles import FOLDERS, HOSTILE, metrics
from tools.scaling.base.files import write_json
from tools.scaling.bundle.bundle import Bundle
from tools.scaling.page import curves
from tools.scaling.page.index import write_index
from tools.scaling.page.report import write_report

Make = Callable[..., Bundle]
Visit = Callable[..., Any]
CELLS = "table => Array.from(table.rows, row => Array.from(row.cells, cell => cell.textContent.trim()))"
PATH = "path => path.getAttribute('d')"


@pytest.fixture
def hostile(make_bundle: Make) -> Bundle:
    """A bundle in which others wrote markup wherever they can write."""
    bundle = make_bundle(env={HOSTILE: HOSTILE}, settings={"case": HOSTILE})
    data = metrics(bundle)
    data["quantities"].append(data["quantities"][0] | {"name": HOSTILE, "status": "MINOR"})
    data["per_phi"] += [row | {"name": f"PHI.{HOSTILE}"} for row in data["per_phi"] if row["name"] == "PHI.k_frac"]
    data["orphans"] = [{"name": f"'\"><img src=x onerror=alert(2)>{HOSTILE}", "c_count": 1, "py_count": 0, "note": ""}]
    data["first_divergence"], data["num_divergent"] = HOSTILE, 1
    write_json(bundle.path("metrics.json"), data)
    return bundle


@pytest.fixture
def index(make_bundle: Make, hostile: Bundle) -> Path:
    """The index of five bundles: two that pass, one that regressed, one hostile, one broken."""
    make_bundle("20261120T000000Z")
    make_bundle("20261121T000000Z", settings={"device": "cuda"})
    make_bundle("20261122T000000Z", c_parity={"polar": "0.9"})
    make_bundle("20261124T000000Z").path("metrics.json").write_text("{")
    root = hostile.folder.parent
    for folder in root.iterdir():
        (folder / "sha256.txt").write_text("")
    return write_index(root)


def test_nothing_is_asked_for_and_nothing_complains(make_bundle: Make, visit: Visit) -> None:
    path = write_report(make_bundle())
    with visit(path) as seen:
        assert seen.requests == [path.as_uri()] and seen.errors == []


@pytest.mark.parametrize("mode", FOLDERS)
def test_the_tables_hold_the_numbers_of_metrics_json(make_bundle: Make, visit: Visit, mode: str) -> None:
    bundle = make_bundle()
    with visit(write_report(bundle)) as seen:
        cells = seen.page.locator(f"[aria-label='Factors of {mode}']").evaluate(CELLS)
    factors = metrics(bundle, mode)["factors"]
    assert len(cells) == 10
    for (name, row), shown in zip(factors.items(), cells[1:]):
        assert shown[0].startswith(name)
        assert (float(shown[1]), float(shown[2])) == (row["c_value"], row["py_value"])
        assert float(shown[4]) == pytest.approx(row["rel_delta"], rel=1e-6)
        assert shown[5] == row["status"]


@pytest.mark.parametrize("mode", FOLDERS)
def test_the_curves_hold_the_numbers_of_metrics_json(make_bundle: Make, visit: Visit, mode: str) -> None:
    bundle = make_bundle()
    rows = [row for row in metrics(bundle, mode)["per_phi"] if row["name"] == "PHI.F_latt"]
    with visit(write_report(bundle)) as seen:
        figure = seen.page.locator(f"[data-comparison='{mode}'] figure[data-quantity='F_latt']")
        titles = {
            kind: figure.locator(f"circle.{kind} title").all_text_contents() for kind in ("c", "py", "difference")
        }
        box = figure.locator("path.c").bounding_box()
        shapes = [figure.locator(f"path.{kind}").evaluate(PATH) for kind in ("c", "py")]
    for kind, expected in (("c", "c"), ("py", "py")):
        assert [float(title.split(": ")[1]) for title in titles[kind]] == [row[expected] for row in rows]
    shown = [float(title.split(": ")[1]) for title in titles["difference"]]
    assert shown == pytest.approx([row["py"] - row["c"] for row in rows], rel=1e-12)
    assert all(shape.count("L") == 9 for shape in shapes) and box["width"] > 100 and box["height"] > 40
    assert (shapes[0] == shapes[1]) == (mode == "c-parity")


def test_the_attribution_is_drawn_in_proportion(make_bundle: Make, visit: Visit) -> None:
    with visit(write_report(make_bundle())) as seen:
        bars = [bar.bounding_box()["width"] for bar in seen.page.locator(".bar rect").all()]
        assert "odet is taken as given" in seen.page.locator("blockquote").inner_text()
    assert bars[1] / bars[0] == pytest.approx(8.0878e-05 / 2.15666e-03, rel=0.01)


@pytest.mark.parametrize("name", ["report", "index"])
def test_markup_of_others_is_shown_and_not_run(hostile: Bundle, index: Path, visit: Visit, name: str) -> None:
    path = index if name == "index" else write_report_of(hostile)
    with visit(path) as seen:
        assert HOSTILE in seen.page.locator("body").inner_text()
        assert seen.page.locator("img").count() == 0
        assert seen.errors == [] and seen.requests == [path.as_uri()]


def write_report_of(bundle: Bundle) -> Path:
    bundle.path("sha256.txt").unlink()
    return write_report(bundle)


@pytest.mark.parametrize("name", ["report", "index"])
def test_it_fits_a_phone(hostile: Bundle, index: Path, visit: Visit, name: str) -> None:
    path = index if name == "index" else write_report_of(hostile)
    with visit(path, width=390) as seen:
        assert seen.page.evaluate("document.documentElement.scrollWidth") == 390


def test_print_leaves_the_controls_out_and_is_dark_on_white(index: Path, visit: Visit) -> None:
    with visit(index, scheme="dark", media="print") as seen:
        assert not seen.page.locator("#filter").is_visible() and seen.page.locator("#rows").is_visible()
        colors = seen.page.evaluate("(s => [s.backgroundColor, s.color])(getComputedStyle(document.body))")
        assert colors == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"]


def shown(page: Any) -> list[str]:
    return [row.locator("th").inner_text() for row in page.locator("#rows tr:visible").all()]


def test_the_filter_filters(index: Path, visit: Visit) -> None:
    with visit(index) as seen:
        page = seen.page
        assert page.locator("#shown").inner_text() == "5 of 5" and len(shown(page)) == 5
        page.fill("#words", "CUDA supervisor")
        assert shown(page) == ["20261121T000000Z"] and page.locator("#shown").inner_text() == "1 of 5"
        page.fill("#words", "<script>")
        assert shown(page) == ["20261123T200921Z"]
        page.fill("#words", "")
        page.select_option("#verdict", "PASS")
        assert shown(page) == ["20261121T000000Z", "20261120T000000Z"]
        page.select_option("#verdict", "")
        page.check("#regressions")
        assert shown(page) == ["20261122T000000Z"]
        assert seen.errors == []


def test_the_filter_is_worked_by_keyboard_alone(index: Path, visit: Visit) -> None:
    with visit(index) as seen:
        page, focused = seen.page, "document.activeElement.id || document.activeElement.textContent"
        page.keyboard.press("Tab")
        assert page.evaluate(focused) == "To the table" and page.locator(".skip").bounding_box()["x"] >= 0
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate(focused) == "words":
                break
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.type("cuda")
        assert shown(page) == ["20261121T000000Z"]
        page.keyboard.press("Enter")
        assert page.url == index.as_uri() and shown(page) == ["20261121T000000Z"]
        page.keyboard.press("Escape")
        assert len(shown(page)) == 5
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowDown")
        assert page.evaluate(focused) == "verdict" and len(shown(page)) < 5
        page.keyboard.press("Escape")
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        assert page.evaluate(focused) == "regressions" and shown(page) == ["20261122T000000Z"]


@pytest.mark.parametrize("scheme, width", [("light", 1280), ("dark", 390)])
@pytest.mark.parametrize("name", ["report", "index"])
def test_axe_finds_nothing(hostile: Bundle, index: Path, visit: Visit, name: str, scheme: str, width: int) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="no axe check without axe-playwright-python"
    )
    path = index if name == "index" else write_report_of(hostile)
    with visit(path, scheme=scheme, width=width) as seen:
        seen.page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        found = axe.Axe().run(seen.page)
    assert found.response["testEngine"]["name"] == "axe-core" and len(found.response["passes"]) > 15
    assert [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found.response["violations"]] == []


def test_the_check_would_find_what_is_wrong(tmp_path: Path, visit: Visit) -> None:
    """The same look at a page that does it all wrong: a check that cannot fail checks nothing."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="no axe check without axe-playwright-python"
    )
    path = tmp_path / "bad.html"
    path.write_text("<p style='color: #ccc; width: 900px'>faint</p><img src=x.png onerror='alert(1)'>")
    with visit(path, width=390) as seen:
        found = axe.Axe().run(seen.page)
        assert seen.requests == [path.as_uri(), (tmp_path / "x.png").as_uri()]
        assert "dialog 1" in seen.errors and seen.page.evaluate("document.documentElement.scrollWidth") > 390
    assert {"color-contrast", "image-alt"} <= {each["id"] for each in found.response["violations"]}


def test_a_drawing_keeps_its_marks_inside(make_bundle: Make, visit: Visit) -> None:
    with visit(write_report(make_bundle()), width=390) as seen:
        boxes = seen.page.locator("figure svg text").evaluate_all(
            "all => all.map(text => text.getBBox()).map(box => [box.x, box.x + box.width])"
        )
    assert boxes and all(left >= 0 and right <= curves.WIDTH for left, right in boxes)
