"""Cases: shipped by name, the user's own by path, wrong ones named."""

import dataclasses
import json
import os

import pytest

from tools.scaling.base.errors import BadInput
from tools.scaling.base.repo import CANONICAL_TRACE, ROOT
from tools.scaling.cases import case as cases
from tools.scaling.cases.case import find_case


def test_the_canonical_case_names_its_reference_and_its_known_figures():
    case = find_case("supervisor")
    assert case.pixels == ((685, 1039),)
    assert case.reference((685, 1039)) == ROOT / CANONICAL_TRACE
    assert case.expected["legacy"] == {"rel_delta": -2.086116e-03, "tolerance": 1e-9}
    assert "-roi" not in case.flags


def test_a_golden_case_finds_its_traces_beside_it():
    case = find_case("cubic_mosflm")
    assert case.reference((10, 50)) == case.folder / "trace_10_50.log"
    assert case.reference((1, 1)) is None
    assert case.folders[1].name == "inputs"


def test_an_unknown_name_lists_the_shipped_ones():
    with pytest.raises(BadInput, match=r"nope: expected a folder with case.json or one of .*supervisor"):
        find_case("nope")


FRACTION = '{"flags": "-N 1", "traced_pixels_slow_fast": [[1.5, 2]]}'  # must not become pixel 1


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"name": "x"}', '{"flags": "-N 1", "traced_pixels_slow_fast": [1]}', FRACTION]
)
def test_a_broken_case_file_is_one_line(tmp_path, content):
    (tmp_path / "case.json").write_text(content)
    with pytest.raises(BadInput, match=r"case.json: expected"):
        find_case(str(tmp_path))


def test_a_case_file_too_deep_or_too_long_is_one_line(tmp_path, monkeypatch):
    path = tmp_path / "case.json"
    path.write_text("[" * 10000)
    with pytest.raises(BadInput, match=r"case.json: expected readable JSON, got brackets too deep in one another$"):
        find_case(str(tmp_path))
    monkeypatch.setattr(cases, "LARGEST", 1 << 20)
    path.write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(BadInput, match=r"case.json: expected a case of at most 1 MiB, got a larger file$"):
        find_case(str(tmp_path))
    path.unlink()
    os.mkfifo(path)
    for name in (str(tmp_path), "n" * 300, "a/" + "n" * 300, "a/\0"):
        with pytest.raises(BadInput, match=r": expected a folder with case.json"):
            find_case(name)


def test_flags_are_split_like_a_shell_does(tmp_path):
    (tmp_path / "case.json").write_text(json.dumps({"flags": "-mat 'my A.mat' -N 5"}))
    assert find_case(str(tmp_path)).flags == ("-mat", "my A.mat", "-N", "5")


def test_another_list_takes_the_place_of_the_last_one_and_of_none(tmp_path):
    case = find_case("supervisor")
    other = case.with_hkl(tmp_path / "other.hkl")
    at = case.flags.index("-hkl")
    assert other.flags == (*case.flags[: at + 1], str(tmp_path / "other.hkl"), *case.flags[at + 2 :])
    assert case.with_hkl(None) == case
    bare = dataclasses.replace(case, flags=("-N", "5"))
    assert bare.with_hkl(tmp_path / "a.hkl").flags == ("-N", "5", "-hkl", str(tmp_path / "a.hkl"))


def test_the_pixel_is_the_one_asked_for_or_the_first():
    case = find_case("supervisor")
    assert (case.pixel((1, 2)), case.pixel()) == ((1, 2), (685, 1039))
    with pytest.raises(BadInput, match="supervisor: names no traced pixel; expected --pixel SLOW FAST"):
        dataclasses.replace(case, pixels=()).pixel()


def test_the_flags_mean_what_the_port_reads_and_what_it_refuses_is_bad_input():
    case = find_case("supervisor")
    assert case.config("-distance", "100").detector.distance_m == 0.1
    with pytest.raises(BadInput, match="-nosuch: unknown flag"):
        case.config("-nosuch")
