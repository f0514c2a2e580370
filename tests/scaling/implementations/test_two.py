"""Two implementations: the matrix, versus, compare, images and phase-m1 between stand-ins, our port and golden data."""

import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from tools.scaling import cli
from tools.scaling.base.repo import ROOT
from tools.scaling.cases.case import find_case
from tools.scaling.images.versus import flags_case
from tools.scaling.implementations.describe import PORT, RECORDED, find_implementation, of_command
from tools.scaling.implementations.difference import diagnose_difference
from tools.scaling.implementations.make import BY_DEFAULT, Computing, maker
from tools.scaling.matrix.judge import MatrixOutcome
from tools.scaling.matrix.run import run_case, run_matrix
from tools.scaling.traces.read import parse_trace
from tools.scaling.traces.text import trace_text

CASE = "images_low_counts"  # 40 x 40 pixels, one traced
# Copies what the golden run recorded; WORDS says what goes wrong on the way.
STAND_IN = """
import os, pathlib, sys, time
folder, words, argv = pathlib.Path({folder!r}), {words!r}, sys.argv[1:]
if words == "crash":
    os.abort()
if words == "hang":
    time.sleep(600)
if words == "nothing":
    sys.exit(0)
image = bytearray((folder / "float.bin").read_bytes())
if words == "wrong":
    image[-2] ^= 0x40
if words == "short":
    image = image[4:]
pathlib.Path(argv[argv.index("-floatfile") + 1]).write_bytes(image)
if "-trace_pixel" in argv and words != "mute":
    slow, fast = argv[argv.index("-trace_pixel") + 1 :][:2]
    text = (folder / f"trace_{{slow}}_{{fast}}.log").read_text()
    print(text.replace("TRACE_C", "MINE"), end="")
"""


@pytest.fixture
def program(tmp_path: Path):
    """Writes the TOML of a stand-in and gives its path."""

    def made(name: str, words: str = "", *, more: str = "", traced: bool = False) -> str:
        script = tmp_path / f"{name}.py"
        script.write_text(STAND_IN.format(folder=str(ROOT / "tests" / "golden" / CASE), words=words))
        path = tmp_path / f"{name}.toml"
        path.write_text(
            f'name = "{name}"\n[run]\n'
            f'command = ["{{python}}", "{{here}}/{name}.py", "{{flags}}", "-floatfile", "{{out}}"]\n'
            f"timeout_s = 20\n{more}\n"
            + ('[trace]\nflags = ["-trace_pixel", "{slow}", "{fast}"]\nprefix = "MINE"\n' if traced else "")
        )
        return str(path)

    return made


@pytest.fixture
def call(capsys):
    """Runs a subcommand: its exit code, what it printed, its errors."""

    def called(*words: str) -> Called:
        code = cli.main(list(words))
        return Called(code, *capsys.readouterr())

    return called


class Called(NamedTuple):
    code: int
    out: str
    err: str


def cases_of(*candidates: str, reference: str = "golden"):
    chosen = [find_implementation(name) for name in candidates]
    return run_case(find_case(CASE), chosen, find_implementation(reference))


def test_each_fault_of_a_candidate_is_one_line_and_the_others_go_on(program) -> None:
    names = ("crash", "nothing", "wrong", "short")
    *faulty, good = cases_of(*(program(name, name) for name in names), program("good"))
    assert [case.outcome for case in faulty] == [MatrixOutcome.FAIL] * 4
    assert good.outcome is MatrixOutcome.PASS
    assert (good.image.pixels, good.image.unequal, good.numbers) == (1600, 0, 0)
    crash, nothing, wrong, short = (case.problems for case in faulty)
    assert crash == ("crash: crashed with SIGABRT, expected a run to its end",)
    assert nothing == ("nothing: expected a float image float.bin of 40 x 40 float32, 6400 bytes, got none",)
    assert short == ("short: expected a float image float.bin of 40 x 40 float32, 6400 bytes, got 6396 bytes",)
    assert faulty[2].image.unequal == 1
    assert any("expected at most 0 off by more than 1e-06 relative, got 1; pixel 39 39" in line for line in wrong)


