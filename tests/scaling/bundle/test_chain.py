"""verify --all: whatever is done to the chain of bundles is named, and nothing sound is."""

import json
import shutil
from datetime import timedelta

import pytest

from tests.scaling.bundle.chains import NOON, at, git, make, reseal, said
from tools.scaling.base.errors import BadInput
from tools.scaling.bundle.bundle import Bundle, create
from tools.scaling.bundle.layout import SEAL
from tools.scaling.bundle.text import chain_lines
from tools.scaling.bundle.verify import Standing, verify_all, verify_bundle


def test_each_bundle_names_the_one_before_and_a_sound_chain_holds(root):
    numbers = [json.loads(at(root, n).path(SEAL).read_text())["number"] for n in range(4)]
    assert numbers == [1, 2, 3, 4]
    before = json.loads(at(root, 2).path(SEAL).read_text())["previous"]
    assert before["bundle"] == at(root, 1).stamp
    verdict = verify_all(root)
    assert (verdict.ok, verdict.newest, verdict.standing) == (True, at(root, 3).stamp, Standing.ALONE)


def test_a_bundle_sealed_after_a_younger_one_follows_it(tmp_path):
    late = create(tmp_path, now=NOON)
    make(tmp_path, 1)
    late.seal()
    make(tmp_path, 2)
    assert verify_all(tmp_path).ok
    assert [json.loads(at(tmp_path, n).path(SEAL).read_text())["number"] for n in (1, 0, 2)] == [1, 2, 3]


def delete_one(root):
    shutil.rmtree(at(root, 1).folder)


def rewrite_one(root):
    at(root, 1).path("a.log").write_text("better\n")
    reseal(at(root, 1))


def slip_one_in(root):
    shutil.copytree(at(root, 1).folder, root / "20261123T120130Z")


def forge_one_in(root):
    shutil.copytree(at(root, 1).folder, root / "20261123T120130Z")
    reseal(Bundle(root / "20261123T120130Z"))


def delete_the_first_two(root):
    for number in (0, 1):
        shutil.rmtree(at(root, number).folder)


def rename_the_newest(root):
    at(root, 3).folder.rename(root / "aside")


def copy_one_under_another_kind_of_name(root):
    shutil.copytree(at(root, 1).folder, root / "20261123T120100Z.bak")


def link_one(root):
    at(root, 1).folder.rename(root.parent / "elsewhere")
    at(root, 1).folder.symlink_to(root.parent / "elsewhere")


def swap_two(root):
    (at(root, 1).folder).rename(root / "x")
    (at(root, 2).folder).rename(at(root, 1).folder)
    (root / "x").rename(at(root, 2).folder)


@pytest.mark.parametrize(
    ("damage", "lines"),
    [
        (delete_one, ["20261123T120100Z: deleted, 20261123T120200Z follows it"]),
        (rewrite_one, ["20261123T120100Z/sha256.txt: rewritten, 20261123T120200Z recorded it as"]),
        (slip_one_in, ["20261123T120130Z/seal.json: slipped in or renamed, its seal is that of 20261123T120100Z"]),
        (forge_one_in, ["20261123T120130Z/seal.json: slipped in, or made elsewhere: it follows 20261123T120000Z, and"]),
        (
            delete_the_first_two,
            ["20261123T120100Z: deleted, 20261123T120200Z follows it, and 1 more before it"],
        ),
        (rename_the_newest, ["aside/seal.json: slipped in or renamed, its seal is that of 20261123T120300Z"]),
        (
            copy_one_under_another_kind_of_name,
            ["20261123T120100Z.bak/seal.json: slipped in or renamed, its seal is that of 20261123T120100Z"],
        ),
        (link_one, ["20261123T120100Z/folder: changed: expected a folder, got a link"]),
        (
            swap_two,
            [
                "20261123T120100Z/seal.json: slipped in or renamed, its seal is that of 20261123T120200Z",
                "20261123T120200Z/seal.json: slipped in or renamed, its seal is that of 20261123T120100Z",
            ],
        ),
    ],
)
def test_what_was_done_to_the_chain_is_named(root, damage, lines):
    damage(root)
    verdict = verify_all(root)
    assert not verdict.ok
    for line in lines:
        assert any(each.startswith(line) for each in said(verdict)), said(verdict)
    if damage in (slip_one_in, forge_one_in):
        assert all("20261123T120130Z" in each for each in said(verdict)), said(verdict)


