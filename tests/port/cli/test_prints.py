"""What the command line says: usage, help, version, -show_config, -printout, -progress, and whose file is whose."""

import io
import os
import pty
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
from golden_cases import INPUTS, parse_log

from nanobragg_torch.cli.main import main
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.flags.table import TABLE
from nanobragg_torch.flags.usage import EXAMPLE
from nanobragg_torch.io.load import loaded
from nanobragg_torch.products.printout import printed
from nanobragg_torch.scan.experiment import prepare
from nanobragg_torch.scan.simulate import start

SMALL = "-cell 50 60 70 80 90 100 -default_F 10 -lambda 1 -N 4 -distance 100 -detpixels_x 6 -detpixels_y 5 -pixel 2"
ALONE = "-oversample 1 -nonoise -nopgm"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


COMPILED = "nanobragg_torch: functions are compiled, once on this machine: this takes some seconds\n"


def files() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path().iterdir() if path.is_file()}


def test_without_arguments_an_example_that_can_be_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"    {EXAMPLE}\n" in err
    python, dash_m, module, *flags = shlex.split(EXAMPLE.replace("\\\n", ""))
    assert (python, dash_m, module) == ("python", "-m", "nanobragg_torch")
    assert main(flags) == 0
    assert capsys.readouterr().err in ("", COMPILED)
    assert main(flags) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert files().keys() == {"floatimage.bin", "intimage.img", "image.pgm", "noiseimage.img"}
    assert float(re.search(r"^max_I = (\S+)", out, re.M)[1]) > 1000  # type: ignore[index]


