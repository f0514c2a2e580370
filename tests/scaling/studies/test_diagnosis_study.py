"""The study of the diagnosis: what it draws shows its switch, and a wrong name is counted as wrong."""

import random
from dataclasses import replace

import torch

from tools.scaling.implementations.diagnosis import Diagnosis, TriedCause
from tools.scaling.studies import diagnosis as work


def test_each_switch_that_is_drawn_changes_its_image() -> None:
    drawn = [each for _, each in zip(range(3), work.switches(random.Random(5)))]
    for flags, name, image in drawn:
        usual = work._image(flags)
        assert usual is not None and not torch.equal(usual, image), name
    assert len({name for _, name, _ in drawn}) > 1


def test_a_name_counts_where_nothing_is_left() -> None:
    cause = TriedCause("Q24 off (N of each axis)", (), 1.0, 0, 9, 0.0)
    other = replace(cause, name="the switches of bl831-2022, cctbx-standalone")
    named = Diagnosis(5, 9, 9, causes=(cause, other))
    assert work.names_switch(named, "Q24") and not work.names_switch(named, "Q2")
    assert work.names_switch(named, "cctbx-standalone") and not work.names_switch(named, "bl831-main")
    assert not work.names_switch(Diagnosis(5, 9, 9, causes=(replace(cause, left=1),)), "Q24")
    rows = [work.SwitchRow("-N 5", "Q24", True, "x"), work.SwitchRow("-N 5", "Q29", False, "None of 9")]
    assert work.study_lines(rows) == ["Q29: None of 9\n    -N 5", "1 of 2 switches named first"]
    assert "**1 of 2 switches are named first**" in work.study_markdown(rows, 1)
