"""verify: every damage to a bundle or to the chain of bundles is named, and nothing sound is."""

import hashlib
import json
import os
import shutil
import subprocess
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tools.scaling.base.errors import BadInput, Unavailable
from tools.scaling.bundle.bundle import Bundle, create
from tools.scaling.bundle.history import history
from tools.scaling.bundle.layout import SEAL
from tools.scaling.bundle.seal import DEEPEST, write_seal
from tools.scaling.bundle.text import chain_lines
from tools.scaling.bundle.verify import Signature, Standing, verify_all, verify_bundle

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
COMMIT = "1" * 40
GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]


def make(root, number, **files):
    """The bundle of `number` minutes after noon, sealed."""
    bundle = create(root, now=NOON + timedelta(minutes=number))
    (bundle.folder / "spec").mkdir()
    bundle.write_provenance({"git_sha": COMMIT})
    for name, text in ({"a.log": f"first line\n{number}\n", "spec/b.log": f"{number} b\n"} | files).items():
        bundle.path(name).write_text(text)
    bundle.seal()
    return bundle


@pytest.fixture
def root(tmp_path):
    """A chain of four bundles."""
    for number in range(4):
        make(tmp_path / "runs", number)
    return tmp_path / "runs"


def at(root, number):
    return Bundle(root / (NOON + timedelta(minutes=number)).strftime("%Y%m%dT%H%M%SZ"))


def reseal(bundle):
    """What a forger does after an edit: the sizes and the manifest made anew, the link kept."""
    data = json.loads(bundle.path(SEAL).read_text())
    bundle.path("sha256.txt").unlink()
    bundle.path(SEAL).unlink()
    write_seal(bundle.folder)
    fresh = json.loads(bundle.path(SEAL).read_text()) | {k: data[k] for k in ("number", "previous")}
    bundle.path(SEAL).write_text(json.dumps(fresh, indent=2) + "\n")
    lines = bundle.path("sha256.txt").read_text().splitlines()
    digest = hashlib.sha256(bundle.path(SEAL).read_bytes()).hexdigest()
    bundle.path("sha256.txt").write_text(
        "".join(f"{digest if n == SEAL else d}  {n}\n" for d, n in map(str.split, lines))
    )
    assert bundle.problems() == []


def said(verdict):
    """Every line of a chain's verdict, with its bundle in front."""
    lines = [str(problem) for problem in verdict.lost]
    return lines + [
        f"{one.bundle.rsplit('/', 1)[-1]}/{problem}" for one in verdict.verdicts for problem in one.problems
    ]


def git(folder, *arguments):
    return subprocess.run([*GIT, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda b: b.path("a.log").write_text("first lime\n0\n"), "a.log: changed"),
        (lambda b: b.path("a.log").write_text("first"), "a.log: truncated, 5 of 13 bytes"),
        (lambda b: b.path("a.log").unlink(), "a.log: missing"),
        (lambda b: b.path("a.log").rename(b.path("spec/z.log")), "a.log: renamed to spec/z.log"),
        (lambda b: b.path("new").write_text(""), "new: added, not in sha256.txt"),
        (lambda b: b.path(SEAL).unlink(), "seal.json: missing"),
        (lambda b: b.path(SEAL).write_text("{"), "seal.json: truncated or changed at its end"),
        (lambda b: b.path("sha256.txt").unlink(), "sha256.txt: missing, the seal is not whole"),
        (
            lambda b: b.path("sha256.txt").write_text(b.path("sha256.txt").read_text()[:-1]),
            "sha256.txt: truncated, its last line has no end",
        ),
    ],
)
def test_each_kind_of_damage_has_its_name(root, damage, line):
    bundle = at(root, 0)
    assert verify_bundle(bundle.folder).ok
    damage(bundle)
    verdict = verify_bundle(bundle.folder)
    assert line in [str(problem) for problem in verdict.problems]
    assert not verdict.ok
    assert verdict.to_dict()["ok"] is False


def in_place(bundle, name, make):
    """Something that is no plain file, where one was."""
    bundle.path(name).unlink()
    make(bundle.path(name))


