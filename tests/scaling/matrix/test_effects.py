"""The measured effect of every quirk on a case, and its rendering."""

import json
from pathlib import Path

import pytest
import torch

from nanobragg_torch.flags.parse import parse
from nanobragg_torch.quirks import IDS
from nanobragg_torch.scan.simulate import simulate
from tools.scaling.base.errors import BadInput
from tools.scaling.cases.case import find_case
from tools.scaling.cli import main
from tools.scaling.matrix.effects import QuirkEffect, quirk_effects
from tools.scaling.matrix.text import quirk_lines

FLAGS = (
    "-cell 30 40 50 80 95 105 -default_F 1 -lambda 1.1 -distance 100 -detpixels 6 -pixel 2 -N 5 -oversample 1 "
    "-phi 0 -osc 1 -phisteps 2 -hdivsteps 2"
)


@pytest.fixture(scope="module")
def effects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, QuirkEffect]:
    folder = tmp_path_factory.mktemp("case")
    record = {"name": "small", "flags": FLAGS, "traced_pixels_slow_fast": [[2, 3]]}
    (folder / "case.json").write_text(json.dumps(record))
    return {row.id: row for row in quirk_effects(find_case(str(folder)))}


def test_every_switch_is_measured(effects: dict[str, QuirkEffect]) -> None:
    assert tuple(effects) == IDS
    on, off = (
        simulate(parse(f"{FLAGS} --phi-mode {mode}".split()), device="cpu", dtype=torch.float64)
        for mode in ("c-parity", "spec")
    )
    change = (on - off).abs()
    assert effects["Q29"].image == pytest.approx(float(change.max() / on.max()), rel=1e-12)
    assert effects["Q29"].pixels == int((change > 0).sum()) > 30
    assert effects["Q38"].numbers == 3  # the components of q
    assert (effects["Q38"].pixels, effects["Q38"].silent) == (0, False)
    assert effects["Q13"].silent
    assert effects["Q41"].refused == "-hdivsteps 2: expected -hdivrange or -hdivstep too, got neither"


def test_rendering(effects: dict[str, QuirkEffect]) -> None:
    lines = quirk_lines("small", list(effects.values()))
    assert len(lines) == 2 + len(IDS)
    by_id = {line[:3]: line for line in lines[2:]}
    assert by_id["Q13"].split() == ["Q13", "-", "-", "-", "source", "weights", "ignored"]
    assert f"{effects['Q29'].image:.2e}" in by_id["Q29"]
    assert "refused  " in by_id["Q41"]


def test_a_case_without_a_pixel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "case.json").write_text(json.dumps({"name": "none", "flags": FLAGS}))
    with pytest.raises(BadInput, match="none: names no traced pixel; expected --pixel SLOW FAST"):
        quirk_effects(find_case(str(tmp_path)))
    with pytest.raises(BadInput, match="none: pixel slow 9, fast 0: expected one that is rendered"):
        quirk_effects(find_case(str(tmp_path)), pixel=(9, 0))


def test_the_subcommand_measures_what_arithmetic_gives(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quirks", "point_pixel_nopolar_dmin", "--json"]) == 0
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)}
    # solid angle 1/R^2 against pixel^2/R^2: the image shrinks by (0.6 mm)^2
    assert rows["Q16"]["image"] == pytest.approx(1 - 0.0006**2, rel=1e-9)
    assert main(["quirks", "nope"]) == 2
    assert "nope: expected a folder with case.json" in capsys.readouterr().err
