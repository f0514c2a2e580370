"""The diagnosis from images alone: the cause that was put in is named, and none where there is none."""

import pytest
import torch

import nanobragg_torch as nb
from tools.scaling.base.errors import BadInput
from tools.scaling.implementations import diagnosis as work
from tools.scaling.implementations.diagnosis import SAME, _distance, _scale, diagnose
from tools.scaling.implementations.trial import _likeness

STILL = "-cell 30 40 50 80 95 105 -default_F 100 -lambda 1.1 -N 5 -distance 100 -detpixels 24 -pixel 2 -oversample 1"
SWEEP = f"{STILL} -fluence 1e20 -phi 0 -osc 1 -phisteps 3 -misset 10 20 30"


def simulated(flags: str, dtype: torch.dtype = torch.float64, folders: tuple = ()) -> torch.Tensor:
    return nb.simulate(nb.parse(flags.split(), folders=folders), dtype=dtype).float()


def diagnosed(flags: str, image: torch.Tensor, folders: tuple = ()):
    return diagnose(flags.split(), folders, image)


def test_the_same_image_needs_no_cause() -> None:
    diagnosis = diagnosed(SWEEP, simulated(SWEEP))
    assert diagnosis.sentence == "The candidate is as our port: 0 of 576 pixels left."
    assert diagnosis.to_dict()["explained"] is True


@pytest.mark.parametrize(
    ("flags", "also", "named"),
    [
        (SWEEP, "--quirk Q29=off", "Q29 off"),
        (f"{STILL} -gauss_xtal", "--quirk Q24=off", "Q24 off"),
        (SWEEP, "-misset -10 -20 -30", "-misset 10 20 30 with the opposite sign"),
        (SWEEP, "-phi 0.16666666666666666", "phi steps at their mid-points"),
        (SWEEP, "-nopolar", "the polarization factor left out"),
    ],
)
def test_the_cause_that_was_put_in_is_named_first(flags: str, also: str, named: str) -> None:
    diagnosis = diagnosed(flags, simulated(f"{flags} {also}"))
    assert diagnosis.causes[0].short.startswith(named)
    assert diagnosis.causes[0].left == 0 and diagnosis.causes[0].of == 576
    assert f"as ours with {named}" in diagnosis.sentence and "0 of 576 pixels left" in diagnosis.sentence


def test_a_constant_is_named() -> None:
    assert diagnosed(SWEEP, simulated(SWEEP).double() * 1e-20).sentence.startswith(
        "The candidate is as ours with times 1e-20 (the fluence left out): 0 of"
    )


def test_the_order_of_the_pixels_is_told_beside_the_cause() -> None:
    flags = f"{SWEEP} -detpixels_s 20"
    other = simulated(f"{flags} --quirk Q29=off")
    turned = other.T.contiguous().view(20, 24)
    assert "with its axes exchanged is as ours with Q29 off" in diagnosed(flags, turned).sentence


def test_a_candidate_that_computes_in_float32_has_a_tolerance_of_its_own() -> None:
    alone = diagnosed(SWEEP, simulated(SWEEP, torch.float32))
    assert alone.sentence.startswith("The candidate is as our port: ") and "for its own rounding" in alone.sentence
    assert SAME < alone.tolerance < 0.01
    other = diagnosed(SWEEP, simulated(f"{SWEEP} --quirk Q29=off", torch.float32))
    assert other.causes[0].short == "Q29 off" and other.explained


def test_bytes_that_make_no_normal_number_are_no_image() -> None:
    own = simulated(SWEEP).double().flatten()
    assert (_likeness(own, own * 1e-314), _scale(own, own * 1e-314)) == (-1.0, None)
    assert (_likeness(own, 2.0 * own), _scale(own, 2.0 * own)) == (pytest.approx(1.0), pytest.approx(2.0))


