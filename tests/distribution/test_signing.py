"""What is signed can be verified by others' programs; keys that are none are told apart."""

import base64
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from peers.binaries import need

from moby.distribution import provenance, signing
from moby.distribution.output import write_sums
from moby.errors import HostUnfit, Invalid, MobyError, NotFound, Unsupported

Run = Callable[..., "subprocess.CompletedProcess[str]"]
SEED = bytes(range(32))
PRIVATE = ed25519.Ed25519PrivateKey.from_private_bytes(SEED)


def pem(key: object = PRIVATE, password: bytes = b"") -> bytes:
    kept = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, kept)  # type: ignore[attr-defined]


def minisign_key(*, kdf: bytes = b"\0\0", spoilt: int = 0) -> bytes:
    """Return a secret key as minisign writes it."""
    secret = b"numbered" + SEED + PRIVATE.public_key().public_bytes_raw()
    check = hashlib.blake2b(b"Ed" + secret, digest_size=32).digest()
    raw = bytearray(b"Ed" + kdf + b"B2" + bytes(48) + secret + check)
    raw[100] ^= spoilt
    return b"untrusted comment: minisign secret key\n" + base64.b64encode(raw) + b"\n"


@pytest.mark.parametrize("data", [pytest.param(pem(), id="pem"), pytest.param(minisign_key(), id="minisign")])
def test_both_forms_of_a_key(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "key").write_bytes(data)
    key = signing.read(tmp_path / "key")
    PRIVATE.public_key().verify(key.sign(b"data"), b"data")
    assert key.public == PRIVATE.public_key().public_bytes_raw()
    assert len(key.key_id) == 16
    assert SEED.hex() not in repr(key)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        pytest.param(None, NotFound, "no key at", id="none"),
        pytest.param(b"", Invalid, "is no private key, neither PEM nor minisign's", id="empty"),
        pytest.param(b"one\ntwo\n", Invalid, "is no private key, neither", id="something-else"),
        pytest.param(b"-----BEGIN PRIVATE KEY-----\nx\n", Invalid, "is no private key: ", id="damaged-pem"),
        pytest.param(pem(rsa.generate_private_key(65537, 2048)), Invalid, "is no Ed25519 key", id="rsa"),
        pytest.param(pem(password=b"secret"), Unsupported, "has a password", id="pem-with-password"),
        pytest.param(minisign_key(kdf=b"Sc"), Unsupported, "has a password", id="minisign-with-password"),
        pytest.param(minisign_key(spoilt=1), Invalid, "is damaged", id="damaged-minisign"),
    ],
)
def test_what_is_no_key(tmp_path: Path, data: bytes | None, error: type[MobyError], message: str) -> None:
    if data is not None:
        (tmp_path / "key").write_bytes(data)
    with pytest.raises(error, match=message) as caught:
        signing.read(tmp_path / "key")
    assert "openssl genpkey" in caught.value.hint


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_bytes(pem())
    monkeypatch.setitem(__import__("sys").modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    with pytest.raises(HostUnfit, match="signing needs cryptography"):
        signing.read(tmp_path / "key")


def test_an_envelope_is_verified_as_dsse_says(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(pem())
    key = signing.read(tmp_path / "key")
    envelope = json.loads(provenance.envelope({"a": "ü"}, (key,)))
    payload = base64.b64decode(envelope["payload"])
    (signature,) = envelope["signatures"]
    head = f"DSSEv1 {len(envelope['payloadType'])} {envelope['payloadType']} {len(payload)} ".encode()
    PRIVATE.public_key().verify(base64.b64decode(signature["sig"]), head + payload)
    with pytest.raises(InvalidSignature):
        PRIVATE.public_key().verify(base64.b64decode(signature["sig"]), payload)


def test_what_no_envelope_is() -> None:
    for data in (b"", b"[]", b"{}", b'{"payload": "e30=", "signatures": []}', b'{"payload": 3, "signatures": 4}'):
        assert provenance.hosts_in(data) is None


def test_minisign_verifies(tmp_path: Path) -> None:
    minisign = need("minisign", "minisign")
    (tmp_path / "key").write_bytes(minisign_key())
    key = signing.read(tmp_path / "key")
    (tmp_path / "x.pyz").write_bytes(b"content")
    (tmp_path / "x.pyz.minisig").write_bytes(signing.minisig(key, tmp_path / "x.pyz"))
    (tmp_path / "x.pub").write_bytes(signing.public(key))
    command = [minisign, "-V", "-p", "x.pub", "-m", "x.pyz"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "Signature and comment signature verified\nTrusted comment: file:x.pyz\thashed" in said
    (tmp_path / "x.pyz").write_bytes(b"another")
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 1


OTHER = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
Changed = Callable[[Path], None]


def lines_of(path: Path, *changes: tuple[int, Callable[[bytes], bytes]]) -> None:
    """Change lines of a signature's file."""
    lines = path.read_bytes().splitlines()
    for number, change in changes:
        lines[number] = change(lines[number])
    path.write_bytes(b"\n".join(lines) + b"\n")


def resigned(folder: Path) -> None:
    """Sign the other's content by another key, under the first one's number."""
    key = signing.Key(b"numbered", OTHER)
    (folder / "x.pyz.minisig").write_bytes(signing.minisig(key, folder / "x.pyz"))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda at: (at / "x.pub").write_bytes(signing.public(signing.Key(b"numbered", OTHER))), id="key"),
        pytest.param(resigned, id="signed-by-another"),
        pytest.param(lambda at: shutil.copy(at / "y.pyz.minisig", at / "x.pyz.minisig"), id="of-another-file"),
        pytest.param(lambda at: shutil.copy(at / "y.pyz", at / "x.pyz"), id="another-file"),
        pytest.param(lambda at: (at / "x.pyz").write_bytes(b"conten"), id="truncated-file"),
        pytest.param(lambda at: (at / "x.pyz.minisig").write_bytes(b""), id="empty"),
        pytest.param(lambda at: lines_of(at / "x.pyz.minisig", (1, lambda line: line[:40])), id="truncated-signature"),
        pytest.param(lambda at: lines_of(at / "x.pyz.minisig", (3, lambda line: line[:40])), id="truncated-comment"),
        pytest.param(
            lambda at: lines_of(at / "x.pyz.minisig", (2, lambda line: line.replace(b"x.pyz", b"y.pyz"))), id="renamed"
        ),
    ],
)
def test_minisign_refuses(tmp_path: Path, change: Changed) -> None:
    minisign = need("minisign", "minisign")
    (tmp_path / "key").write_bytes(minisign_key())
    key = signing.read(tmp_path / "key")
    (tmp_path / "x.pub").write_bytes(signing.public(key))
    for name, content in (("x.pyz", b"content"), ("y.pyz", b"another")):
        (tmp_path / name).write_bytes(content)
        (tmp_path / f"{name}.minisig").write_bytes(signing.minisig(key, tmp_path / name))
    command = [minisign, "-V", "-p", "x.pub", "-m", "x.pyz"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    change(tmp_path)
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize(
    ("change", "key"),
    [
        pytest.param({}, OTHER, id="key"),
        pytest.param({"payload": base64.b64encode(b'{"a":"u"}').decode()}, PRIVATE, id="payload"),
        pytest.param({"payload": "eyJhIjo="}, PRIVATE, id="truncated-payload"),
        pytest.param({"payloadType": "text/x"}, PRIVATE, id="type"),
        pytest.param({"signatures": [{"sig": base64.b64encode(bytes(64)).decode()}]}, PRIVATE, id="signature"),
        pytest.param({"signatures": [{"sig": base64.b64encode(bytes(60)).decode()}]}, PRIVATE, id="truncated"),
    ],
)
def test_an_envelope_that_openssl_refuses(tmp_path: Path, change: dict[str, object], key: object) -> None:
    (tmp_path / "key").write_bytes(pem())
    whole = json.loads(provenance.envelope({"a": "ü"}, (signing.read(tmp_path / "key"),)))
    assert by_openssl(tmp_path, whole, PRIVATE) == 0
    assert by_openssl(tmp_path, {**whole, **change}, key) != 0


def by_openssl(folder: Path, envelope: dict[str, Any], key: Any) -> int:
    """Return openssl's exit code for the signature of an envelope (DSSE 1.0.2)."""
    payload, (signature,) = base64.b64decode(envelope["payload"]), envelope["signatures"]
    kind = envelope["payloadType"]
    (folder / "signed").write_bytes(f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload)
    (folder / "signature").write_bytes(base64.b64decode(signature["sig"]))
    (folder / "public").write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    words = ["-verify", "-pubin", "-inkey", "public", "-rawin", "-in", "signed", "-sigfile", "signature"]
    return subprocess.run(["openssl", "pkeyutl", *words], cwd=folder, capture_output=True, check=False).returncode


@pytest.mark.slow
def test_a_signed_distribution(moby: Run, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(pem())
    assemble = ("assemble", "quickstart", "-o", tmp_path, "--json", "--sign", tmp_path / "key")
    told = json.loads(moby(*assemble).stdout)
    assert {"quickstart.pyz.minisig", "quickstart.pub"} <= set(told["files"])
    folder = tmp_path / "quickstart"
    (signature,) = json.loads((folder / "quickstart.intoto.json").read_text())["signatures"]
    assert signature["keyid"] == signing.read(tmp_path / "key").key_id
    assert json.loads(moby(*assemble).stdout)["changed"] is False
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    shutil.rmtree(folder)
    moby(*assemble)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    unsigned = json.loads(moby("assemble", "quickstart", "-o", tmp_path, "--json").stdout)
    assert (unsigned["changed"], "quickstart.pub" in unsigned["files"]) == (True, False)
    said = moby("assemble", "quickstart", "-o", tmp_path, "--sign", tmp_path / "none", code=1)
    assert said.stderr.startswith(f"no key at {tmp_path}/none: No such file or directory\n  fix: openssl genpkey")


def unsigned(folder: Path) -> None:
    """Put a signature in the envelope that isn't the key's, under its number."""
    path = folder / "quickstart.intoto.json"
    found = json.loads(path.read_text())
    found["signatures"][0]["sig"] = base64.b64encode(bytes(64)).decode()
    path.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")


def told_otherwise(folder: Path) -> None:
    """Have the statement tell of another file, without a signature of that."""
    path, pyz = folder / "quickstart.intoto.json", folder / "quickstart.pyz"
    pyz.write_bytes(pyz.read_bytes() + b"more")
    found = json.loads(path.read_text())
    said = json.loads(base64.b64decode(found["payload"]))
    said["subject"][0]["digest"]["sha256"] = hashlib.sha256(pyz.read_bytes()).hexdigest()
    found["payload"] = base64.b64encode(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).decode()
    path.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda at: (at / "quickstart.pyz").write_bytes(b"another"), id="file"),
        pytest.param(
            lambda at: (at / "quickstart.pyz.minisig").write_bytes(b"none"), id="signature", marks=pytest.mark.long
        ),
        pytest.param(lambda at: (at / "quickstart.pyz.minisig").unlink(), id="no-signature", marks=pytest.mark.long),
        pytest.param(lambda at: (at / "quickstart.pub").write_bytes(b"x"), id="public-key", marks=pytest.mark.long),
        pytest.param(unsigned, id="envelope"),
        pytest.param(told_otherwise, id="statement"),
    ],
)
def test_what_was_changed_is_not_taken_for_signed(moby: Run, signed: Path, tmp_path: Path, change: Changed) -> None:
    """Also where the sums were written anew, so that the folder is whole in itself."""
    folder = shutil.copytree(signed / "quickstart", tmp_path / "quickstart")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    change(folder)
    write_sums(folder)
    told = json.loads(moby("assemble", "quickstart", "-o", tmp_path, "--json", "--sign", signed / "key").stdout)
    assert told["changed"] is True
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.fixture(scope="module")
def signed(moby: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key, and with a quickstart that is signed by it; only to be read."""
    folder = tmp_path_factory.mktemp("signed")
    (folder / "key").write_bytes(pem())
    moby("assemble", "quickstart", "-o", folder, "--sign", folder / "key")
    return folder
