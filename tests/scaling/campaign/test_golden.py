"""A planted mistake, shrunk to a folder that shows it: the case, what the oracle says of it, and why."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from nanobragg_torch.physics import corrections
from tests.scaling.cli.calls import run
from tools.scaling.base.errors import BadInput
from tools.scaling.campaign.failures import golden
from tools.scaling.campaign.failures.golden import shrink_groups, shrink_seed
from tools.scaling.campaign.failures.groups import FailureGroup, ShrunkCase, Signature, read_shrunk
from tools.scaling.campaign.generator import draw
from tools.scaling.campaign.record import Drawn
from tools.scaling.campaign.scene import How
from tools.scaling.cases.case import find_case
from tools.scaling.matrix.judge import MatrixOutcome
from tools.scaling.matrix.run import run_case

LINE = (
    "-cell 61.7 52.3 83.9 90 101.3 90 -hkl p1.hkl -default_F 3.25 -distance 123.4 -misset 12.3 -7.8 33.3 "
    "-detpixels_x 9 -detpixels_y 7 -pixel 0.37 -polar -0.75 --quirk Q29=off"
)
ANGLE = corrections.solid_angle


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Every seed draws LINE, and the port's solid angle is a thousandth too large."""
    monkeypatch.setattr(golden, "draw", lambda seed: Drawn(seed, tuple(LINE.split()), {"p1.hkl": b"1 0 0 7\n"}))
    monkeypatch.setattr(corrections, "solid_angle", lambda *args: 1.001 * ANGLE(*args))
    return monkeypatch


def test_a_planted_mistake_is_shrunk_named_and_judged(planted: pytest.MonkeyPatch, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "case"
    code, out, err = run(capsys, "campaign", "shrink", 5, "--check", "oracle", "--out", folder)
    (made,) = read_shrunk(tmp_path)
    assert (code, err) == (0, "")
    lines = [made.command, made.sentence, f"3 flags of 10 left after {made.trials} trials: {folder}"]
    assert out.splitlines() == lines
    assert made.command == "python -m nanobragg_torch -cell 100 100 100 90 90 90 -default_F 1 -detpixels 1"
    assert made.command.endswith(" ".join(made.flags))
    assert (made.signature.label, made.signature.quirks) == ("omega_pixel_sr", ("--quirk",))
    assert made.cause == "omega_pixel_sr"
    assert "omega_pixel_sr is what its rule makes of its own inputs, and the reference's is not" in made.sentence
    assert (made.seed, made.given, made.kept) == (5, 10, 3)
    names = ["case.json", "command.sh", "float.bin", "sha256.txt", "shrunk.json", "trace_0_0.log"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert json.loads((folder / "case.json").read_text())["reference"]["trace"] == golden.ORACLE
    assert subprocess.run(["sha256sum", "-c", "sha256.txt"], cwd=folder, capture_output=True).returncode == 0
    (wrong,) = run_case(find_case(str(folder)))
    assert wrong.outcome is MatrixOutcome.FAIL
    assert any("omega_pixel_sr: expected" in line for line in wrong.problems)
    planted.undo()
    (right,) = run_case(find_case(str(folder)))
    assert right.outcome is MatrixOutcome.PASS
    with pytest.raises(BadInput, match="case: exists already; a shrunk case is never overwritten"):
        shrink_seed(5, How(), "oracle", folder)


def test_what_does_not_fail_is_not_shrunk(tmp_path: Path, capsys) -> None:
    shrink = ("campaign", "shrink", 2, "--out", tmp_path / "case", "--check")
    assert run(capsys, *shrink, "flags") == (0, "seed 2 does not fail flags\n", "")
    code, _, err = run(capsys, *shrink, "polar")
    assert code == 2
    assert re.fullmatch(r"error: --check polar: expected one of flags, compiled, oracle, .*, got another name\n", err)
    assert not (tmp_path / "case").exists()


def test_one_seed_of_each_kind_is_shrunk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fake(seed: int, how: How, check: str, folder: Path, *, seconds: float) -> ShrunkCase | None:
        if check == "flags":
            return None
        if check == "outputs":
            raise OSError(28, "No space left on device", "x")
        shrunk.append((seed, check, folder.name, seconds))
        made = ShrunkCase(Signature(check, "polar", (), "1e-03"), seed, ("-N", "1"), "", "", "polar", folder.name)
        folder.mkdir(parents=True)
        (folder / "shrunk.json").write_text(json.dumps(made.to_dict()))
        return made

    shrunk: list[tuple[int, str, str, float]] = []
    said: list[str] = []
    monkeypatch.setattr(golden, "shrink_seed", fake)
    seeds = tuple(range(20))
    groups = [
        FailureGroup(Signature("oracle", "polar", (), "1e-03"), 9, seeds),
        FailureGroup(Signature("oracle", "polar", (), "1e-09"), 2, seeds),
        FailureGroup(Signature("flags", "N", (), ""), 2, (3,)),
        FailureGroup(Signature("outputs", "a.img", (), ""), 1, (4,)),
        FailureGroup(Signature("compiled", "polar", (), ""), 1, (4,)),
    ]
    shortest = min(seeds, key=lambda seed: len(draw(seed).flags))
    (found,) = shrink_groups(groups, How(), tmp_path, seconds=7.0, most=3, tell=said.append)
    assert shrunk == [(shortest, "oracle", "oracle-polar", 7.0)]
    assert found.seed == shortest
    assert said == [
        f"shrinking seed {shortest} for oracle-polar (1 of 3)",
        "shrinking seed 3 for flags-N (2 of 3)",
        "seed 3 does not fail flags when it is judged again",
        "shrinking seed 4 for outputs-a.img (3 of 3)",
        "seed 4 is not shrunk: No space left on device",
        "1 more group is left as it is; `campaign shrink SEED` shrinks a seed of them",
    ]
    assert len(shrink_groups(groups[:2], How(), tmp_path, tell=said.append)) == 1
    assert len(said) == 6