@pytest.mark.parametrize("name", ["a.log", SEAL, "sha256.txt"])
@pytest.mark.parametrize(
    ("make", "what"),
    [
        (os.mkfifo, "something else"),
        (lambda path: path.symlink_to("/dev/zero"), "a link"),
        (Path.mkdir, "a folder"),
    ],
)
def test_what_is_no_plain_file_is_named_and_never_waited_for(root, name, make, what):
    in_place(at(root, 3), name, make)
    lines = said(verify_all(root))
    expected = f"changed: expected a plain file, got {what}"
    if what == "a folder" and name != "sha256.txt":  # a folder without files, where a file was
        expected = "missing"
    assert f"20261123T120300Z/{name}: {expected}" in lines
    assert all(line.startswith("20261123T120300Z/") for line in lines)


def test_an_empty_folder_is_named_and_none_is_sealed(root):
    (at(root, 2).folder / "deep" / "er").mkdir(parents=True)
    assert [str(p) for p in verify_bundle(at(root, 2).folder).problems] == [
        "deep/er: added, an empty folder",
        "deep: added, an empty folder",
    ]
    fresh = create(root, now=NOON + timedelta(hours=1))
    fresh.path("left").mkdir()
    fresh.path("a.log").write_text("a\n")
    fresh.seal()
    assert verify_bundle(fresh.folder).ok
    assert not fresh.path("left").exists()


def test_a_manifest_with_other_line_ends_is_one_line(root):
    path = at(root, 3).path("sha256.txt")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert [str(p) for p in verify_bundle(at(root, 3).folder).problems] == [
        "sha256.txt: expected lines that end in LF, got CR LF"
    ]


def manifest_anew(bundle):
    """sha256.txt as `sha256sum` would make it, seal.json as it is."""
    names = [name for name in bundle.files() if not bundle.path(name).is_dir()]
    lines = [f"{hashlib.sha256(bundle.path(name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    bundle.path("sha256.txt").write_text("".join(lines))


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("[1]", "seal.json: expected the bundle's seal, got TypeError"),
        ("[" * 100_000, "seal.json: expected the bundle's seal, got RecursionError"),
        ({"number": float("inf")}, "seal.json: expected the bundle's seal, got OverflowError"),
        ({"format": "1"}, "seal.json: written by a newer version (expected format 1 or less, got '1')"),
        ({"previous": {"bundle": [1], "sha256": "x"}}, "seal.json: expected the bundle's seal, got TypeError"),
        ({"previous": {"bundle": "../x", "sha256": "0" * 64}}, "seal.json: expected the bundle's seal, got ValueError"),
        ({"number": 99}, "seal.json: changed: number 99, expected 4"),
        ({"sizes": {}}, "a.log: added, not in seal.json"),
        ({"sizes": {"a.log": 5, "spec/b.log": 4, "provenance.json": 0}}, "a.log: changed: 13 bytes, seal.json has 5"),
    ],
)
def test_a_seal_that_was_edited_is_named_though_the_manifest_was_made_anew(root, value, line):
    bundle = at(root, 3)
    data = json.loads(bundle.path(SEAL).read_text())
    bundle.path(SEAL).write_text(value if isinstance(value, str) else json.dumps(data | value) + "\n")
    manifest_anew(bundle)
    lines = said(verify_all(root))
    assert any(each.startswith(f"20261123T120300Z/{line}") for each in lines), lines
    assert all(each.startswith("20261123T120300Z/") for each in lines)


def test_a_file_that_was_added_to_the_manifest_too_is_named(root):
    at(root, 3).path("new.log").write_text("x")
    manifest_anew(at(root, 3))
    assert said(verify_all(root)) == ["20261123T120300Z/new.log: added, not in seal.json"]


def test_names_chosen_by_others_stay_on_their_line(root):
    for name in ("a\nb: changed", "\x1b[31mred", os.fsdecode(b"\xff")):
        at(root, 3).path(name).write_text("x")
    folder = at(root, 3).folder
    lines = list(chain_lines(verify_all(root)))
    assert lines[:-1] == [
        f"{folder}: \\x1b[31mred: added, not in sha256.txt",
        f"{folder}: a\\x0ab: changed: added, not in sha256.txt",
        f"{folder}: \\udcff: added, not in sha256.txt",
    ]


