"""The study of the diagnosis: what it draws shows its switch, and a wrong name is counted as wrong."""

import random
from collections import Counter
from dataclasses import replace

import nanobragg_torch as nb
from tools.scaling.implementations.diagnosis import Diagnosis, TriedCause, differing
from tools.scaling.studies import diagnosis as work

FLAGS = "-cell 30 40 50 90 90 90 -default_F 9 -lambda 1.1 -N 3 -distance 100 -detpixels 4 -pixel 2 -oversample 1"


def test_each_switch_that_is_drawn_changes_its_image() -> None:
    passed: Counter[str] = Counter()
    drawn = [each for _, each in zip(range(2), work.switches(random.Random(5), passed))]
    for flags, name, image in drawn:
        usual = work._image(flags)
        assert usual is not None and differing(usual.double(), image.double()), name
    assert len({name for _, name, _ in drawn}) > 1


def test_what_is_no_case_is_passed_over(monkeypatch) -> None:
    """The clock seeds Q63; -nopolar shows Q23; and half of a rounding of float32 shows nothing."""
    names = iter(("Q63", "Q23"))
    flags = iter([f"{FLAGS} -misset random -misset_seed 3", f"{FLAGS} -nopolar -oversample_polar"])
    monkeypatch.setattr(work, "TRIES", 1)
    monkeypatch.setattr(work, "_flags", lambda _: tuple(next(flags).split()))

    class Dice(random.Random):
        def choice(self, _seq):
            return next(names)

    passed: Counter[str] = Counter()
    assert next(work.switches(Dice(), passed))[1] == "Q23"
    assert passed == {"drawn from the clock": 1}
    usual = nb.simulate(nb.parse(FLAGS.split(), folders=())).float()
    assert (
        work._no_case(tuple(FLAGS.split()), usual, usual * (1 + 2.0**-23)) == "the same within the rounding of float32"
    )
    assert work._no_case(tuple(FLAGS.split()), usual, usual * (1 + 2.0**-20)) == ""


def test_a_name_counts_where_nothing_is_left() -> None:
    cause = TriedCause("Q24 off (N of each axis)", (), 1.0, 0, 9, 0.0)
    other = replace(cause, name="the switches of bl831-2022, cctbx-standalone")
    named = Diagnosis(5, 9, 9, causes=(cause, other))
    assert work.names_switch(named, "Q24") == work.FIRST and work.names_switch(named, "Q2") == work.NOT
    assert work.names_switch(named, "cctbx-standalone") == work.FIRST  # Q24 is one of its own
    assert work.names_switch(named, "bl831-main") == work.NOT
    assert work.names_switch(replace(named, causes=(other, cause)), "Q24") == work.BESIDE
    assert work.names_switch(replace(named, causes=(cause,)), "bl831-2022") == work.NOT
    assert work.names_switch(Diagnosis(5, 9, 9, causes=(replace(cause, left=1),)), "Q24") == work.NOT


def test_the_page_has_the_counts() -> None:
    rows = [work.SwitchRow("-N 5", "Q24", work.FIRST, "x"), work.SwitchRow("-N 5", "Q29", work.NOT, "None of 9")]
    result = work.SwitchStudy(3, rows, Counter({"drawn from the clock": 2}))
    count = "1 of 2 switches named first, 0 beside others that make the same image, 1 not"
    passed = "passed over: 2 images drawn from the clock"
    assert work.study_lines(result) == ["Q29: None of 9\n    -N 5", count, passed]
    assert not result.enough
    page = work.study_markdown([result, replace(result, seed=4, rows=rows[:1] * 2)])
    assert f"Seed 3: **{count}**.  \n{passed}\n" in page and "Seed 4: **2 of 2 switches named first" in page
    assert "--count 2 --seed 3 --seed 4` wrote" in page and "| 3 | Q29 | no | None of 9 |" in page
