"""What pyproject.toml declares is what the sources import, no more and no less."""

import ast
import re
import sys
import tomllib
from pathlib import Path

from tools.scaling.base.repo import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
GROUPS = PROJECT["dependency-groups"]
DISTRIBUTIONS = {"google": "protobuf"}  # of modules that are named otherwise
BELOW_NUMBA = {"llvmlite"}  # the one package whose version goes with numba's
OURS = {"nanobragg_torch", "tools"}


def imported(folder: Path) -> set[str]:
    """The distributions whose modules the Python files below `folder` import, wherever in the file they do."""
    modules: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules.add(str(node.module).partition(".")[0])
    return {DISTRIBUTIONS.get(name, name.replace("_", "-")) for name in modules - OURS - sys.stdlib_module_names}


def names(needs: list[str]) -> set[str]:
    return {re.split(r"[\[<>=]", need)[0].lower() for need in needs}


def test_the_wheel_needs_what_the_port_imports_and_nothing_else() -> None:
    needed = imported(ROOT / "src") - {"triton"}  # which a torch for GPUs brings, and without which none is used
    assert names(PROJECT["project"]["dependencies"]) == needed == {"numba", "numpy", "psutil", "torch"}
    assert "optional-dependencies" not in PROJECT["project"]


def test_the_groups_of_the_tools_are_what_the_tools_import() -> None:
    beside_the_port = imported(ROOT / "tools") - names(PROJECT["project"]["dependencies"])
    assert beside_the_port == names(GROUPS["tools"] + GROUPS["campaign"] + GROUPS["signing"]) | {"matplotlib", "pytest"}


def test_every_dependency_has_a_lower_bound_and_a_version_that_was_tested() -> None:
    declared = [*PROJECT["project"]["dependencies"], *(need for group in GROUPS.values() for need in group)]
    assert [need for need in declared if not re.search(r">=\d", need)] == []
    constraints = (ROOT / "constraints.txt").read_text(encoding="ascii")
    assert names(declared) | BELOW_NUMBA == names(re.findall(r"^[^#\s].*", constraints, re.MULTILINE))