def test_the_help_lines_up_and_its_defaults_are_true(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert EXAMPLE in text
    assert max(map(len, text.splitlines())) <= 118
    rows = [line for line in text.partition("crystal:\n")[2].splitlines() if line.startswith(" ")]
    assert len(rows) > len(TABLE)
    assert all(line[34:36] == "  " and line[36] != " " for line in rows)
    base = ["-cell", "74", "74", "36", "90", "90", "90", "-default_F", "10", "-seed", "1"]
    plain, checked = parse(base), 0
    for flag in TABLE:
        if flag.default and not flag.default.startswith("["):
            name = flag.names.split()[0]
            rest = base if name != "-default_F" else [*base[:7], "-hkl", str(INPUTS / "one.hkl"), *base[9:]]
            usual = plain if rest is base else parse(rest)
            found = parse([*rest, name, *flag.default.split()])
            assert (found.crystal, found.detector, found.beam, found.scan, found.structure, found.sampling) == (
                usual.crystal, usual.detector, usual.beam, usual.scan, usual.structure, usual.sampling,
            ), name  # fmt: skip
            assert (found.output, found.quirks.off, found.water_m, found.dmin_m) == (
                usual.output, usual.quirks.off, usual.water_m, usual.dmin_m,
            ), name  # fmt: skip
            checked += 1
    assert checked > 25


@pytest.mark.parametrize("flag", ["-version", "--version"])
def test_version(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([flag]) == 0
    line = rf"nanobragg_torch \S.*, port of nanoBragg.c as of hoidn/nanoBragg 22f3ae43 \(2025-10-10\); torch {re.escape(torch.__version__)}\n"  # noqa: E501
    assert re.fullmatch(line, capsys.readouterr().out)
    assert files() == {}


@pytest.mark.parametrize("flag", ["-show_config", "-echo_config"])
def test_show_config_has_what_is_in_use_with_units(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = "-phi 10 -osc 1 -divergence 2 -hdivsteps 2 -xtalsize 0.0001 -xds -oversample 1"
    assert main([*SMALL.split(), *given.split(), "-nonoise", "-nopgm", flag]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("simulation in use:")
    rows = [line for line in lines[at + 1 :] if re.match(r"  [a-z]+\.", line)]
    shown = dict(re.split(r"  +", row.strip(), maxsplit=1) for row in rows)
    expected = {
        "crystal.cell.a": "50 A", "crystal.cell.gamma": "100.0001472 deg", "crystal.cells": "20 17 15",
        "detector.distance": "0.1 m", "detector.pixel": "0.002 m", "detector.x_beam": "0.006 m",
        "detector.fdet_vector": "1 0 0", "detector.orgx": "3.5 pixels", "beam.wavelength": "1e-10 m",
        "beam.fluence": "1.259320153e+29 photons/m^2", "beam.horizontal.width": "0.002 rad",
        "scan.phi_start": "10 deg", "scan.phi_step": "0.5 deg", "scan.phi_steps": "2", "sampling.oversample": "1",
        "output.float_file": "floatimage.bin",
    }  # fmt: skip
    assert {name: shown[name] for name in expected} == expected
    assert "floatimage.bin" in files()  # it goes on


def test_printout_prints_the_last_term_of_every_pixel(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL.split(), *ALONE.split(), "-trace_pixel", "2", "3", "-printout"]) == 0
    out = capsys.readouterr().out
    rows = {row.name: row.values for row in parse_log(out, "TRACE_PY")}
    blocks = re.split(r"(?m)^(?=  +\d+ +\d+ : stol)", out)[1:]
    assert [tuple(map(int, block.split()[:2])) for block in blocks] == [(f, s) for s in range(5) for f in range(6)]
    block = blocks[2 * 6 + 3]
    lines = block.splitlines()
    assert re.fullmatch(r"   3    2 : stol = \S+ or \S+", lines[0])
    first, second = (float(word) for word in lines[0].split()[-3::2])
    assert first == pytest.approx(1e10 * second, rel=1e-5)
    assert second == pytest.approx(0.5e-10 * sum(x * x for x in rows["scattering_vec_A_inv"]) ** 0.5, rel=1e-5)
    assert lines[1] == "at " + " ".join(f"{x:g}" for x in rows["pixel_pos_meters"])
    h, k, l = rows["hkl_frac"]  # noqa: E741
    assert lines[2] == f"hkl= {h:f} {k:f} {l:f}  hkl0= " + " ".join(f"{x:g}" for x in rows["hkl_rounded"])
    total = rows["I_before_scaling"][0]
    assert lines[3] == f" F_cell=10  F_latt={rows['F_latt'][0]:g}   I = {total:g}"
    named = ("polar", "omega_pixel", "capture_fraction", "floatimage_accumulated")
    values = [total / rows["steps"][0], *(rows[name][0] for name in named)]
    labels = ("I/steps", "polar  ", "omega  ", "capfrac", "pixel  ")
    assert lines[4:9] == [f"{label} {value:15.10g}" for label, value in zip(labels, values)]
    assert lines[9:11] == ["real-space cell vectors (Angstrom):", "     a           b           c         "]
    axes = [rows[f"rot_{name}_angstroms"] for name in "abc"]
    assert lines[11:14] == [f"{'XYZ'[i]}: " + " ".join(f"{axis[i]:11.8f}" for axis in axes) for i in range(3)]


def test_printout_of_one_pixel_and_of_the_last_term() -> None:
    flags = f"{SMALL} -phi 3 -osc 2 -phisteps 2 -mosaic 1 -mosaic_dom 3 -oversample 2 -mosaic_seed 5"
    run = start(prepare(loaded(parse(flags.split())), device="cpu", dtype=torch.float64))
    every = "".join(printed(run))
    alone = "".join(printed(run, (2, 3)))
    assert alone in every
    assert alone.startswith("   3    2 : ")
    assert alone.count("\n") == 14
    a, b, c = run.exp.orientations.block(5, 6)  # the last step and domain
    xyz = re.findall(r"^[XYZ]: +(\S+) +(\S+) +(\S+)$", alone, re.M)
    assert xyz == [tuple(f"{1e10 * float(v[0, i]):.8f}" for v in (a, b, c)) for i in range(3)]


def test_printout_pixel_is_fast_slow_and_below_0_every_one(capsys: pytest.CaptureFixture[str]) -> None:
    base = [*SMALL.split(), *ALONE.split()]
    assert main([*base, "-printout_pixel", "5", "1"]) == 0
    assert re.findall(r"^ +\d+ +\d+ : stol", capsys.readouterr().out, re.M) == ["   5    1 : stol"]
    assert main([*base, "-printout_pixel", "-1", "1"]) == 0
    assert capsys.readouterr().out.count(" : stol = ") == 30
    assert main([*base, "-printout_pixel", "6", "1"]) == 2
    expected = "nanobragg_torch: pixel slow 1, fast 6: expected one that is rendered, slow 0..4, fast 0..5\n"
    assert capsys.readouterr().err.endswith(expected)


@pytest.mark.parametrize(("flags", "looks"), [("", True), ("-progress", True), ("-noprogress", False)])
def test_a_bar_for_who_looks_and_for_nobody_else(flags: str, looks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    argv = [*SMALL.split(), "-nonoise", "-nopgm", *flags.split()]
    reader, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        assert main(argv) == 0
        print("over", file=stream, flush=True)
        shown = ""
        while "over" not in shown:
            shown += os.read(reader, 2**16).decode()
    os.close(reader)
    assert ("  0 % [" in shown) is looks
    assert shown.endswith(("\r\x1b[K" if looks else "") + "over\r\n")  # nothing stays
    monkeypatch.setattr(sys, "stderr", text := io.StringIO())
    assert main(argv) == 0
    assert text.getvalue() == ""


def test_dump_names_the_cache_both_ways(capsys: pytest.CaptureFixture[str]) -> None:
    note = (
        "nanobragg_torch: warning: -dump: names the cache in the place of Fdump.bin; the reference of the golden cases"
        " ignores it (Q61)\n"
    )
    flags = f"{SMALL} {ALONE}".replace("-default_F 10", "")
    Path("Fdump.bin").write_bytes(b"of somebody else")
    for mode in ("", "--mode spec", "--mode bl831-main"):
        assert main([*flags.split(), "-hkl", str(INPUTS / "p1.hkl"), "-dump", "cache", *mode.split()]) == 0
        first, err = files(), capsys.readouterr().err
        assert (note in err) is ("bl831" not in mode)
        assert main([*flags.split(), "-dump", "cache", *mode.split(), "-intfile", "i", "-floatfile", "f"]) == 0
        assert Path("f").read_bytes() == first["floatimage.bin"]
        assert (Path("cache").read_bytes(), Path("Fdump.bin").read_bytes()) == (first["cache"], b"of somebody else")
        capsys.readouterr()
    assert main([*flags.split(), "-dump", "none"]) == 2
    line = "nanobragg_torch: -dump none: expected a file, or -hkl to make it of, found neither\n"
    assert capsys.readouterr().err == line
    assert main([*flags.split(), "-dump", "none", "-default_F", "3"]) == 0
    assert "-dump none: there is no such file, nor -hkl to make it of: -default_F is used\n" in capsys.readouterr().err
    assert main([*flags.split(), "-dump", "none", "-default_F", "3", "--mode", "spec"]) == 2
    assert capsys.readouterr().err.endswith(line)


def test_an_output_is_neither_an_input_nor_another_output(capsys: pytest.CaptureFixture[str]) -> None:
    Path("one.hkl").write_text("0 0 0 10\n")
    Path("A.mat").write_text((INPUTS / "A.mat").read_text())
    Path("sources").write_text("-10 0 0 1 1e-10\n")
    Path("link").symlink_to("one.hkl")
    Path("hard").hardlink_to("one.hkl")
    Path("dangling").symlink_to("new")
    Path("folder").symlink_to(".")
    assert main([*SMALL.split(), *ALONE.split(), "-hkl", "one.hkl", "-dump", "cache"]) == 0
    capsys.readouterr()
    before = files()
    own, absolute = "expected a file of its own, got that", Path("one.hkl").resolve()
    for flags, line in (
        ("-hkl one.hkl -floatfile one.hkl", f"-floatfile one.hkl: {own} which -hkl reads"),
        ("-hkl one.hkl -intfile ./one.hkl", f"-intfile one.hkl: {own} which -hkl reads"),
        (f"-hkl one.hkl -pgmfile {absolute}", f"-pgmfile {absolute}: {own} which -hkl reads"),
        ("-hkl one.hkl -noisefile link", f"-noisefile link: {own} which -hkl reads"),
        ("-hkl link -floatfile hard", f"-floatfile hard: {own} which -hkl reads"),
        ("-hkl one.hkl -floatfile folder/one.hkl", f"-floatfile folder/one.hkl: {own} which -hkl reads"),
        ("-matrix A.mat -floatfile A.mat", f"-floatfile A.mat: {own} which -matrix reads"),
        ("-sourcefile sources -floatfile sources", f"-floatfile sources: {own} which -sourcefile reads"),
        ("-img intimage.img", f"-intfile intimage.img: {own} which -img reads"),
        ("-mask intimage.img", f"-intfile intimage.img: {own} which -mask reads"),
        ("-hkl one.hkl -dump one.hkl", f"-dump one.hkl: {own} which -hkl reads"),
        ("-dump cache -floatfile cache", f"-floatfile cache: {own} which a run without -hkl reads"),
        ("--fdump cache -floatfile cache", f"-floatfile cache: {own} which a run without -hkl reads"),
        ("-floatfile x -intfile x", f"-intfile x: {own} of -floatfile"),
        ("-floatfile x -intfile folder/x", f"-intfile folder/x: {own} of -floatfile"),
        ("-floatfile new -intfile dangling", f"-intfile dangling: {own} of -floatfile"),
        ("-floatfile intimage.img", f"-intfile intimage.img: {own} of -floatfile"),
        ("-noisefile image.pgm", f"-noisefile image.pgm: {own} of -pgmfile"),
        ("-hkl one.hkl -floatfile Fdump.bin", f"-dump Fdump.bin: {own} of -floatfile"),
    ):
        extra = "" if "pgm" in flags or "noise" in flags else "-nonoise -nopgm"
        assert main([*SMALL.split(), "-oversample", "1", *flags.split(), *extra.split()]) == 2
        assert capsys.readouterr().err.splitlines()[-1] == f"nanobragg_torch: {line}"
        assert files() == before
    assert main([*SMALL.split(), *ALONE.split(), "-floatfile", "/dev/null", "-intfile", "/dev/null"]) == 0


def test_names_that_somebody_chose_do_not_speak_to_the_terminal(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = "-cell 50 60 70 80 95 105 -default_F 100 -N 2 -lambda 1 -distance 100 -detpixels 4 -nonoise -nopgm"
    assert main([*flags.split(), "-show_config", "-floatfile", "a\x1b[2J.bin"]) == 0
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert said.out.count(r"a\x1b[2J.bin") == 2  # among the settings, and as written
    assert (tmp_path / "a\x1b[2J.bin").is_file()