def test_a_candidate_that_hangs_is_waited_for_once_and_ended(program) -> None:
    path = Path(program("hang", "hang", traced=True))
    path.write_text(path.read_text().replace("timeout_s = 20", "timeout_s = 1"))
    (case,) = cases_of(str(path))
    (slow, fast) = find_case(CASE).pixels[0]
    assert case.problems == (f"hang: on pixel {slow} {fast}: still running after 1 s; stopped",)
    assert not [
        each for each in psutil.process_iter(["cmdline"]) if f"{path.parent}/hang.py" in (each.info["cmdline"] or ())
    ]


def test_a_flag_that_is_lacking_skips_the_case_and_a_run_of_skips_is_no_pass(call, program, tmp_path: Path) -> None:
    poor = program("poor", more='[flags]\nlacks = ["-lambda"]')
    (matrix,) = run_matrix([find_case(CASE)], candidates=[find_implementation(poor)])
    assert matrix.cases[0].outcome is MatrixOutcome.SKIPPED
    assert matrix.cases[0].skipped == "poor lacks -lambda"
    done = call("matrix", CASE, "--candidate", poor, "--out", str(tmp_path / "out"))
    assert done.code == 1
    assert "every case was skipped, nothing was compared" in done.err
    assert "SKIPPED: poor lacks -lambda" in (tmp_path / "out" / "matrix.md").read_text()


def test_a_trace_under_another_prefix_is_compared_and_what_one_side_alone_has_is_unknown(program) -> None:
    (case,) = cases_of(program("traced", traced=True))
    assert case.outcome is MatrixOutcome.PASS
    assert case.numbers == 183
    (live,) = cases_of("port", reference=program("traced", traced=True))
    assert live.outcome is MatrixOutcome.PASS
    assert live.numbers == 183


def test_a_program_that_says_it_traces_and_prints_none_fails(program) -> None:
    (case,) = cases_of(program("mute", "mute", traced=True))
    assert case.outcome is MatrixOutcome.FAIL
    assert any(line.startswith("mute: expected lines that begin with") for line in case.problems)
    assert case.image.unequal == 0


def test_one_page_for_several_candidates_says_what_changed(call, program, tmp_path: Path) -> None:
    good, bad, out = program("good"), program("bad", "wrong"), tmp_path / "out"
    done = call("matrix", CASE, "--candidate", good, "--candidate", bad, "--out", str(out))
    assert done.code == 1
    assert "bad: 1 of 1 cases fail: images_low_counts" in done.err
    page = (out / "matrix.md").read_text()
    assert "| case | good: outcome | good: worst deviation | good: pixels off | good: s | bad: outcome" in page
    assert re.search(r"\| images_low_counts \| PASS \| 0 \| 0 \| [\d.]+ \| FAIL \| \S+ of the maximum \| 1 \|", page)
    assert "Changed since" not in page
    assert "- bad: images_low_counts: diagnosis: None of " in page
    record = json.loads((out / "matrix.json").read_text())
    assert [each["candidate"] for each in record["matrices"]] == ["good", "bad"]
    (tmp_path / "bad.py").write_text((tmp_path / "good.py").read_text())
    assert call("matrix", CASE, "--candidate", good, "--candidate", bad, "--out", str(out)).code == 0
    page = (out / "matrix.md").read_text()
    assert "- bad, images_low_counts: outcome was FAIL, is PASS; pixels off was 1, is 0" in page
    assert "- good, images_low_counts" not in page


def test_two_implementations_of_one_name_are_refused(call, program, tmp_path: Path) -> None:
    one = program("same")
    done = call("matrix", CASE, "--candidate", one, "--reference", one)
    assert done.code == 2
    assert "same: expected implementations of different names, got two" in done.err


