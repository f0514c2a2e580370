"""The benchmarks: the page is that of the figures, which keep the limits; the subjects compare what they say."""

import json
import subprocess
import sys
from statistics import median

import pytest

from tools.scaling import cli
from tools.scaling.base.errors import GateFailed
from tools.scaling.base.repo import ROOT
from tools.scaling.base.text import marked, marks
from tools.scaling.studies.bench import canonical, growth, table, works
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
    assert "| one thread against the sines | 3.00 | at most 0.4 |" in text
    assert "| two threads against one | 2.00 times as fast | at least 1.8 |" in text


def test_the_comparison_keeps_its_limits_in_the_published_figures():
    found = published()
    limits = found["limits"]
    assert (limits["comparison_ms"], limits["read_passes"], limits["comparison_mib"]) == (60.0, 8.0, 64.0)
    for candidate in ("rounded", "wrong"):
        group = [turn for turn in found["comparison"] if turn["candidate"] == candidate]
        # the limits in milliseconds are for a machine of a speed of its own; numpy's is of the same machine
        assert median(turn["comparison"] / turn["numpy"] for turn in group) <= 0.75, candidate
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


SMALL = "-cell 70 80 90 90 90 90 -misset 10 20 30 -default_F 100 -lambda 1 -distance 150 -detpixels 8 -pixel 10 -N 5"
# Stands in for the reference: it writes a float image and spends some processor time, with -nonoise less of it.
STANDS_IN = """#!{python}
import pathlib, sys, time
ends = time.process_time() + (0.02 if "-nonoise" in sys.argv else 0.12)
while time.process_time() < ends: pass
pathlib.Path("floatimage.bin").write_bytes(b"\\0\\0\\0\\x40" * 64)
sys.exit("-refuse" in sys.argv and 3)
"""


@pytest.fixture
def stands_in(tmp_path):
    path = tmp_path / "nanoBragg"
    path.write_text(STANDS_IN.format(python=sys.executable))
    path.chmod(0o755)
    return str(path)


def no_sines(count, threads):
    assert threads == 1 and count % 6 == 0


def test_readme_has_the_ratios_of_the_figures():
    assert marked(ROOT / "README.md", "bench") == table.readme_table(published())


def test_a_row_is_measured_in_turns_beside_a_program(stands_in):
    flags = [*SMALL.split(), "-oversample", "2", "-phisteps", "3", "-osc", "1", "-nonoise", "-nopgm"]
    found = table.row(flags, 2, stands_in, no_sines)
    assert found["terms"] == 8 * 8 * 2 * 2 * 3
    assert [len(found[side]) for side in ("reference", "one", "two", "sines")] == [2, 2, 2, 2]
    assert all(0.02 <= processor < 1.0 for _, processor in found["reference"])
    assert all(clock > 0.0 and processor > 0.0 for side in ("one", "two") for clock, processor in found[side])
    assert table.row(flags, 1, "", no_sines)["reference"] == []


def test_noise_is_what_a_run_with_it_takes_more(stands_in):
    found = table.noise(f"{SMALL} -oversample 1 -nopgm".split(), 1, stands_in)
    assert found["mean"] == 2.0  # of the image that the program wrote
    assert found["reference"] == [pytest.approx(0.1 / 64 * 1e6, rel=0.5)]
    assert len(found["port"]) == 1


def test_what_a_program_refuses_is_told_in_one_line(stands_in):
    with pytest.raises(GateFailed, match=r"^bench: the port refuses its flags: .*-detpixels: expected an integer"):
        table.port([*SMALL.split(), "-detpixels", "none"], 1)
    with pytest.raises(GateFailed, match=r"^bench: .*/nanoBragg: exit 3$"):
        table.process([stands_in, "-refuse"])


def test_every_row_has_flags_that_the_port_takes():
    from nanobragg_torch.flags.parse import parse

    rows = works.works()
    assert len(rows) == 13 and next(iter(rows)) == works.CANONICAL
    for flags in rows.values():
        parse(flags, [canonical.INPUTS])
    for axis, flags in growth.AXES.items():
        assert growth.counts(axis)[0] == 1 and 1000 <= growth.counts(axis)[-1] <= 1024
        for count in growth.counts(axis):
            parse(flags(count).split())


