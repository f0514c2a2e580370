"""What the site's builder is told beside mkdocs.yml: CONTRIBUTING.md is a page, and each public name has one."""

import dataclasses
import inspect
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

import nanobragg_torch

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "docs" / "reference" / "library.md"
log = logging.getLogger("mkdocs.hooks.site")  # a warning fails the strict build


def on_files(files: Files, config: Any) -> Files:
    """The builder's files, with CONTRIBUTING.md, which lies where people look for it."""
    for problem in undocumented():
        log.warning(problem)
    files.append(File.generated(config, "CONTRIBUTING.md", abs_src_path=str(ROOT / "CONTRIBUTING.md")))
    return files


def undocumented() -> Iterator[str]:
    """One line for each public name without a docstring of its own, and for each that the reference page lacks."""
    shown = re.findall(r"^::: nanobragg_torch\.(\w+)$", LIBRARY.read_text(encoding="ascii"), re.MULTILINE)
    for name in nanobragg_torch.__all__:
        public = getattr(nanobragg_torch, name)
        if not (inspect.isclass(public) or inspect.isfunction(public)):
            continue
        if name not in shown:
            yield f"nanobragg_torch.{name}: expected a line '::: nanobragg_torch.{name}' in {LIBRARY.name}, got none"
        text = inspect.cleandoc(public.__doc__ or "")
        if not text or text.startswith(f"{name}("):  # what dataclass writes
            yield f"nanobragg_torch.{name}: expected a docstring, got none"
        for part in _parts(public):
            if not re.search(rf"^ +{part}\b.*:", text, re.MULTILINE):
                yield f"nanobragg_torch.{name}: expected a line about {part} in its docstring, got none"
        if inspect.isclass(public):
            for part, member in vars(public).items():
                if not part.startswith("_") and callable(getattr(member, "fget", member)) and not member.__doc__:
                    yield f"nanobragg_torch.{name}.{part}: expected a docstring, got none"


def _parts(public: Any) -> list[str]:
    """What a docstring has to speak of: the fields of a record, the parameters of a function or class."""
    if dataclasses.is_dataclass(public):
        return [field.name for field in dataclasses.fields(public)]
    if inspect.isclass(public) and issubclass(public, Exception):
        return []
    return list(inspect.signature(public).parameters)