def test_versus_compares_two_programs_on_bare_flags(call, program, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(ROOT / "tests" / "golden" / "inputs")
    flags = find_case(CASE).flags
    right, wrong = program("right"), program("wrong", "wrong")
    out = tmp_path / "versus"
    done = call("versus", "--reference", right, "--candidate", wrong, "--gate", "--out", str(out), "--", *flags)
    assert done.code == 1
    assert "reference right, candidate wrong" in done.out
    assert re.search(r"^wrong  +float32: ", done.out, re.MULTILINE) and not re.search("^port ", done.out, re.MULTILINE)
    assert "diagnosis           None of " in done.out and "1 of 1600 pixels of which differ from our port's" in done.out
    assert "FAIL: 1 of 1600 pixels not bitwise equal, 1 beyond the limits" in done.out
    assert "traces: not compared, a program of the two prints none" in done.out
    assert {"images.md", "images.json", "image.json", "triptych.png"} <= {path.name for path in out.iterdir()}
    record = json.loads((out / "image.json").read_text())
    assert (record["reference"], record["candidate"]) == ("right", "wrong")


def test_versus_names_the_cause_where_a_program_prints_no_trace(call, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    flags = (
        "-cell 30 40 50 80 95 105 -default_F 100 -lambda 1.1 -N 5 -distance 100 -detpixels 24 -pixel 2 -phi 0 -osc 1"
    )
    line = f"{sys.executable} -m nanobragg_torch {{flags}} -phisteps 3 -floatfile {{out}} --phi-mode spec"
    other = ("--candidate-command", line, "--reference", "port")
    record = call("versus", *other, "--out", str(tmp_path / "out"), "--json", "--", *flags.split(), "-phisteps", "3")
    sentence = "The candidate is as ours with Q29 off (every step is rotated): 0 of 576 pixels left"
    images = json.loads(record.out)["images"]
    assert images["names"] == ["port", "candidate"] and images["diagnosis"]["sentence"].startswith(sentence)
    assert json.loads((tmp_path / "out" / "images.json").read_text()) == images
    assert sentence in (tmp_path / "out" / "images.md").read_text()
    case = flags_case([*flags.split(), "-phisteps", "3"])
    made = maker(PORT, case, BY_DEFAULT).image(), maker(PORT, case, Computing(options=("--phi-mode", "spec"))).image()
    other = of_command(line, "reference")
    assert other.title.startswith(f"reference ({sys.executable} -m nanobragg_torch '{{flags}}' -phisteps 3 ")
    told = diagnose_difference(case, (other, PORT), made[::-1], ("--mode", "bl831-main")).sentence
    assert told.startswith("The reference is as ours (--mode bl831-main) with Q29 off")
    told = diagnose_difference(case, (other, RECORDED), made[::-1]).sentence
    assert told.startswith("The candidate is as our port: 0 of 576 pixels left. The reference is as ours with Q29 off")


def test_compare_and_images_make_what_two_names_say(call, program, tmp_path: Path) -> None:
    mine = program("mine", traced=True)
    out = tmp_path / "summary.md"
    done = call("compare", "--candidate", mine, "--case", CASE, "--out", str(out), "--gate")
    assert (done.code, "first_divergence: none (num_divergent 0)" in done.out) == (0, True)
    assert (tmp_path / "trace_candidate.log").read_text().count("TRACE_PY: ") > 50
    done = call("images", "--candidate", mine, "--case", CASE, "--gate")
    assert (done.code, done.out.splitlines()[-1]) == (
        0, "PASS: 0 of 1600 pixels not bitwise equal, 0 beyond the limits",
    )  # fmt: skip


def test_a_trace_that_is_written_anew_holds_every_number() -> None:
    case = find_case("phi_zero_carryover_mosaic")
    pixel = case.pixels[0]
    trace = maker(PORT, case, BY_DEFAULT).trace(pixel)
    again = parse_trace(trace_text(trace, "TRACE_PY", pixel).encode(), source="again")
    assert again.pixel == trace.pixel
    assert [(r.name, r.values, r.text) for r in again.records if r.values] == [
        (r.name, r.values, r.text) for r in trace.records if r.values
    ]
    assert [(r.phi_tic, r.values) for r in again.phi_rows] == [(r.phi_tic, r.values) for r in trace.phi_rows]
    assert maker(RECORDED, case, BY_DEFAULT).image().pixels.shape == maker(PORT, case, BY_DEFAULT).image().pixels.shape


def test_the_port_follows_the_mode_that_is_named(call, tmp_path: Path) -> None:
    texts = []
    for words in (["--mode", "bl831-phi0-fix"], ["--phi-mode", "spec"], ["--mode", "golden"], []):
        out = tmp_path / "trace.log"
        assert call("harness", "--case", "phi_crosses_zero", *words, "--out", str(out)).code == 0
        texts.append(out.read_text())
    assert texts[0] == texts[1] != texts[2] == texts[3]
    done = call("phase-m1", "--mode", "bl831-phi1-fix", "--reports-root", str(tmp_path / "r"))
    assert (done.code, (tmp_path / "r").exists()) == (2, False)
    assert done.out.startswith("BLOCKED provenance: --mode: expected c-parity, spec, golden, ")


def test_an_image_and_its_explanation_follow_the_mode_too(call, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("--case", "phi_crosses_zero", "--out", str(out))
    done = call("simulate", *words, "--mode", "bl831-phi0-fix")
    assert (done.code, done.out.splitlines()[-1]) == (
        1, "FAIL: 1600 of 1600 pixels not bitwise equal, 1600 beyond the limits",
    )  # fmt: skip
    assert "simulate --case phi_crosses_zero --extent window --mode bl831-phi0-fix" in (out / "images.md").read_text()
    traces = [tmp_path / name for name in ("fresh.log", "stale.log")]
    for path, mode in zip(traces, ("bl831-phi0-fix", "golden")):
        assert call("harness", "--case", "phi_crosses_zero", "--mode", mode, "--out", str(path)).code == 0
    words = ("--c", str(traces[0]), "--py", str(traces[1]), "--case", "phi_crosses_zero")
    told = [call("explain", *words, *mode).out for mode in (("--mode", "bl831-phi0-fix"), ())]
    assert ["what its rule makes of its own inputs, and the reference's is not" in text for text in told] == [
        False,
        True,
    ]
    assert call("explain", *words[:4], "--mode", "golden").err.startswith("error: explain: expected --case CASE beside")


@pytest.mark.slow
@pytest.mark.parametrize(("words", "traced"), [("", True), ("", False), ("wrong", False)])
def test_phase_m1_between_two_programs(call, program, tmp_path: Path, words: str, traced: bool) -> None:
    root, path = tmp_path / "reports", program("theirs", words, traced=traced)
    line = f"{sys.executable} {path.removesuffix('theirs.toml')}right.py {{flags}} -floatfile {{out}}"
    reference = ["--reference", "golden"] if traced else ["--reference-command", line]
    program("right")
    done = call("phase-m1", "--candidate", path, *reference, "--case", CASE, "--no-stage", "--reports-root", str(root))
    (bundle,) = root.iterdir()
    known = json.loads((bundle / "provenance.json").read_text())
    assert known["implementations"]["candidate"]["name"] == "theirs"
    assert known["implementations"]["reference"]["name"] == ("golden" if traced else "reference")
    assert known["implementations"]["modes"] == (["c-parity"] if traced else [])
    assert (bundle / "metrics.json").is_file() == traced
    assert json.loads((bundle / "image" / "images.json").read_text())["passed"] == (not words)
    page = (bundle / "report.html").read_text()
    assert "Candidate program" in page and ("Diagnosis" in page) == bool(words)
    assert call("verify", str(bundle)).code == 0
    rows = json.loads(call("history", "--reports-root", str(root), "--json").out)["rows"]
    assert rows[0]["verdict"] == ("BLOCKED" if words else "PASS")
    assert done.code == (1 if words else 0)
    assert done.out.splitlines()[-1].startswith("BLOCKED comparison: check: images: " if words else "PASS: ")
    assert (" known causes makes the candidate's image, " in done.out.splitlines()[-1]) == bool(words)
