"""The benchmarks: the page is that of the figures, which keep the limits; the subjects compare what they say."""

import json
import subprocess
import sys
from statistics import median

import pytest

from tools.scaling import cli
from tools.scaling.base.repo import ROOT
from tools.scaling.studies.bench import images as bench_images
from tools.scaling.studies.bench import run as bench
from tools.scaling.studies.bench.images import SUBJECTS


def published() -> dict:
    return json.loads((ROOT / "docs" / "results" / "performance.json").read_text(encoding="ascii"))


def test_the_page_is_that_of_its_figures():
    assert (ROOT / "docs" / "results" / "performance.md").read_text(encoding="ascii") == bench.page(published())


def test_the_page_gives_medians_not_the_best_turn():
    found = published()
    found["turns"] = [
        {"threads": threads, "loaded": loaded, "simulation_s": seconds / threads, "floor_s": 1.0,
         "simulation_cpu_s": seconds, "floor_cpu_s": 1.0}
        for seconds in (1.0, 3.0, 9.0) for threads in (1, 2) for loaded in (False, True)
    ]  # fmt: skip
    text = bench.page(found)
    assert "| 1 | no | 3.00 | 1.00 | 3.00 | 1.00 to 9.00 | 3.00 |" in text
    assert "| one thread against the sines | 3.00 | at most 1.5 |" in text
    assert "| two threads against one | 2.00 times as fast | at least 1.8 |" in text


def test_the_comparison_keeps_its_limits_in_the_published_figures():
    found = published()
    limits = found["limits"]
    assert (limits["comparison_ms"], limits["read_passes"], limits["comparison_mib"]) == (60.0, 8.0, 64.0)
    for candidate in ("rounded", "wrong"):
        group = [turn for turn in found["comparison"] if turn["candidate"] == candidate]
        read = median(turn["read"] for turn in group)
        assert median(turn["comparison"] for turn in group) <= max(60.0, 8.0 * read), candidate
    measured = {(x["subject"], x["pixels"]): x["mib"] for x in found["comparison_memory"]}
    assert {name for name, _ in measured} == set(SUBJECTS)
    assert measured["comparison", 2463 * 2527] < 64.0 and measured["comparison", 400_000_000] < 64.0


@pytest.mark.parametrize("candidate", ["rounded", "wrong"])
def test_the_subjects_are_measured_in_turn_on_the_same_files(tmp_path, candidate):
    import torch

    image = torch.rand(30, 40, generator=torch.Generator().manual_seed(1)) + 0.5
    for name, factor in (("c", 1.0), ("rounded", 1.0), ("wrong", 1.001)):
        (image * factor).numpy().tofile(tmp_path / f"{name}.bin")
    turns = bench_images.turns(tmp_path, (30, 40), 2)
    assert [turn["candidate"] for turn in turns] == ["rounded"] * 2 + ["wrong"] * 2
    assert all(turn[name] > 0.0 for turn in turns for name in SUBJECTS[:3])
    subjects = [
        bench_images.subject(name, tmp_path / "c.bin", tmp_path / f"{candidate}.bin", (30, 40))()
        for name in SUBJECTS[:3]
    ]
    assert [float(total) for total in subjects[0]] == pytest.approx(
        [float(image.sum()), float((image * (1.0 if candidate == "rounded" else 1.001)).sum())]
    )
    close, correlation = subjects[1]
    assert (close, correlation[0, 1]) == (candidate == "rounded", pytest.approx(1.0))
    assert subjects[2].passed is (candidate == "rounded")


def test_what_a_subject_needs_is_imported_before_its_memory_is_measured():
    code = (
        "import sys; from pathlib import Path; from tools.scaling.studies.bench.images import subject; "
        "subject('comparison', Path('c'), Path('py'), (1, 1)); "
        "print({'torch', 'tools.scaling.engine.blocks', 'tools.scaling.images.kinds'} - set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_an_interrupted_bench_leaves_the_old_files(monkeypatch, tmp_path):
    for name in ("performance.json", "performance.md"):
        (tmp_path / name).write_text("old")

    def interrupted(kind, *_, **__):
        if kind == "beside":
            raise KeyboardInterrupt
        return [30, 40] if kind == "make" else {"peak_mib": 1.0} if kind == "peak" else []

    monkeypatch.setattr(bench, "_child", interrupted)
    assert cli.main(["study", "bench", "--out", str(tmp_path)]) == 5
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        ("performance.json", "performance.md"), "old"
    )
