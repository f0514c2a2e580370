"""Signatures: an in-toto statement that others can check, and each key or file that does not fit is named."""

import json

import pytest

from tests.scaling.bundle.chains import COMMIT, NOON, at, make, manifest_anew, reseal
from tools.scaling.base.errors import BadInput, Unavailable
from tools.scaling.bundle.bundle import create
from tools.scaling.bundle.verify import Signature, verify_bundle


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