def test_what_the_clock_seeds_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the command line nor a cause: each run of it has another orientation."""
    monkeypatch.setattr(work, "FIRSTS", 0)  # no pairs
    flags = f"{STILL} -detpixels 8 -misset random"
    diagnosis = diagnosed(flags, simulated(f"{flags} -misset_seed 5"))
    assert diagnosis.sentence.startswith("Not to be told: -misset random without a seed draws from the clock")
    assert diagnosis.to_dict()["explained"] is False
    seeded = diagnosed(f"{flags} -misset_seed 7", simulated(f"{flags} -misset_seed 7 --quirk Q63=on"))
    assert seeded.sentence.startswith("None of ") and seeded.sentence.endswith(
        "Not tried, as each run of them draws another orientation from the clock:"
        " Q63 on, -misset_seed 7 left out, the switches of cctbx-standalone."
    )


def test_a_cause_comes_before_another_order_of_the_pixels() -> None:
    flags = STILL.replace("-N 5", "-N 3 -xds -curved_det 1 -fdet_vector 0 0 2")
    diagnosis = diagnosed(flags, simulated(f"{flags} --quirk Q17=off"))
    assert diagnosis.causes[0].short == "Q17 off" and diagnosis.order == ""
    assert "(would look the same here: our image with its axes exchanged and its rows" in diagnosis.sentence


def test_all_that_look_the_same_are_named() -> None:
    flags = f"-misset 3 4 5 -misset_seed 9 {STILL} -detpixels 8"
    diagnosis = diagnosed(flags, simulated(f"{flags} --mode cctbx-standalone"))
    assert diagnosis.causes[0].short == "Q53 on" and diagnosis.unconfirmed == 0
    assert ", bl831-main, bl831-phi0-fix, " in diagnosis.sentence and "cctbx-standalone)." in diagnosis.sentence


def test_the_smallest_values_of_float32_are_as_near_as_their_steps() -> None:
    made = torch.tensor([3.3e-42, 1e-46, 1e-38], dtype=torch.float64)
    assert not _distance(made, made.float().double()).any()
    assert _distance(made, 2 * made)[0] == pytest.approx(0.5)


def test_two_causes_at_once() -> None:
    diagnosis = diagnosed(SWEEP, simulated(f"{SWEEP} --quirk Q29=off -N 6"))
    assert "-N 5 one too many, and Q29 off" in diagnosis.sentence and diagnosis.explained


def test_what_no_cause_explains_is_said_to_be_so() -> None:
    noise = torch.rand(24, 24, generator=torch.Generator().manual_seed(1))
    diagnosis = diagnosed(STILL, noise)
    assert diagnosis.sentence.startswith(
        f"None of {diagnosis.tried} known causes makes the candidate's image, 576 of 576"
    )
    assert "; nearest: " in diagnosis.sentence and diagnosis.tried > 80 and not diagnosis.explained
    assert diagnosis.to_dict()["explained"] is False


def test_reflections_under_other_indices(tmp_path) -> None:
    lines = [(h, k, m) for h in range(-4, 5) for k in range(-5, 6) for m in range(-6, 7)]
    values = {(h, k, m): 10 + h + 2 * k * k + 3 * m + h * k for h, k, m in lines}
    (tmp_path / "p1.hkl").write_text("".join(f"{h} {k} {m} {values[h, k, m]}\n" for h, k, m in lines))
    (tmp_path / "minus.hkl").write_text("".join(f"{-h} {-k} {-m} {values[h, k, m]}\n" for h, k, m in lines))
    flags = STILL.replace("-default_F 100", "-hkl p1.hkl")
    image = simulated(flags.replace("p1.hkl", "minus.hkl"), folders=(tmp_path,))
    assert "as ours with the indices -h -k -l for h k l: 0 of 576" in diagnosed(flags, image, (tmp_path,)).sentence


def test_a_part_of_the_detector_is_diagnosed_where_it_lies() -> None:
    part = simulated(f"{SWEEP} --quirk Q29=off")[4:20, 9:21]
    diagnosis = diagnose(SWEEP.split(), (), part, (4, 9))
    assert diagnosis.causes[0].short == "Q29 off" and diagnosis.causes[0].of == 16 * 12 and diagnosis.explained
    with pytest.raises(BadInput, match="expected 24 x 24 pixels, of which a part begins at 9 13, got 16 x 12"):
        diagnose(SWEEP.split(), (), part, (9, 13))


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(BadInput, match=r"expected 24 x 24 pixels, got 3 x 4"):
        diagnosed(STILL, torch.zeros(3, 4))
    with pytest.raises(BadInput, match="-nonsense: unknown flag"):
        diagnosed(f"{STILL} -nonsense", torch.zeros(24, 24))
