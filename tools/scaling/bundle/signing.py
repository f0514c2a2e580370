"""An optional signature over a bundle: who says that these files came from this commit.

attestation.json is a DSSE envelope around an in-toto Statement v1. Its subjects are the bundle's files and the
commit; its predicate is the in-toto test result: what passed, what failed. The libraries are the dependency
group `signing`.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tools.scaling.base.errors import BadInput, Unavailable
from tools.scaling.base.repo import relative
from tools.scaling.bundle.layout import (
    ATTESTATION,
    AUDIT,
    ENVIRONMENT,
    IMAGE_FOLDER,
    IMAGES,
    MANIFEST,
    METRICS,
    PROVENANCE,
    read_object,
    read_record,
)
from tools.scaling.bundle.seal import Damage, Problem, manifest

PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
PAYLOAD = "application/vnd.in-toto+json"
_COMMIT = "commit"  # the subject that is no file; its digest is a gitCommit


def _libraries() -> None:
    try:
        import cryptography  # noqa: F401
        import in_toto_attestation.v1.statement  # noqa: F401
        import securesystemslib.dsse  # noqa: F401
    except ImportError as error:
        raise Unavailable(
            f"{error.name}: not installed; expected the dependency group: pip install --group signing"
        ) from error


def load_signer(path: Path) -> Any:
    """Return the signer of a private key in PEM. Raises BadInput where there is none, Unavailable without libraries."""
    _libraries()
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.signer import CryptoSigner

    what = "expected an unencrypted private key in PEM (Ed25519, ECDSA or RSA)"
    return _from_pem(path, what, lambda data: CryptoSigner(load_pem_private_key(data, password=None)))


def load_public_key(path: Path) -> Any:
    """Return the public key in PEM at `path`. Raises BadInput where it holds none, Unavailable without libraries."""
    _libraries()
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.signer import SSlibKey

    what = "expected a public key in PEM (Ed25519, ECDSA or RSA)"
    return _from_pem(path, what, lambda data: SSlibKey.from_crypto(load_pem_public_key(data)))


def _from_pem(path: Path, what: str, read: Callable[[bytes], Any]) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return read(path.read_bytes())
    except OSError as error:
        raise BadInput(f"{path}: {what}, got {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        why = str(error).split(". ")[0].split("\n")[0]
        raise BadInput(f"{path}: {what}, got none: {why}") from error


def attester(folder: Path, key: Path) -> Callable[[Mapping[str, str]], str]:
    """Return what makes attestation.json from the digests of the bundle's files. Raises as load_signer does."""
    signer = load_signer(key)

    def attest(digests: Mapping[str, str]) -> str:
        from google.protobuf.json_format import MessageToJson
        from securesystemslib.dsse import Envelope

        payload = MessageToJson(_statement(folder, digests).pb, indent=None).encode("ascii")
        envelope = Envelope(payload, PAYLOAD, {})
        envelope.sign(signer)
        return json.dumps(envelope.to_dict(), indent=2) + "\n"

    return attest


def _statement(folder: Path, digests: Mapping[str, str]) -> Any:
    from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
    from in_toto_attestation.v1.statement import Statement

    subjects = [ResourceDescriptor(name=name, digest={"sha256": value}).pb for name, value in digests.items()]
    commit = _commit(folder)
    if commit:
        subjects.append(ResourceDescriptor(name=_COMMIT, digest={"gitCommit": commit}).pb)
    statement = Statement(subjects, PREDICATE, _test_result(folder, digests))
    statement.validate()
    return statement


def _commit(folder: Path) -> str | None:
    """Return the commit that the bundle was made from; None where the run halted before it was known."""
    try:
        return read_object(folder / PROVENANCE)["git_sha"] or None
    except (BadInput, KeyError):
        return None


def _test_result(folder: Path, digests: Mapping[str, str]) -> dict[str, Any]:
    """Return the predicate: the nine factors of c-parity, without a trace the images. A run that halted has failed."""
    try:
        passed = {name: row["status"] == "PASS" for name, row in read_object(folder / METRICS)["factors"].items()}
    except (BadInput, KeyError, TypeError, AttributeError):
        passed = _images_agree(folder)
    good = bool(passed) and all(passed.values()) and AUDIT not in digests
    configuration = [
        {"name": name, "digest": {"sha256": digests[name]}} for name in (PROVENANCE, ENVIRONMENT) if name in digests
    ]
    return {
        "result": "PASSED" if good else "FAILED",
        "configuration": configuration,
        "passedTests": [name for name, ok in passed.items() if ok],
        "failedTests": [name for name, ok in passed.items() if not ok],
    }


def _images_agree(folder: Path) -> dict[str, bool]:
    """Return whether the images of two implementations agree; nothing where traces, or nothing, was to be compared."""
    try:
        pair = read_object(folder / PROVENANCE)["implementations"]
        return {} if pair["modes"] else {"images": read_object(folder / IMAGE_FOLDER / IMAGES)["passed"] is True}
    except (BadInput, KeyError, TypeError):
        return {}


def check(folder: Path, public_key: Path) -> list[Problem]:
    """Return what of attestation.json does not hold against `public_key` and the bundle's sha256.txt."""
    key = load_public_key(public_key)
    path = folder / ATTESTATION
    if not path.is_file():
        return [_bad("missing, the bundle was not signed")]
    from google.protobuf.json_format import Parse, ParseError
    from in_toto_attestation.v1.statement import Statement
    from in_toto_attestation.v1.statement_pb2 import Statement as Message
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import Error

    try:
        envelope = Envelope.from_dict(json.loads(read_record(path)))
        envelope.verify([key], 1)
    except Error as error:
        return [_bad(f"not signed by {relative(public_key)}: {str(error).split(',')[0]}")]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return [_bad(f"expected a DSSE envelope, got {error!r}")]
    try:
        if envelope.payload_type != PAYLOAD:
            raise ValueError(f"payload type {envelope.payload_type}")
        statement = Statement.copy_from_pb(Parse(envelope.payload, Message()))
        statement.validate()
    except (ValueError, ParseError) as error:
        return [_bad(f"expected an in-toto Statement v1, got {error}")]
    if statement.pb.predicate_type != PREDICATE:
        return [_bad(f"expected the predicate {PREDICATE}, got {statement.pb.predicate_type}")]
    return _subjects_hold(folder, {s.name: dict(s.digest) for s in statement.pb.subject})


def _subjects_hold(folder: Path, subjects: dict[str, dict[str, str]]) -> list[Problem]:
    """Return each signed file that is not as sha256.txt has it, and a commit that is not that of provenance.json."""
    listed = manifest(folder)[0] if (folder / MANIFEST).is_file() else {}
    commit = subjects.pop(_COMMIT, {}).get("gitCommit")
    faults = (
        [] if commit == _commit(folder) else [_bad(f"signed for commit {commit}, the bundle says {_commit(folder)}")]
    )
    wanted = {name: {"sha256": value} for name, value in listed.items() if name != ATTESTATION}
    for name in sorted(wanted.keys() | subjects.keys()):
        if wanted.get(name) != subjects.get(name):
            faults.append(_bad(f"{name} is not as it was signed"))
    return faults


def _bad(detail: str) -> Problem:
    return Problem(ATTESTATION, Damage.SIGNATURE, detail)
