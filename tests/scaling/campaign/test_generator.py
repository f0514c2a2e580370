"""The generator of command lines: a seed is one case, accepted, bounded, of every flag; and the count of its flags."""

import hashlib
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from nanobragg_torch.config import Config
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.io.load import loaded
from tools.scaling.campaign.coverage import NAMES, Coverage, flags_of
from tools.scaling.campaign.draws.dice import Dice
from tools.scaling.campaign.generator import GENERATOR, NOT_DRAWN, draw, grouped, understood
from tools.scaling.campaign.record import Drawn

SEEDS = 1500
# of the generator's first 40 cases
DIGESTS = {1: "71e8e40f8d83df90"}


@cache
def cases() -> list[Drawn]:
    return [draw(seed) for seed in range(SEEDS)]


@cache
def listed() -> list[tuple[str, ...]]:
    return [flags_of(case) for case in cases()]


def read(case: Drawn, folder: Path) -> Config:
    folder.mkdir()
    for name, content in case.files.items():
        (folder / name).write_bytes(content)
    return loaded(parse(case.flags, [folder]))


def test_a_seed_is_the_same_case_on_every_machine_and_python() -> None:
    """Where this digest changes, GENERATOR is to be raised: stores of the old one are of other cases."""
    digest = hashlib.sha256()
    for case in cases()[:40]:
        assert draw(case.seed) == case
        digest.update(repr((case.flags, sorted(case.files.items()))).encode("ascii"))
    assert {GENERATOR: digest.hexdigest()[:16]} == DIGESTS


def test_every_flag_of_the_table_is_drawn_or_left_out_for_a_reason() -> None:
    covered = Coverage()
    covered.add(listed())
    assert covered.never() == ()
    assert set(NOT_DRAWN) <= set(NAMES)
    assert all(covered.counts[name] == 0 for name in NOT_DRAWN)
    assert len(covered.apart(expected=8.0)) < 40
    assert len(covered.apart()) < 0.06 * len(NAMES) ** 2 / 2


def test_every_spelling_that_is_fixed_is_drawn() -> None:
    words = {word for case in cases() for word in case.flags}
    aliases = (
        "-matrix -xtalsize -sample_size -height -xtal_y -tophat_spots -mosaicity -wavelength -thicksteps -adcoffset"
    )
    assert set(aliases.split()) <= words


@pytest.mark.parametrize("first", (0, 40))
def test_cases_are_accepted_and_bounded(first: int, tmp_path: Path) -> None:
    """The port takes each; pixels times terms stay within the budget, whatever is chosen automatically."""
    import torch

    from nanobragg_torch.scan.experiment import prepare
    from nanobragg_torch.scan.fused import terms_per_pixel

    for case in cases()[first : first + 40]:
        config = read(case, tmp_path / str(case.seed))
        exp = prepare(config, device="cpu", dtype=torch.float64)
        assert exp.n_pixels * terms_per_pixel(exp) <= 65_000, case
        assert config.detector.pixels_fast * config.detector.pixels_slow <= 125**2, case
        reflections = config.structure.reflections
        assert reflections is None or reflections.hkl is None or len(reflections.hkl) <= 2010


def test_nothing_comes_from_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = [case for case in cases() if "-misset" in case.flags or "--mode" in case.flags][:60]
    now = [read(case, tmp_path / f"a{case.seed}") for case in chosen]
    monkeypatch.setattr(time, "time", lambda: 86400.0)
    later = [read(case, tmp_path / f"b{case.seed}") for case in chosen]
    for one, other in zip(now, later):
        assert (one.output.seed, one.crystal.misset_seed) == (other.output.seed, other.crystal.misset_seed)
        assert one.crystal == other.crystal


def test_four_fifths_are_understood_by_the_reference() -> None:
    asked = sum(understood(case.flags) is not None for case in cases()[:400])
    assert 0.75 < asked / 400 < 0.88


@pytest.mark.parametrize(
    ("text", "variant", "expected"),
    [
        ("-N 5 -phi 0", "bl831-2022", "-N 5 -phi 0"),
        ("--mode c-parity -N 5 --quirk Q29=on", "golden", "-N 5"),
        ("--mode bl831-main -N 5", "golden", None),
        ("--mode bl831-main -N 5", "bl831-main", "-N 5"),
        ("-N 5 --phi-mode spec", "golden", None),
        ("-N 5 --vectors odet", "golden", None),
        ("-N 5 --vectors reference --fdump Fdump.bin", "golden", "-N 5"),
        ("-N 5 --fdump other.bin", "golden", None),
        ("--fdump Fdump.bin -dump_pixel 1 2", "golden", "-dump_pixel 1 2"),
        ("--fdump Fdump.bin -dump_pixel 1 2", "bl831-main", None),
        ("-N 5 -fudge", "golden", None),
        ("-N 5 -curved_det", "golden", None),
        ("-curved_det -N 5", "golden", "-curved_det -N 5"),
        ("-N 5 -misset_seed 3", "golden", "-N 5 -misset_seed 3"),
        ("-N 5 -misset_seed 3", "bl831-main", None),
    ],
)
def test_what_a_program_is_given(text: str, variant: str, expected: str | None) -> None:
    assert understood(text.split(), variant) == (None if expected is None else tuple(expected.split()))


