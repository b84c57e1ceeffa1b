import bz2
import gzip
import io
import lzma
import random
import shutil
import subprocess
import sys
import threading

import pytest

from moby.errors import HostUnfit, Invalid
from moby.oci import compression
from moby.oci.compression import ReadAhead, plain

DATA = random.Random(1).randbytes(100_000) + b"x" * 5_000_000


def zstd(data):
    return subprocess.run(["zstd", "-qc"], input=data, stdout=subprocess.PIPE, check=True).stdout


KINDS = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstd, "": bytes}


class Trickle(io.RawIOBase):
    """A stream that can't seek and gives few bytes at a time."""

    def __init__(self, data, most=70_001):
        super().__init__()
        self.inner, self.most = io.BytesIO(data), most

    def read(self, size=-1):
        return self.inner.read(self.most if size < 0 else min(size, self.most))


@pytest.fixture(params=["", "without isal"], autouse=True)
def isal(request, monkeypatch):
    """Whether gzip is isal's, which is installed here, or the standard library's."""
    if request.param:
        monkeypatch.setitem(sys.modules, "isal.igzip_lib", None)
    return not request.param


def test_gzip_by_a_library(isal):
    assert isinstance(compression._gzip(), compression._IsalGzip) is isal


def test_gzip_byte_by_byte():
    packed = gzip.compress(b"some text, " * 100) + gzip.compress(b"and more")
    assert plain(Trickle(packed, 1)).read() == b"some text, " * 100 + b"and more"


def test_a_gzip_bomb_is_read_in_pieces():
    with plain(io.BytesIO(gzip.compress(bytes(300_000_000), 9))) as reader:
        assert all(len(chunk) <= compression.CHUNK_BYTES for chunk in iter(lambda: reader.read(1 << 24), b""))


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_stream_holds(kind):
    packed = KINDS[kind](DATA)
    assert compression.detect(packed) == kind
    with plain(Trickle(packed)) as reader:
        assert reader.readable()
        assert reader.read() == DATA
        assert reader.read(1) == b""


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "xz", "zstd"])
def test_several_streams_are_one(kind):
    packed = KINDS[kind](b"a" * 1000) + KINDS[kind](b"b" * 1000)
    assert plain(io.BytesIO(packed)).read() == b"a" * 1000 + b"b" * 1000


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "xz", "zstd"])
@pytest.mark.parametrize("how", ["cut", "damaged"])
def test_a_damaged_stream(kind, how):
    packed = bytearray(KINDS[kind](DATA))
    if how == "cut":
        del packed[len(packed) // 2 :]
    else:
        packed[len(packed) // 2 :] = bytes(len(packed) - len(packed) // 2)
    with pytest.raises(Invalid, match=kind), plain(io.BytesIO(bytes(packed))) as reader:
        reader.read()


def test_padding_after_gzip():
    assert plain(io.BytesIO(gzip.compress(b"a") + bytes(1000))).read() == b"a"


def test_little_streams():
    assert plain(io.BytesIO(b"")).read() == b""
    assert plain(io.BytesIO(b"BZ")).read(100) == b"BZ"


def test_no_zstd(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(compression, "_zstd_maker", lambda: None)
    with pytest.raises(HostUnfit, match="can't read zstd") as caught, plain(io.BytesIO(zstd(b"a"))) as reader:
        reader.read()
    assert caught.value.hint == "install the package zstd, or the Python package backports.zstd"


def test_zstd_by_a_library(monkeypatch):
    class Whole:
        eof, unused_data = False, b""

        def decompress(self, data, max_length=-1):
            self.eof = not data.startswith(b"\x28\xb5")  # the magic comes by itself
            return b"by the library" if self.eof else b""

    monkeypatch.setitem(sys.modules, "backports.zstd", type("Module", (), {"ZstdDecompressor": Whole}))
    monkeypatch.setitem(sys.modules, "backports", type("Package", (), {}))
    if sys.version_info < (3, 14):
        assert plain(io.BytesIO(zstd(b"a"))).read() == b"by the library"


def test_what_feeding_the_command_raises():
    class Failing(Trickle):
        def read(self, size=-1):
            data = super().read(size)
            if not data:
                raise KeyError("source")
            return data

    with pytest.raises(KeyError), plain(Failing(zstd(DATA))) as reader:
        reader.read()


def test_zstd_that_is_left_early():
    before = set(threading.enumerate())
    with plain(io.BytesIO(zstd(DATA))) as reader:
        assert reader.read(10) == DATA[:10]
    assert set(threading.enumerate()) <= before


def test_reading_ahead():
    with ReadAhead(Trickle(DATA)) as reader:
        assert reader.readable()
        assert reader.read(10) == DATA[:10]
        assert reader.read() == DATA[10:]
        assert reader.read(1) == b""


def test_reading_ahead_raises_in_its_place():
    class Failing(Trickle):
        def read(self, size=-1):
            data = super().read(size)
            if not data:
                raise KeyError("source")
            return data

    with ReadAhead(Failing(b"abc")) as reader:
        assert reader.read(10) == b"abc"
        for _ in range(2):
            with pytest.raises(KeyError):
                reader.read(1)


def test_reading_ahead_that_is_left_early():
    before = set(threading.enumerate())
    source = Trickle(b"x" * 100_000_000, 1 << 20)
    with ReadAhead(source) as reader:
        assert reader.read(1) == b"x"
    assert source.closed
    assert set(threading.enumerate()) <= before
