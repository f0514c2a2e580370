"""The documentation: what the site's builder refuses, and that every path which a page names is there."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import nanobragg_torch
from tools.scaling.base.repo import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
NOT_YET = re.compile("scaling_validation/|reports/campaign|NAME")  # what a run writes, and what a reader makes
FOLDERS = "src|tools|tests|docs|reports|plans|scripts"


@pytest.fixture
def hook() -> ModuleType:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed")
    spec = importlib.util.spec_from_file_location("site_hook", ROOT / "docs" / "site_hook.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_public_name_is_documented(hook: ModuleType) -> None:
    assert list(hook.undocumented()) == []


def test_what_is_not_documented_is_told(hook: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nanobragg_torch.Roi, "__doc__", "Roi(fast_min: int, ...)")
    monkeypatch.setattr(nanobragg_torch.simulate, "__doc__", nanobragg_torch.simulate.__doc__.replace("whole:", ""))
    monkeypatch.setattr(nanobragg_torch, "__all__", ["Roi", "simulate", "find"])
    monkeypatch.setattr(nanobragg_torch, "find", lambda: None, raising=False)
    lines = list(hook.undocumented())
    assert "nanobragg_torch.Roi: expected a docstring, got none" in lines
    assert "nanobragg_torch.Roi: expected a line about slow_max in its docstring, got none" in lines
    assert "nanobragg_torch.simulate: expected a line about whole in its docstring, got none" in lines
    assert "nanobragg_torch.find: expected a line '::: nanobragg_torch.find' in library.md, got none" in lines


def test_a_dead_link_a_dead_anchor_and_a_missing_name_fail_the_build(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed")
    for name in ("docs", "src"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("mkdocs.yml", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, tmp_path)
    page = tmp_path / "docs" / "index.md"
    page.write_text(page.read_text() + "\n[a](gone.md) [b](bugs/quirks.md#gone) [c](#nowhere)\n")
    library = tmp_path / "docs" / "reference" / "library.md"
    library.write_text(library.read_text().replace("::: nanobragg_torch.trace_pixel\n", ""))
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict"],
        cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, check=False,
    )  # fmt: skip
    assert built.returncode == 1
    for told in ("'gone.md'", "'bugs/quirks.md#gone'", "'#nowhere'", "nanobragg_torch.trace_pixel: expected a line"):
        assert told in built.stderr
    assert built.stderr.count("WARNING") == 4


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_map_has_every_room(page: str) -> None:
    text = (ROOT / page).read_text(encoding="ascii").partition("## The map\n")[2].partition("\n## ")[0]
    for program in ("src/nanobragg_torch", "tools/scaling"):
        rooms = {path.parent.name for path in (ROOT / program).glob("*/__init__.py")}
        assert rooms and {room for room in rooms if f"{room}/" not in text} == set(), program


def test_every_path_that_a_page_names_is_there() -> None:
    named = {
        (page.name, path)
        for page in PAGES
        for path in re.findall(rf"(?<![\w/.])((?:{FOLDERS})/[\w./-]*[\w/])(?![\w*])", page.read_text(encoding="ascii"))
    }
    assert len(named) > 60
    assert (
        sorted(f"{page}: {path}" for page, path in named if not (ROOT / path).exists() and not NOT_YET.search(path))
        == []
    )
