import gzip
import io
import os
import zlib

import pytest

from moby.oci import compression, gzipping
from moby.oci.digest import CHUNK_BYTES
from moby.oci.gzipping import gzipped

SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 17]


def text(size):
    return b"".join(b"line %d of what compresses well\n" % number for number in range(size // 20 + 1))[:size]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make", [text, os.urandom], ids=["text", "random"])
def test_others_read_it(size, make):
    data = make(size)
    packed = b"".join(gzipped([data]))
    assert gzip.decompress(packed) == data
    assert compression.plain(io.BytesIO(packed)).read() == data
    assert zlib.decompressobj(31).decompress(packed) == data


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("cut", [1 << 12, 70_001, CHUNK_BYTES, 5 * CHUNK_BYTES])
def test_the_same_bytes_however_it_is_done(monkeypatch, threads, cut):
    data = text(4 * CHUNK_BYTES + 99)
    usual = b"".join(gzipped([data]))
    monkeypatch.setattr(gzipping, "_THREADS", threads)
    assert b"".join(gzipped(data[at : at + cut] for at in range(0, len(data), cut))) == usual


def test_a_block_refers_back_into_the_one_before():
    data = os.urandom(CHUNK_BYTES)
    packed = b"".join(gzipped([data, data[-(16 << 10) :]]))
    assert len(packed) < len(data) + 2000


def test_what_the_source_raises_comes_through():
    def broken():
        yield text(2 * CHUNK_BYTES)
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        list(gzipped(broken()))