def test_a_folder_of_ones_own_is_no_part_of_the_chain(root):
    mine = create(root, run_dir=root / "mine")
    mine.path("a.log").write_text("a\n")
    mine.seal()
    (root / "notes").mkdir()
    assert verify_all(root).ok


def test_the_count_is_that_of_all_bundles(root):
    assert list(chain_lines(verify_all(root)))[-1].startswith(f"{root}: 4 bundles hold; newest 20261123T120300Z")
    create(root, now=NOON + timedelta(hours=1))
    delete_one(root)
    assert list(chain_lines(verify_all(root))) == [
        f"{root}/20261123T120100Z: deleted, 20261123T120200Z follows it",
        f"{root}/20261123T130000Z: open: not sealed yet",
        f"{root}: 1 of 4 bundles do not hold; newest 20261123T120300Z: stands alone: git has nothing of it",
    ]


def test_the_newest_is_held_against_git(root):
    git(root.parent, "init", "-q")
    assert verify_all(root).standing is Standing.ALONE
    git(root.parent, "add", "runs")
    assert verify_all(root).standing is Standing.STAGED
    assert verify_bundle(at(root, 3).folder).standing is Standing.STAGED
    git(root.parent, "commit", "-q", "-m", "evidence")
    assert (verify_all(root).ok, verify_all(root).standing) == (True, Standing.COMMITTED)
    at(root, 3).path("a.log").write_text("better\n")
    reseal(at(root, 3))
    assert said(verify_all(root)) == ["20261123T120300Z/sha256.txt: rewritten, git has another committed"]
    git(root.parent, "add", "runs")
    assert said(verify_all(root)) == ["20261123T120300Z/sha256.txt: rewritten, git has another committed"]
    assert [str(p) for p in verify_bundle(at(root, 3).folder).problems] == [
        "sha256.txt: rewritten, git has another committed"
    ]
    for name in (SEAL, "sha256.txt"):
        at(root, 3).path(name).unlink()
    assert said(verify_all(root)) == ["20261123T120300Z/sha256.txt: missing, git has it committed"]
    shutil.rmtree(at(root, 3).folder)
    assert said(verify_all(root)) == ["20261123T120300Z: deleted, git has it committed"]


def test_a_bundle_that_was_only_staged_is_missed_when_it_goes(root):
    git(root.parent, "init", "-q")
    git(root.parent, "add", "runs")
    shutil.rmtree(root)
    root.mkdir()
    assert said(verify_all(root)) == [f"20261123T120{n}00Z: deleted, git has it staged" for n in range(4)]


def test_an_open_bundle_is_no_damage_unless_it_was_sealed(root):
    create(root, now=NOON + timedelta(hours=1))
    verdict = verify_all(root)
    assert verdict.ok
    assert verdict.verdicts[-1].standing is Standing.OPEN
    at(root, 3).path("sha256.txt").unlink()
    assert said(verify_all(root)) == ["20261123T120300Z/sha256.txt: missing, the seal is not whole"]


def test_bad_input_of_verify_is_one_clear_line(root, tmp_path):
    with pytest.raises(BadInput, match="none: expected a bundle's folder, got none"):
        verify_bundle(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="empty: expected a folder of bundles, got none in it"):
        verify_all(tmp_path / "empty")
    data = json.loads(at(root, 3).path(SEAL).read_text()) | {"format": 2}
    at(root, 3).path(SEAL).write_text(json.dumps(data))
    with pytest.raises(BadInput, match=r"seal\.json: written by a newer version \(expected format 1 or less, got 2\)"):
        verify_bundle(at(root, 3).folder)
    assert any("written by a newer version" in line for line in said(verify_all(root)))
