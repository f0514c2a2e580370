"""Bundles for the pages: the reference's canonical trace against copies of it with lines exchanged."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.scaling.page.bundles import EXPLAINED, FOLDERS, GOLDEN, RECORDS, SWAPS, port_trace
from tools.scaling.base.files import write_json, write_text
from tools.scaling.bundle.bundle import Bundle
from tools.scaling.bundle.layout import CommandRecord
from tools.scaling.traces.compare import compare
from tools.scaling.traces.read import parse_trace


@cache
def compared(swaps: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """metrics.json of the reference against a copy with these values exchanged."""
    reference = GOLDEN.read_bytes()
    return compare(parse_trace(reference, "c.log"), port_trace(reference, dict(swaps))).metrics()


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Bundle]:
    """An open bundle of three comparisons. `make_bundle(stamp, legacy={"polar": "0.9"}, env={...})`."""

    def make(
        stamp: str = "20261123T200921Z",
        env: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        root: Path | None = None,
        **swaps: Mapping[str, str],
    ) -> Bundle:
        folder = (root or tmp_path / "bundles") / stamp
        folder.mkdir(parents=True)
        bundle = Bundle(folder)
        given = {"case": "supervisor", "pixel": [685, 1039], "device": "cpu", "dtype": "float64"} | dict(settings or {})
        bundle.write_provenance({"timestamp": stamp, "git_sha": "c0ffee" * 6 + "0000", "settings": given})
        write_json(
            bundle.path("env.json"), {"torch": "2.13.0", "blas": ["mkl", "torch"], "cuda": None} | dict(env or {})
        )
        for mode, place in FOLDERS.items():
            bundle.path(place).mkdir(exist_ok=True)
            key = mode.replace("-", "_")
            found = compared(tuple(swaps.get(key, SWAPS[mode]).items()))
            write_json(bundle.path(place) / "metrics.json", found)
            write_text(bundle.path(place) / "scaling_validation_summary.md", "# Scaling comparison\n")
        write_json(bundle.path("legacy/explain.json"), EXPLAINED)
        for record in RECORDS:
            text = {name: getattr(record, name).replace("{stamp}", stamp) for name in ("command", "stdout")}
            bundle.record(CommandRecord(**vars(record) | text))
        return bundle

    return make
