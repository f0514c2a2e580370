"""explain on logs as other ports print them: look-alikes made by our own port, and real ones where they lie."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nanobragg_torch.flags.parse import parse
from nanobragg_torch.products.trace import render, trace_pixel
from tools.scaling import cli
from tools.scaling.base.errors import BadInput
from tools.scaling.cases.case import find_case
from tools.scaling.explain.answer import explain
from tools.scaling.explain.defects import Finding
from tools.scaling.explain.files import explain_command, explain_logs
from tools.scaling.traces.labels import read_labels, relabelled
from tools.scaling.traces.read import parse_trace

PIXEL = (685, 1039)
Q29, Q03 = -1.446133e-01, -2.156660e-03
VECTORS = frozenset({"odet", "sdet", "fdet", "beam"})
REAL = Path(__file__).resolve().parents[4] / "shared" / "real_traces"
GEOMETRY = re.compile(
    r"^(TRACE_PY:(detector|angles|beam_center|initial|Fclose|Sclose|close|ratio|distance|term|pix0|fdet|sdet|odet|twotheta)"
    r".*|DETECTOR_.*|TRACE_CONFIG.*)\n",
    re.MULTILINE,
)


@pytest.fixture(scope="module")
def reference(case):
    return case.c_trace.read_text(encoding="ascii")


def text_of(config, dtype=torch.float64, pixel=PIXEL):
    return render(trace_pixel(config, *pixel, device="cpu", dtype=dtype))


def foreign(config, dtype=torch.float64):
    """As another port prints: no geometry lines, no pixel, no phi rows, no names of its own for the sum."""
    text = GEOMETRY.sub("", text_of(config, dtype))
    return re.sub(r"TRACE_PY_PHI .*\n|TRACE_PY: I_before_scaling_p.*\n", "", text)


def spec(config):
    return replace(config, quirks=config.quirks.switched("Q29", False))


def legacy(config):
    return replace(config, quirks=replace(config.quirks, as_given=VECTORS))


def scaled(text, name, factor):
    def by(match):
        return match[1] + " ".join(f"{float(x) * factor:.15g}" for x in match[2].split())

    changed, count = re.subn(rf"(TRACE_\w+: {name} )(.*)", by, text)
    assert count
    return changed


def told(reference, port, config):
    return explain(parse_trace(reference.encode(), "c.log"), parse_trace(port.encode(), "py.log"), config)


def by_name(found):
    return {cause.quantity: cause for cause in found.causes}


def test_two_independent_causes_keep_their_own_effects(config, reference):
    """phi = 0 afresh, and the sum printed after the polarization factor, in a trace without phi rows."""
    text = foreign(spec(config))
    polar = float(re.search(r": polar (\S+)", text)[1])
    found = told(reference, scaled(text, "I_before_scaling", polar), config)
    causes = by_name(found)
    assert set(causes) == {"rot_a_angstroms", "I_before_scaling"}
    assert causes["rot_a_angstroms"].effect_rel == pytest.approx(Q29, abs=1e-7)
    assert "(Q29 off)" in causes["rot_a_angstroms"].variant
    printed = causes["I_before_scaling"]
    assert printed.in_print_only and printed.variant == "printed after the polarization factor (times 0.91464)"
    assert printed.effects == {"I_before_scaling": pytest.approx(polar - 1.0), "I_pixel_final": 0.0}
    assert found.explained_rel == pytest.approx(found.delta_rel, rel=1e-9)
    assert sum(cause.share for cause in found.causes) == pytest.approx(1.0, abs=1e-9)
    assert found.sentence.startswith(
        "The printed I_before_scaling is not what I_pixel_final was made of: it is printed"
    )
    assert "I_pixel_final differs by -1.446133e-01" in found.sentence


def test_stars_printed_after_phi_are_a_misprint(config, reference):
    """The legacy vectors, and a*, b*, c* as they are after the last phi step: no effect, and nothing made up for it."""
    text = foreign(legacy(config))
    angle = torch.tensor(-0.09 * torch.pi / 180.0, dtype=torch.float64)

    def turned(match):
        x, y, z = (float(v) for v in match[2].split())
        c, s = float(torch.cos(angle)), float(torch.sin(angle))
        return f"{match[1]}{x:.15g} {c * y - s * z:.15g} {s * y + c * z:.15g}"

    text = re.sub(r"(TRACE_PY: rot_[abc]_star_A_inv )(.*)", turned, text)
    found = told(reference, text, config)
    causes = by_name(found)
    stars = causes.pop("rot_a_star_A_inv")
    assert stars.in_print_only and stars.variant == "turned by phi" and set(stars.effects.values()) == {0.0}
    assert stars.members == ("rot_a_star_A_inv", "rot_b_star_A_inv", "rot_c_star_A_inv")
    assert {"odet", "sdet", "fdet", "beam"} <= set(causes)
    assert causes["odet"].effect_rel == pytest.approx(Q03, rel=1e-5)
    assert (
        "In print only, nothing is made of it: rot_a_star_A_inv, rot_b_star_A_inv, rot_c_star_A_inv" in found.sentence
    )
    rows = {row.name: row for row in found.quantities}
    star = rows["rot_a_star_A_inv"]
    assert (star.verdict, star.note) == (Finding.ORIGINATES, "in print only")
    assert rows["rot_a_angstroms"].verdict in (Finding.AGREES, Finding.ROUNDING)


@pytest.mark.parametrize("factor", [1e-10, 1e3])
def test_another_unit_is_proposed_and_moves_nothing(config, reference, factor):
    found = told(reference, scaled(text_of(config), "scattering_vec_A_inv", factor), config)
    (cause,) = found.causes
    assert cause.in_print_only and cause.quantity == "scattering_vec_A_inv" and cause.effect_rel == 0.0
    assert re.fullmatch(r"in another unit, 10\^-?\d+ times what it should be", cause.variant)


def test_what_is_not_traced_is_named(config, reference):
    """pix0 alone betrays odet as given."""
    port = replace(config, quirks=replace(config.quirks, as_given=frozenset({"odet"})))
    found = told(reference, foreign(port), config)
    assert [(cause.quantity, cause.variant) for cause in found.causes] == [
        ("odet", "taken as given, not regenerated as unit(fdet x sdet) (Q03)")
    ]
    assert found.causes[0].effect_rel == pytest.approx(Q03, rel=1e-5)
    assert found.sentence.count("odet is not traced by the candidate: ") == 1


def test_phi_rows_alone_betray_both(config, reference):
    text = text_of(legacy(spec(config)))
    rows = "".join(line + "\n" for line in text.splitlines() if line.startswith("TRACE_PY_PHI"))
    variants = " ".join(str(cause.variant) for cause in told(reference, rows, config).causes)
    assert "(Q29 off)" in variants and "(Q03)" in variants


def test_float32_logs_name_what_they_follow(config, reference):
    """The legacy vectors are below the worst that float32 rounding can do, and the numbers lie on them all the same."""
    found = told(reference, foreign(legacy(config), torch.float32), config)
    assert [cause.quantity for cause in found.causes] == ["odet"] and "(Q03)" in found.causes[0].variant
    assert "odet lies below the noise floor of float32" in " ".join(found.notes)
    assert told(reference, foreign(config, torch.float32), config).causes == ()


@pytest.mark.parametrize(
    ("name", "factor"),
    [("omega_pixel", 1.003), ("omega_pixel", 0.5), ("polar", 0.5), ("steps", 0.5), ("F_cell", 1.003)],
)
def test_the_reference_that_breaks_its_own_rule_is_accused(config, reference, name, factor):
    found = told(scaled(reference, name, factor), text_of(config), config)
    (cause,) = found.causes
    assert (cause.quantity, cause.side, cause.in_print_only) == (name, "reference", True)
    assert set(cause.effects.values()) == {0.0}
    start = f"{name} is what its rule makes of its own inputs, and the reference's is not"
    assert found.sentence.startswith(start) and "in print only, it moves nothing" in found.sentence


def test_both_targets_are_told_where_they_differ(config, reference):
    twice = replace(config, beam=replace(config.beam, fluence_per_m2=2.0 * config.beam.fluence_per_m2))
    found = told(reference, text_of(twice), config)
    assert (found.target, found.delta_rel) == ("I_pixel_final", pytest.approx(1.0))
    assert found.sentence.startswith("fluence_photons_per_m2 is multiplied by 2: this makes 100 % of the +1.000000e+00")
    assert "I_before_scaling does not differ." in found.sentence


def test_two_logs_that_share_nothing_are_refused(tmp_path, case, capsys):
    log = tmp_path / "py.log"
    log.write_text("TRACE_PY: a_unknown 1 2 3\nTRACE_PY: === start of TRACE_PY: lines ===\n")
    code = cli.main(["explain", "--c", str(case.c_trace), "--py", str(log), "--case", "supervisor"])
    assert code == 2 and "expected two traces that share a quantity, got none in both" in capsys.readouterr().err


def test_prose_with_a_prefix_is_no_trace(config, reference):
    text = text_of(config) + "wrote the TRACE_C: lines of the reference beside it\n"
    assert told(reference, text, config).causes == ()


def test_a_pixel_that_no_line_names(tmp_path, case, config):
    c, py = tmp_path / "c.log", tmp_path / "py.log"
    c.write_text(re.sub(r"TRACE_CONFIG.*\n", "", case.c_trace.read_text(encoding="ascii")))
    py.write_text(foreign(spec(config)))
    with pytest.raises(BadInput, match="expected the traced pixel"):
        explain_logs([c], [py], case=case)
    (found,) = explain_logs([c], [py], case=case, pixel=PIXEL)
    assert found.pixel == PIXEL and [cause.quantity for cause in found.causes] == ["rot_a_angstroms"]
    with pytest.raises(BadInput, match=r"--pixel 1 2: expected logs of that pixel, got logs of \(685, 1039\)"):
        explain_logs([case.c_trace], [py], case=case, pixel=(1, 2))


def test_a_log_that_names_fast_before_slow(tmp_path, case, config):
    """Slow and fast exchanged in TRACE_CONFIG only: explained, and said; in the numbers too: another pixel."""
    exchanged = (PIXEL[1], PIXEL[0])
    names = re.compile(r"spixel=685, *fpixel=1039")
    py = tmp_path / "py.log"
    text, count = names.subn("spixel=1039, fpixel=685", text_of(spec(config)))
    assert count
    py.write_text(text)
    (found,) = explain_logs([case.c_trace], [py], case=case)
    assert found.pixel == PIXEL and [cause.quantity for cause in found.causes] == ["rot_a_angstroms"]
    said = f"names pixel {exchanged}: slow and fast exchanged; its pixel position is that of {PIXEL}"
    assert said in found.notes[0] and any(said in line for line in explain_command(
        case.c_trace, py, case="supervisor", out=None, as_json=False, pixel=PIXEL))  # fmt: skip
    py.write_text(text_of(spec(config), pixel=exchanged))
    with pytest.raises(BadInput, match="expected traces of one pixel"):
        explain_logs([case.c_trace], [py], case=case)
    py.write_text(re.sub(r"TRACE_PY: pixel_pos_meters.*\n", "", text))
    with pytest.raises(BadInput, match="expected traces of one pixel"):
        explain_logs([case.c_trace], [py], case=case)


def test_phi_rows_in_a_file_of_their_own(tmp_path, case, config):
    text = text_of(spec(config))
    rows = [line for line in text.splitlines() if line.startswith("TRACE_PY_PHI")]
    main, beside = tmp_path / "py.log", tmp_path / "py_per_phi.log"
    main.write_text(foreign(spec(config)))
    beside.write_text("\n".join(rows) + "\n")
    (found,) = explain_logs([case.c_trace], [main, beside], case=case)
    assert {"PHI.k_frac", "PHI.F_latt"} <= {row.name for row in found.quantities if row.py is not None}
    assert found.explained_rel == pytest.approx(Q29, abs=1e-7)


def test_labels_of_others(tmp_path, case, config):
    text = foreign(config)
    text = re.sub(r"F_cell (.*)", r"F_cell_nearest \1", text)
    text = re.sub(r"(diffracted)_vec (\S+) (\S+) (\S+)", r"\1 = [\2, \3, \4]", text)
    text = re.sub(r"rot_a_angstroms (\S+) (\S+) (\S+)", r"their_a (\3 \2 \1)", text)
    py, labels = tmp_path / "py.log", tmp_path / "labels.toml"
    py.write_text(scaled(text, "R_distance_meters", 1e3))
    labels.write_text(
        '[their_a]\nname = "rot_a_angstroms"\norder = [2, 1, 0]\n'
        '[R_distance_meters]\nname = "R_distance_meters"\nfactor = 1e-3\n'
    )
    (found,) = explain_logs([case.c_trace], [py], case=case, labels=labels)
    assert found.causes == ()
    both = {row.name for row in found.quantities if row.c is not None and row.py is not None}
    assert {"F_cell", "diffracted_vec", "rot_a_angstroms", "R_distance_meters"} <= both


@pytest.mark.parametrize(
    ("text", "got"),
    [("[x]\nfactor = 2\n", "got {'factor': 2}"), ('[x]\nname = "y"\nfaktor = 2\n', "got faktor = 2"),
     ('[x]\nname = "y"\norder = ["a"]\n', "got order = ['a']"), ("x = ", "expected a TOML table of labels")],
)  # fmt: skip
def test_a_bad_table_of_labels_is_one_line(tmp_path, text, got):
    path = tmp_path / "labels.toml"
    path.write_text(text)
    with pytest.raises(BadInput) as error:
        read_labels(path)
    assert got in str(error.value) and "\n" not in str(error.value)


def test_numbered_groups_are_read():
    trace = parse_trace(b"TRACE_PY_SOURCE 2: wavelength_angstroms 0.97\nTRACE_PY_SOURCE 1: weight 0.2\n", "py.log")
    names = relabelled(trace, read_labels()).names
    assert names == ("SOURCE2.lambda_angstroms", "SOURCE1.weight")


def test_one_of_several_subpixels(case):
    """A port that prints the lines of one sub-pixel of 27: it is set beside the one that lies where it does."""
    case = find_case("oversample_flags")
    config = parse(case.flags, folders=case.folders)
    pixel = case.pixels[0]
    text = text_of(config, pixel=pixel).splitlines()
    starts = [i for i, line in enumerate(text) if line.startswith("TRACE_PY: pix0_vector_meters")]
    ends = [i for i, line in enumerate(text) if line.startswith("TRACE_PY: I_before_scaling")]
    kept = text[: starts[0]] + text[starts[4] : starts[5]] + text[ends[0] :]
    reference = case.reference(pixel).read_text(encoding="utf-8")
    found = told(reference, "\n".join(kept) + "\n", config)
    assert found.causes == () and any("1 sub-pixels in py.log, " in note for note in found.notes)
    assert next(row for row in found.quantities if row.name == "pixel_pos_meters").verdict in (
        Finding.AGREES,
        Finding.ROUNDING,
    )


def test_several_pixels_are_explained_one_by_one(tmp_path):
    case = find_case("phi_crosses_zero")
    config = parse(case.flags, folders=case.folders)
    wrong = replace(config, scan=replace(config.scan, phi_start_rad=float(config.scan.phi_start_rad) + 1e-4))
    logs = []
    for i, pixel in enumerate(case.pixels[:2]):
        logs.append(tmp_path / f"{i}.log")
        logs[-1].write_text(text_of(wrong, pixel=pixel))
    references = [case.reference(pixel) for pixel in case.pixels[:2]]
    lines = explain_command(references, logs, case="phi_crosses_zero", out=None, as_json=True)
    data = json.loads("\n".join(lines))
    assert len(data["pixels"]) == 1 and data["causes"] and data["pixels"][0]["causes"]
    with pytest.raises(BadInput, match="expected traces of one pixel"):
        explain_logs(references, logs[:1], case=case)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real traces at {REAL}")
@pytest.mark.parametrize("entry", json.loads((REAL / "truth.json").read_text()) if REAL.is_dir() else [])
def test_real_logs(entry, case):
    """Every deed that was worked out by hand is named, and nothing is accused that differs in print only."""
    (found,) = explain_logs([REAL / "c_trace_scaling.log"], [REAL / f"{entry['name']}.log"], case=case)
    causes = by_name(found)
    for deed in entry["truth"]:
        if deed == "Q29":
            assert causes["rot_a_angstroms"].effect_rel == pytest.approx(Q29, abs=1e-3)
            assert "(Q29 off)" in causes["rot_a_angstroms"].variant
        elif deed == "Q03":
            assert "(Q03)" in causes["odet"].variant
        elif "after the polarization" in deed:
            assert "printed after the polarization factor (times 0.9146" in found.sentence
        elif "not the sum" in deed:
            assert found.sentence.startswith("The printed I_before_scaling is not what I_pixel_final was made of")
        else:
            assert causes["rot_a_star_A_inv"].in_print_only and causes["rot_a_star_A_inv"].effect_rel == 0.0
    accused = {cause.quantity for cause in found.causes if not cause.in_print_only and abs(cause.effect_rel) > 1e-9}
    assert accused <= {"rot_a_angstroms", "odet", "sdet", "fdet", "beam", "close_distance_m"}
