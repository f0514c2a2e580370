"""campaign.html as a browser shows it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.scaling.campaign import synthetic
from tools.scaling.campaign.coverage import NAMES
from tools.scaling.campaign.engine.store import read
from tools.scaling.campaign.page import write_campaign_page

Visit = Callable[..., Any]


@pytest.fixture
def campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The page of a store of two campaigns, and the folder of the newer one."""
    monkeypatch.setattr(synthetic, "FLAGS", NAMES[:110])
    synthetic.write(tmp_path, 300, made=300, commit="1" * 40)
    folder = synthetic.write(tmp_path, 600, made=600)
    return write_campaign_page(tmp_path), folder


def test_a_pair_of_flags_is_told_by_list_and_by_pointer(campaign: tuple[Path, Path], visit: Visit) -> None:
    path, folder = campaign
    flags = [set(each.flags) for shard in read(folder) for each in shard.results()]
    first, second = NAMES[3], NAMES[40]
    both = sum({first, second} <= each for each in flags)
    with visit(path) as seen:
        page, told = seen.page, seen.page.locator("#told")
        page.select_option("#one", first)
        page.select_option("#other", second)
        expected = f"{first} with {second}: {both} cases"
        assert told.inner_text().startswith(expected)
        page.select_option("#one", second)
        assert told.inner_text() == f"{second}: {sum(second in each for each in flags)} cases"
        box = page.locator("#map image").bounding_box()
        page.locator("#map image").click(position={at: (place + 0.5) * box["width"] / len(NAMES)
                                                   for at, place in (("x", 40), ("y", 3))})  # fmt: skip
        assert told.inner_text().startswith(expected)
        assert seen.errors == [] and [each for each in seen.requests if not each.startswith("data:")] == [path.as_uri()]


@pytest.mark.parametrize("scheme, width", [("light", 1280), ("dark", 390)])
def test_it_fits_and_axe_finds_nothing(campaign: tuple[Path, Path], visit: Visit, scheme: str, width: int) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="no axe check without axe-playwright-python"
    )
    with visit(campaign[0], scheme=scheme, width=width) as seen:
        assert seen.page.evaluate("document.documentElement.scrollWidth") == width
        seen.page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        found = axe.Axe().run(seen.page)
    assert [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found.response["violations"]] == []
