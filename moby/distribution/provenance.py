"""How a distribution was made: a statement of in-toto with SLSA's predicate (v1), in an envelope of DSSE.

No time and no machine is in it, so that the same inputs give the same bytes.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from moby.contracts.packager import Artifact
from moby.lock import Lock, Pin, dumps

__all__ = ["PAYLOAD_TYPE", "Signer", "envelope", "formats_in", "hosts_in", "signed", "statement", "tells"]

PAYLOAD_TYPE = "application/vnd.in-toto+json"
BUILD_TYPE = "urn:moby-framework:assemble:v1"


class Signer(Protocol):
    """A key that signs."""

    @property
    def key_id(self) -> str:
        """What verifiers find the public key by."""
        ...

    def sign(self, data: bytes) -> bytes:
        """Return the signature, 64 bytes (RFC 8032)."""
        ...


def statement(lock: Lock, made: Mapping[str, Artifact], folder: Path, hosts: Mapping[str, str]) -> dict[str, Any]:
    """Return what was made (files in `folder`), out of what: lock, manifests, distributions, what hosts lent."""
    files = sorted((path.as_posix(), name) for name, each in made.items() for path in each.files)
    brought = sorted({each for artifact in made.values() for each in artifact.brought})
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": path, "digest": {"sha256": _sha256(folder / path)}, "annotations": {"format": name}}
            for path, name in files
        ],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"name": lock.name, "formats": sorted(made)},
                "internalParameters": {"python": lock.python, "hosts": dict(hosts)},
                "resolvedDependencies": [
                    {"name": "lock", "digest": {"sha256": hashlib.sha256(dumps(lock)).hexdigest()}},
                    *({"name": each.name, "digest": _digest(each.digest)} for each in lock.manifests),
                    *_distributions(lock.distributions),
                    *({"name": each.owner, "uri": each.url} for each in brought),
                ],
            },
            "runDetails": {"builder": {"id": "urn:moby-framework", "version": {"moby-framework": lock.framework}}},
        },
    }


def _distributions(pins: Iterable[Pin]) -> Iterable[dict[str, Any]]:
    for pin in pins:
        uri = f"pkg:pypi/{pin.name}@{pin.version}"
        yield {"name": f"{pin.name} {pin.version}", "uri": uri, "digest": _digest(pin.digest)}


def _digest(text: str) -> dict[str, str]:
    algorithm, _, value = text.partition(":")
    return {algorithm: value}


def envelope(said: Mapping[str, Any], signers: Sequence[Signer] = ()) -> bytes:
    """Return a statement in an envelope, with a signature of each signer (DSSE 1.0.2)."""
    payload = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    head = f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} "
    signatures = [
        {"keyid": each.key_id, "sig": base64.b64encode(each.sign(head.encode() + payload)).decode()} for each in signers
    ]
    whole = {"payload": base64.b64encode(payload).decode(), "payloadType": PAYLOAD_TYPE, "signatures": signatures}
    return (json.dumps(whole, indent=2, sort_keys=True) + "\n").encode()


def signed(data: bytes, signers: Sequence[Signer]) -> bytes:
    """Return an envelope of ours as these signers sign it."""
    return envelope(json.loads(base64.b64decode(json.loads(data)["payload"])), signers)


def tells(data: bytes, lock: Lock, digests: Mapping[str, str]) -> bool:
    """Return whether an envelope tells of this lock, and of files that have these digests."""
    try:
        said = json.loads(base64.b64decode(json.loads(data)["payload"]))
        locked = said["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"]["sha256"]
        files = {each["name"]: each["digest"]["sha256"] for each in said["subject"]}
    except (ValueError, LookupError, TypeError, RecursionError):
        return False
    same = locked == hashlib.sha256(dumps(lock)).hexdigest()
    return same and all(digests.get(name) == digest for name, digest in files.items())


def hosts_in(data: bytes) -> tuple[dict[str, str], tuple[str, ...]] | None:
    """Return what hosts lent, and the ids of the keys that signed; None where this is no envelope of ours."""
    try:
        found = json.loads(data)
        said = json.loads(base64.b64decode(found["payload"]))
        keys = tuple(each["keyid"] for each in found["signatures"])
        return dict(said["predicate"]["buildDefinition"]["internalParameters"]["hosts"]), keys
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


def formats_in(data: bytes) -> dict[str, str]:
    """Return by file which format it is; empty where this is no envelope of ours, or an older one."""
    try:
        said = json.loads(base64.b64decode(json.loads(data)["payload"]))
        return {str(each["name"]): str(each["annotations"]["format"]) for each in said["subject"]}
    except (ValueError, LookupError, TypeError, RecursionError):
        return {}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