def measured():
    times = {"reference": [[9.0, 8.0], [9.0, 4.0], [9.0, 6.0]], "one": [[1.0, 1.0]] * 3, "two": [[0.5, 1.0]] * 3}
    rows = {name: {"terms": 2_500_000, "sines": [4.0] * 3} | times for name in works.works()}
    noises = {name: {"mean": 0.2, "reference": [0.3, 0.1, 0.2], "port": [0.1] * 3} for name in works.NOISES}
    return {"reference": "nanoBragg, sha256 0123", "table_turns": 3, "rows": rows, "noises": noises}


def test_the_table_gives_medians_and_says_where_there_was_no_reference():
    text = "\n".join(table.section(measured()))
    assert f"| {works.CANONICAL} | 2.50 | 6.00 | 1.00 | 6.00 | 15 | 0.25 | 2.00 |" in text
    assert "| 39 sources | 2.50 | 6.00 | 1.00 | 6.00 | 5 | 0.25 | 2.00 |" in text
    assert text.count("| mean of 0.2 counts | 0.200 | 0.100 | 2.00 | 1 |") == 2
    assert "| 39 sources | 6.00 |" in table.readme_table(measured())
    alone = measured() | {"reference": None}
    for found in (*alone["rows"].values(), *alone["noises"].values()):
        found["reference"] = []
    text = "\n".join(table.section(alone))
    assert "| 39 sources | 2.50 | - | 1.00 | - | 5 | 0.25 | 2.00 |" in text and "it was not at hand" in text
    assert table.readme_table({}) == "Not measured."


def test_means_are_told_as_people_write_them():
    found = measured()
    found["noises"]["many counts"]["mean"] = 2001.7
    assert "| noise image, mean of 2,000 counts | 2.00 |" in table.readme_table(found)


def test_the_curves_have_their_slope_in_words_and_a_picture():
    points = [{"count": n, "seconds": [9.0 * n, 2.0 * n, 1.0 * n]} for n in growth.COUNTS]
    steep = [*points[:-1], {"count": 1000, "seconds": [9e4]}]
    curves = {"phi steps": points, "pixels along an edge": points, "sources": steep}
    text = "\n".join(growth.section(curves))
    assert "| phi steps | 1 | 2.0000 | 1000 | 2000.000 | 1.00 | in proportion to their number |" in text
    assert "| 1.00 | more slowly than their square |" in text
    assert "| more steeply than their number |" in text
    assert growth.picture(curves).startswith(b"\x89PNG\r\n")


def test_a_part_alone_makes_its_section_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "_child", lambda *_, **__: [{"count": n, "seconds": [1e-3 * n]} for n in growth.COUNTS])
    monkeypatch.delenv("NB_C_BIN", raising=False)
    page = tmp_path / "README.md"
    begin, end = marks("bench")
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    argv = ["study", "bench", "--part", "growth", "--out", str(tmp_path / "out"), "--page", str(page)]
    assert cli.main(argv) == 0
    text = (tmp_path / "out" / "performance.md").read_text()
    assert "## Growth" in text and "## Simulation" not in text and "## Features" not in text
    assert (tmp_path / "out" / "performance.png").read_bytes().startswith(b"\x89PNG")
    assert page.read_text() == f"before\n{begin}\nNot measured.\n{end}\nafter\n"


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--part", "speed"], 2, "--part speed: expected one of simulation, features, growth, images"),
        (["--page", "absent.md"], 2, "absent.md: expected a Markdown file with the marks <!-- bench: begin -->"),
        (["--binary", "/absent"], 3, "--binary /absent: expected a compiled nanoBragg that can be run, got none"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is(options, code, told, capsys, monkeypatch):
    monkeypatch.setattr(bench, "_child", lambda *_, **__: pytest.fail("measured"))
    assert cli.main(["study", "bench", *options]) == code
    error = capsys.readouterr().err
    assert error.startswith(f"error: {told}") and error.count("\n") == 1


def test_a_child_that_fails_is_one_line():
    with pytest.raises(GateFailed, match=r"^bench: curve: KeyError: 'nothing'$"):
        bench._child("curve", axis="nothing")