def test_a_link_is_no_evidence_whatever_it_points_to(root, tmp_path):
    bundle = at(root, 0)
    shutil.copy(bundle.path("a.log"), tmp_path / "copy")
    bundle.path("a.log").unlink()
    bundle.path("a.log").symlink_to(tmp_path / "copy")
    assert [str(p) for p in verify_bundle(bundle.folder).problems] == [
        "a.log: changed: expected a plain file, got a link"
    ]
    fresh = create(root, now=NOON + timedelta(hours=1))
    fresh.path("link").symlink_to(tmp_path / "copy")
    with pytest.raises(BadInput, match="link: expected a plain file in a bundle, got a link"):
        fresh.seal()
    assert not fresh.sealed


def test_a_file_dropped_together_with_its_line_is_named(root):
    bundle = at(root, 3)
    bundle.path("a.log").unlink()
    lines = bundle.path("sha256.txt").read_text().splitlines(keepends=True)
    bundle.path("sha256.txt").write_text("".join(line for line in lines if "a.log" not in line))
    assert [str(p) for p in verify_bundle(bundle.folder).problems] == ["a.log: missing, from sha256.txt too"]


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


@pytest.fixture
def keys(tmp_path):
    """A pair of Ed25519 keys in PEM, and the public key of another pair."""
    pytest.importorskip("securesystemslib", reason="the extra 'signing' is not installed")
    pytest.importorskip("in_toto_attestation", reason="the extra 'signing' is not installed")
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    paths = []
    for name in ("own", "other"):
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
        public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
        for suffix, data in (("key", private), ("pub", public)):
            paths.append(tmp_path / f"{name}.{suffix}")
            paths[-1].write_bytes(data)
    return paths[0], paths[1], paths[3]


@pytest.fixture
def signed(tmp_path, keys):
    bundle = create(tmp_path / "runs", now=NOON)
    bundle.write_provenance({"git_sha": COMMIT})
    factors = {"polar": {"status": "PASS"}, "steps": {"status": "MINOR"}}
    bundle.path("metrics.json").write_text(json.dumps({"factors": factors}))
    bundle.seal(sign=keys[0])
    return bundle


def test_a_signature_is_an_in_toto_statement_in_a_dsse_envelope(signed, keys):
    import base64

    assert verify_bundle(signed.folder).signature is Signature.UNCHECKED
    verdict = verify_bundle(signed.folder, keys[1])
    assert (verdict.ok, verdict.signature) == (True, Signature.VALID)
    envelope = json.loads(signed.path("attestation.json").read_text())
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert statement["predicate"]["result"] == "FAILED"
    assert (statement["predicate"]["passedTests"], statement["predicate"]["failedTests"]) == (["polar"], ["steps"])
    subjects = {s["name"]: s["digest"] for s in statement["subject"]}
    assert subjects.pop("commit") == {"gitCommit": COMMIT}
    listed = dict(reversed(line.split("  ")) for line in signed.path("sha256.txt").read_text().splitlines())
    assert {n: {"sha256": d} for n, d in listed.items() if n != "attestation.json"} == subjects


def test_another_key_another_commit_and_another_file_are_named(signed, keys):
    def lines(key):
        return [str(p) for p in verify_bundle(signed.folder, key).problems]

    assert lines(keys[2])[0].startswith("attestation.json: not signed by ")
    signed.path("metrics.json").write_text("{}")
    signed.path("provenance.json").write_text(json.dumps({"git_sha": "2" * 40}))
    envelope = signed.path("attestation.json").read_bytes()
    reseal(signed)
    signed.path("attestation.json").write_bytes(envelope)
    found = lines(keys[1])
    assert f"attestation.json: signed for commit {COMMIT}, the bundle says {'2' * 40}" in found
    assert "attestation.json: metrics.json is not as it was signed" in found


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, '{"payload": "e30=", "signatures": null}'])
def test_an_attestation_that_is_no_envelope_is_one_line(signed, keys, text):
    signed.path("attestation.json").write_text(text)
    manifest_anew(signed)
    (problem,) = verify_bundle(signed.folder, keys[1]).problems
    assert str(problem).startswith("attestation.json: expected a DSSE envelope, got ")


