import hashlib
import io
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moby.errors import Corrupt, Invalid
from moby.oci.digest import Verified, parse, sha256


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_parses_what_it_prints(algorithm):
    text = f"{algorithm}:{hashlib.new(algorithm, b'x').hexdigest()}"
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("sha256", "is no digest", id="no-colon"),
        pytest.param("md5:" + "0" * 32, "unknown algorithm", id="algorithm"),
        pytest.param("../x:" + "0" * 64, "unknown algorithm", id="path"),
        pytest.param("sha256:" + "0" * 63, "must have 64", id="short"),
        pytest.param("sha256:" + "A" * 64, "must have 64", id="upper"),
        pytest.param("sha256:" + "0" * 63 + "/", "must have 64", id="slash"),
    ],
)
def test_refuses(text, message):
    with pytest.raises(Invalid, match=message):
        parse(text)


@given(st.text())
def test_anything_is_a_digest_or_invalid(text):
    with suppress(Invalid):
        assert str(parse(text)) == text


def test_verified_passes_what_is_whole():
    reader = Verified(io.BytesIO(b"abc" * 1000), sha256(b"abc" * 1000), size_bytes=3000)
    assert reader.read() == b"abc" * 1000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"abcd", "is longer than 3 bytes", id="longer"),
        pytest.param(b"ab", "has 2 of 3 bytes", id="shorter"),
        pytest.param(b"abx", "hashes to", id="changed"),
    ],
)
def test_verified_refuses(data, message):
    with pytest.raises(Corrupt, match=message), Verified(io.BytesIO(data), sha256(b"abc"), size_bytes=3) as reader:
        reader.read()


def test_verified_reads_into_buffers():
    reader = io.BufferedReader(Verified(io.BytesIO(b"0123456789"), sha256(b"0123456789")), 4)
    assert [reader.read(3), reader.read(3), reader.read()] == [b"012", b"345", b"6789"]
