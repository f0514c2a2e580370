"""A failing case is made smaller while it fails in the same way."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tools.scaling.campaign.failures.shrink import Search, Shrunk, alike, fewest, reduced
from tools.scaling.campaign.record import Drawn, Status, Verdict

LINE = (
    "-cell 61.7 52.3 83.9 90 101.3 90 -lambda 1.2345 -distance 123.456 -hkl p1.hkl -default_F 3.25 -N 5 "
    "-misset 12.3456 -7.89012 33.3 -phi 12.7 -osc 1.5 -phisteps 3 -mosaic 0.7 -mosaic_dom 4 "
    "-detpixels_x 21 -detpixels_y 17 -pixel 0.37 -curved_det -polar -0.75 -water 3.5"
)
CASE = tuple(LINE.split())
FILES = {
    "p1.hkl": b"".join(b"%d %d %d %.3f\n" % (h, k, h - k, 7.3 * h * h + k) for h in range(9) for k in range(9)),
    "unused.txt": b"1\n",
}


def smallest(shows: Callable[[Drawn], bool], most: int = 400) -> Shrunk:
    """What is left of CASE while `shows` holds."""

    def fails(trial: Drawn) -> Verdict | None:
        return Verdict("oracle", Status.differs, "", (4, 9), "polar") if shows(trial) else None

    drawn = Drawn(1, CASE, FILES)
    verdict = fails(drawn)
    assert verdict is not None
    return reduced(Search(fails, drawn, verdict, most))


def value(drawn: Drawn, flag: str) -> float:
    return float(drawn.flags[drawn.flags.index(flag) + 1]) if flag in drawn.flags else 0.0


@pytest.mark.parametrize("needed", [(), (3,), (0, 19), (4, 5, 11), tuple(range(20))])
def test_delta_debugging_finds_the_smallest_set(needed: tuple[int, ...]) -> None:
    trials = []

    def shows(items: list[int]) -> bool:
        trials.append(items)
        return set(needed) <= set(items)

    assert fewest(range(20), shows) == list(needed)
    assert len(trials) <= 1 + 12 * max(len(needed), 1)


def test_flags_that_only_go_together_go_together() -> None:
    found = smallest(lambda case: "-polar" in case.flags and ("-osc" in case.flags) == ("-mosaic_dom" in case.flags))
    assert found.drawn.flags[0] == "-polar" and len(found.drawn.flags) == 2
    assert found.drawn.files == {}


def test_numbers_become_round_and_the_flags_that_matter_stay() -> None:
    found = smallest(lambda case: value(case, "-misset") > 7 and value(case, "-phisteps") > 1 and "-cell" in case.flags)
    assert " ".join(found.drawn.flags) == "-cell 100 100 100 90 90 90 -misset 10 0 0 -phisteps 2"
    found = smallest(lambda case: 1.22 < value(case, "-lambda") < 1.24)
    assert found.drawn.flags == ("-lambda", "1.23")


def test_files_lose_the_lines_that_do_not_matter() -> None:
    found = smallest(lambda case: "-hkl" in case.flags and b"7 5 2" in case.files.get("p1.hkl", b""))
    assert found.drawn.flags == ("-hkl", "p1.hkl")
    assert found.drawn.files == {"p1.hkl": b"7 5 2 0\n"}


def test_a_list_that_does_not_matter_gives_way_to_one_number() -> None:
    found = smallest(lambda case: "-hkl" in case.flags or value(case, "-default_F") > 50)
    assert (found.drawn.flags, found.drawn.files) == (("-default_F", "100"), {})


def test_the_region_and_the_detector_become_small() -> None:
    found = smallest(lambda case: any(flag in case.flags for flag in ("-detpixels_x", "-detpixels")))
    assert found.drawn.flags == ("-detpixels", "1")
    found = smallest(lambda case: value(case, "-detpixels_x") > 9)
    assert " ".join(found.drawn.flags) == "-detpixels_x 20 -roi 9 9 4 4"
    found = smallest(lambda case: "-roi" in case.flags or case.flags == CASE)
    assert found.drawn.flags == ("-roi", "9", "9", "4", "4")


def test_trials_are_bounded_and_the_same_every_time() -> None:
    def odd(case: Drawn) -> bool:
        return len(case.flags) > 30

    assert smallest(odd, most=25).trials == 25
    assert smallest(odd) == smallest(odd)


def test_another_label_or_error_is_another_failure() -> None:
    one = Verdict("oracle", Status.differs, "pixel 1 2", (1, 2), "polar", 1e-3)
    assert alike(one, replace(one, worst=1e-9, pixel=(3, 4), says="pixel 3 4"))
    assert not alike(one, replace(one, label="F_cell"))
    assert not alike(one, replace(one, status=Status.error))
    error = Verdict("oracle", Status.error, "FlagError: -N: expected an integer, got '1.5'", label="FlagError")
    assert alike(error, replace(error, says="FlagError: -N: expected an integer, got '22.75'"))
    assert not alike(error, replace(error, says="FlagError: -roi: expected 4 integers, got 3"))