def test_the_envelope_is_signed_as_dsse_says(signed, keys):
    """Checked by hand: the signature is over the pre-authentication encoding of type and payload."""
    import base64

    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    envelope = json.loads(signed.path("attestation.json").read_text())
    kind, payload = envelope["payloadType"].encode(), base64.b64decode(envelope["payload"])
    encoded = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    key, (signature,) = load_pem_public_key(keys[1].read_bytes()), envelope["signatures"]
    key.verify(base64.b64decode(signature["sig"]), encoded)  # raises where it is not
    with pytest.raises(InvalidSignature):
        key.verify(base64.b64decode(signature["sig"]), payload)


def test_a_key_of_another_kind_is_named(tmp_path, keys):
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    pem = X25519PrivateKey.generate().private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    (tmp_path / "x.pem").write_bytes(pem)
    with pytest.raises(BadInput, match=r"x\.pem: expected an unencrypted private key .* got none: .*X25519"):
        create(tmp_path / "runs", now=NOON).seal(sign=tmp_path / "x.pem")


@pytest.mark.parametrize(
    "content", [b"", b"not a key\n", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_key_that_is_none_is_one_line_and_nothing_is_sealed(tmp_path, keys, content):
    (tmp_path / "bad").write_bytes(content)
    bundle = create(tmp_path / "runs", now=NOON)
    with pytest.raises(BadInput, match="bad: expected an unencrypted private key in PEM") as error:
        bundle.seal(sign=tmp_path / "bad")
    assert "\n" not in str(error.value)
    assert bundle.files() == []
    sealed = make(tmp_path / "runs", 1)
    with pytest.raises(BadInput, match="bad: expected a public key in PEM"):
        verify_bundle(sealed.folder, tmp_path / "bad")
    with pytest.raises(BadInput, match="gone: expected a public key in PEM .*No such file"):
        verify_bundle(sealed.folder, tmp_path / "gone")


def test_a_bundle_without_signature_fails_where_one_is_asked_for(root, keys):
    assert [str(p) for p in verify_bundle(at(root, 0).folder, keys[1]).problems] == [
        "attestation.json: missing, the bundle was not signed"
    ]


def test_without_the_libraries_the_extra_is_named(root, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "securesystemslib", None)
    monkeypatch.setitem(__import__("sys").modules, "securesystemslib.dsse", None)
    with pytest.raises(Unavailable, match="expected the dependency group: pip install --group signing"):
        verify_bundle(at(root, 0).folder, root / "key")


def in_a_repository(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path / "repo"], check=True)
    root = tmp_path / "repo/runs"
    for number in range(2):
        make(root, number)
    git(root, "add", ".")
    assert verify_all(root).standing is Standing.STAGED
    return root


def cli(capsys, *arguments):
    from tools.scaling.cli import main

    code = main([*map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize("arguments", [["--all"], []])
def test_git_that_refuses_to_answer_is_no_git_that_has_nothing(tmp_path, monkeypatch, capsys, arguments):
    root = in_a_repository(tmp_path)
    which = [str(at(root, 1).folder)] if not arguments else [*arguments, "--reports-root", root]
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    code, out, err = cli(capsys, "verify", *which)
    assert code == 2
    assert "stands alone" not in out and "whether git has it is not known" in out
    assert err.startswith("error: git could not be asked: ") and "dubious ownership" in err
    at(root, 1).path("a.log").write_text("damaged")
    assert cli(capsys, "verify", *which)[0] == 1


def test_without_git_a_repositorys_bundle_is_not_called_alone(tmp_path, monkeypatch):
    root = in_a_repository(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert verify_all(root).unasked == "git could not be asked: git: expected the program on PATH, got none"
    make(tmp_path / "elsewhere", 0)
    assert (verify_all(tmp_path / "elsewhere").standing, verify_all(tmp_path / "elsewhere").unasked) == ("alone", "")


def test_a_bundle_and_all_are_both_verified(root, tmp_path, capsys):
    damaged = make(tmp_path / "other", 7)
    damaged.path("a.log").write_text("first lime\n7\n")
    code, out, _ = cli(capsys, "verify", damaged.folder, "--all", "--reports-root", root)
    assert (code, f"{damaged.folder}: a.log: changed\n" in out) == (1, True)
    inside = at(root, 2).folder
    code, out, _ = cli(capsys, "verify", inside, "--all", "--reports-root", root)
    assert (code, out.count("hold")) == (0, 1)
    code, _, err = cli(capsys, "verify", tmp_path / "none", "--all", "--reports-root", root)
    assert (code, err) == (2, f"error: {tmp_path}/none: expected a bundle's folder, got none\n")


def deep(folder, levels):
    """Folders in one another, made from within: their path is longer than any that a system takes."""
    handle = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=handle)
        inner = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(handle)


def remove_deep(folder):
    subprocess.run(["rm", "-rf", folder], check=True)


def test_a_folder_that_is_too_deep_does_not_end_the_verdict_on_the_others(root, capsys):
    deep(at(root, 1).folder, 1500)
    at(root, 2).path("a.log").write_text("x")
    try:
        code, out, _ = cli(capsys, "verify", "--all", "--reports-root", root)
        assert code == 1
        assert (
            f"{at(root, 1).folder}: {'/'.join('d' * (DEEPEST + 1))}: cannot be read: expected at most 32 folders" in out
        )
        assert f"{at(root, 2).folder}: a.log: truncated" in out and "2 of 4 bundles do not hold" in out
        assert cli(capsys, "index", "--reports-root", root)[0] == 0
        assert cli(capsys, "history", "--reports-root", root)[0] == 0
        fresh = create(root, now=NOON + timedelta(hours=1))
        deep(fresh.folder, 40)
        with pytest.raises(BadInput, match="expected at most 32 folders in one another, got more"):
            fresh.seal()
    finally:
        remove_deep(root)


def test_one_bundle_that_cannot_be_read_does_not_end_the_verdict_on_the_others(root, monkeypatch, capsys):
    """As root no permission is denied, so the system's answer is put in its mouth."""
    closed = str(at(root, 1).folder)
    scandir, lstat, read = os.scandir, Path.stat, Path.read_bytes

    def denied(path, *arguments, real, **options):
        if str(path).startswith(closed) and (str(path) != closed or real is scandir):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "scandir", lambda path=".": denied(path, real=scandir))
    monkeypatch.setattr(Path, "stat", lambda path, **options: denied(path, real=lstat, **options))
    monkeypatch.setattr(Path, "read_bytes", lambda path: denied(path, real=read))
    at(root, 2).path("a.log").write_text("x")
    code, out, _ = cli(capsys, "verify", "--all", "--reports-root", root)
    assert code == 1
    line = "sha256.txt: changed: expected a plain file, got what cannot be looked at: Permission denied"
    assert f"{closed}: {line}" in out
    assert f"{at(root, 2).folder}: a.log: truncated" in out
    assert cli(capsys, "index", "--reports-root", root)[0] == 0
    make(root, 9)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.log", "a.log: changed: 1099511627776 bytes, more than any file that was sealed"),
        ("more.bin", "more.bin: added, not in sha256.txt"),
        ("provenance.json", "provenance.json: changed: 1099511627776 bytes, more than any file that was sealed"),
        (SEAL, "seal.json: changed: 1099511627776 bytes, more than any file that was sealed"),
        ("sha256.txt", "sha256.txt: changed: expected a plain file, got one of 1099511627776 bytes"),
    ],
)
def test_a_sparse_file_of_a_tebibyte_is_named_without_being_read(root, name, said):
    with at(root, 1).path(name).open("ab") as stream:
        stream.truncate(2**40)
    verdicts = verify_all(root).verdicts
    assert [str(problem) for problem in verdicts[1].problems] == [said]
    assert [verdict.ok for verdict in verdicts] == [True, False, True, True]
    assert make(root, 5).problems() == []  # and the next run is sealed
    broken = {row.stamp: row.problem for row in history(root).rows}[at(root, 1).stamp]
    assert (broken == "provenance.json: expected at most 256 MiB, got more") == (name == "provenance.json")
    with suppress(BadInput):
        at(root, 1).provenance()