def test_corners_are_reached() -> None:
    texts = [f" {' '.join(case.flags)} " for case in cases()]
    for text in (
        " 90 ", " -detpixels_x 1 ", " -phi 0 ", " -phi -1 ", " -N 1 ", " -hdivrange 0 ", " -mosaic 0 ", " -polar 3 ",
        " -fluence 0 ", " -cell 1000 10 10 60 60 60 ", " -roi -1 -1 -1 -1 ", " -default_F 1e12 ", " -detector_abs inf ",
        " -water 1e4 ", " -dmin 1e3 ", " -seed -5 ",
    ):  # fmt: skip
        assert any(text in each for each in texts), text
    files = [(name, content) for case in cases() for name, content in case.files.items()]
    lists = [content for name, content in files if name.endswith((".hkl", "f.txt"))]
    assert any(len(content.splitlines()) == 1 for content in lists)
    assert any(b"#" in content for content in lists)
    assert any(len(content.splitlines()) > 1000 for content in lists)
    sources = [
        content for case in cases() for name, content in case.files.items() if name.endswith((".src", "sources.txt"))
    ]
    assert any(b"#" in content for content in sources)
    assert any(not content.endswith(b"\n") for content in sources)


def test_a_command_line_is_cut_into_flags_with_their_values() -> None:
    text = (
        "-cell 50 60 -misset random -misset_seed 5 -curved_det -phi -3 --quirk=Q29=off -roi 1 2 3 4 -nonoise -mosaici 1"
    )
    assert [" ".join(group) for group in grouped(text.split())] == [
        "-cell 50 60", "-misset random", "-misset_seed 5", "-curved_det", "-phi -3", "--quirk=Q29=off", "-roi 1 2 3 4",
        "-nonoise", "-mosaici 1",
    ]  # fmt: skip
    assert grouped(["-misset", "1", "2"]) == [("-misset", "1", "2")]
    assert grouped(["-lambda", "x", "-N", "-5", "stray"]) == [("-lambda", "x"), ("-N", "-5"), ("stray",)]
    for case in cases()[:300]:
        groups = grouped(case.flags)
        assert tuple(word for group in groups for word in group) == case.flags
        assert all(group[0].startswith("-") for group in groups)


def test_flags_of_a_case_are_named_once_by_their_first_spelling() -> None:
    text = "-xtal_size 1 --quirk Q29=off -wavelength 2 -xtalsize 3 --quirk=Q27=off -mosaicity 1"
    assert flags_of(Drawn(0, tuple(text.split()))) == ("-samplesize", "--quirk", "-lambda", "-mosaic")


def test_the_count_of_pairs_is_that_of_loops() -> None:
    some = listed()[:200]
    expected = np.zeros((len(NAMES), len(NAMES)), dtype=np.int64)
    for flags in some:
        for one in flags:
            for other in flags:
                expected[NAMES.index(one), NAMES.index(other)] += 1
    at_once, in_parts = Coverage(), Coverage()
    at_once.add(some)
    in_parts.add(some[:7])
    in_parts.add(iter(some[7:]))
    in_parts.add([])
    assert at_once.cases == in_parts.cases == 200
    assert np.array_equal(at_once.pairs, expected)
    assert np.array_equal(in_parts.pairs, expected)


def test_a_person_is_told_what_is_missing() -> None:
    covered = Coverage()
    covered.add([("-N", "-cell"), ("-N", "-mat"), ("-mat",)])
    lines = list(covered.lines())
    assert lines[0] == f"3 cases, 3 of {len(NAMES)} flags"
    assert "-progress: not drawn: it shows how far a run is, on a terminal only" in lines
    assert "rarest: -cell 1, -N 2, -mat 2" in lines
    assert lines[-1] == "2 of 3 pairs seen together"
    covered.add([("-cell",), ("-mat",)] * 20)
    assert list(covered.lines())[-1] == "never, though 8 or more cases were likely: -cell with -mat"
    assert covered.apart() == [("-cell", "-mat")]


def test_dice_keep_within_their_bounds() -> None:
    dice = Dice("7")
    assert {dice.whole(-1, 2) for _ in range(200)} == {-1, 0, 1, 2}
    assert sorted(dice.order(range(9))) == list(range(9))
    assert all(1.0 <= float(dice.number(1, 5)) <= 5.0 for _ in range(300))
    assert all(1e-3 <= float(dice.power(-3, 4)) < 1e4 for _ in range(300))
    turn = np.array(dice.rotation())
    assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-15)
    assert np.linalg.det(turn) == pytest.approx(1.0)
