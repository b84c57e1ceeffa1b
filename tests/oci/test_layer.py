import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moby.errors import Conflict, Invalid
from moby.oci import layer
from moby.oci.layer import EntryType, LayerEntry


def entries(data):
    return [(entry, b"".join(content)) for entry, content in layer.read(io.BytesIO(data))]


def written(*pairs):
    with layer.write((entry, [data]) for entry, data in pairs) as tar:
        found = tar.read()
    assert b"".join(layer.stream((entry, [memoryview(data)]) for entry, data in pairs)) == found
    return found


def tar_of(*members, format=tarfile.PAX_FORMAT):
    """A tar made by the standard library; a member is a TarInfo's attributes, and `data`."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for member in members:
            data = member.pop("data", b"")
            info = tarfile.TarInfo(member.pop("name"))
            for key, value in ({"size": len(data)} | member).items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60).filter(
    lambda name: name not in (".", "..") and len(name.encode()) <= 255
)
PATHS = st.lists(NAMES, min_size=1, max_size=5).map("/".join)
COMMON = {
    "path": PATHS,
    "mode": st.integers(0, 0o7777),
    "uid": st.integers(0, 1 << 32),
    "gid": st.integers(0, 1 << 32),
    "mtime_ns": st.integers(0, 1 << 62),
    "xattrs": st.dictionaries(st.sampled_from(["user.a", "security.capability"]), st.binary(min_size=1)),
}
FILES = st.binary(max_size=2000).flatmap(
    lambda data: st.tuples(st.builds(LayerEntry, size_bytes=st.just(len(data)), **COMMON), st.just(data))
)
FOLDERS = st.tuples(st.builds(LayerEntry, type=st.just(EntryType.DIRECTORY), **COMMON), st.just(b""))
LINKS = st.tuples(
    st.builds(LayerEntry, type=st.sampled_from([EntryType.SYMLINK, EntryType.HARDLINK]), link=PATHS, **COMMON),
    st.just(b""),
)
DEVICES = st.tuples(
    st.builds(
        LayerEntry,
        type=st.sampled_from([EntryType.CHARACTER, EntryType.BLOCK]),
        device=st.tuples(st.integers(0, 4095), st.integers(0, 1 << 20)),
        **COMMON,
    ),
    st.just(b""),
)


@pytest.mark.slow
@given(st.lists(FILES | FOLDERS | LINKS | DEVICES, max_size=6))
def test_what_is_written_is_read(pairs):
    assert entries(written(*pairs)) == pairs


@pytest.mark.slow
@given(st.lists(FILES, max_size=4))
def test_the_standard_library_reads_what_is_written(pairs):
    with tarfile.open(fileobj=io.BytesIO(written(*pairs))) as tar:
        members = tar.getmembers()
        assert [(each.name, each.mode, each.uid, each.size) for each in members] == [
            (entry.path.rstrip("/"), entry.mode, entry.uid, entry.size_bytes) for entry, _ in pairs
        ]
        assert [tar.extractfile(each).read() for each in members] == [data for _, data in pairs]


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_format_of_the_standard_library_is_read(format):
    long = "d" * 90 + "/" + "f" * 90
    data = tar_of(
        {"name": "./a", "data": b"x" * 513, "mode": 0o640, "uid": 7, "gid": 8, "mtime": 9},
        {"name": long, "data": b"y"},
        {"name": "/b/", "type": tarfile.DIRTYPE, "mode": 0o755},
        {"name": "c", "type": tarfile.SYMTYPE, "linkname": "../a"},
        {"name": "e", "type": tarfile.LNKTYPE, "linkname": "/a"},
        {"name": "f", "type": tarfile.FIFOTYPE},
        {"name": "g", "type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3},
        format=format,
    )
    found = entries(data)
    assert found[0] == (LayerEntry("a", mode=0o640, uid=7, gid=8, size_bytes=513, mtime_ns=9 * 10**9), b"x" * 513)
    assert found[1] == (LayerEntry(long, size_bytes=1), b"y")
    assert [(entry.path, entry.type, entry.link, entry.device) for entry, _ in found[2:]] == [
        ("b", EntryType.DIRECTORY, "", (0, 0)),
        ("c", EntryType.SYMLINK, "../a", (0, 0)),
        ("e", EntryType.HARDLINK, "a", (0, 0)),
        ("f", EntryType.FIFO, "", (0, 0)),
        ("g", EntryType.CHARACTER, "", (1, 3)),
    ]


def test_gnu_long_names_and_big_numbers():
    data = tar_of(
        {"name": "n" * 200, "uid": 1 << 30, "linkname": "l" * 300, "type": tarfile.SYMTYPE}, format=tarfile.GNU_FORMAT
    )
    [(entry, _)] = entries(data)
    assert (entry.path, entry.link, entry.uid) == ("n" * 200, "l" * 300, 1 << 30)


def test_global_headers_hold_until_the_end():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"uid": "77"}) as tar:
        for name in "ab":
            tar.addfile(tarfile.TarInfo(name))
    assert [entry.uid for entry, _ in entries(out.getvalue())] == [77, 77]


@pytest.mark.parametrize(
    ("mtime", "expected"),
    [
        pytest.param("12.5", 12_500_000_000, id="fraction"),
        pytest.param("-5.25", 250_000_000, id="before-the-epoch"),
        pytest.param("9" * 19, ((1 << 33) - 1) * 10**9, id="far"),
    ],
)
def test_times_are_brought_into_range(mtime, expected):
    [(entry, _)] = entries(tar_of({"name": "a", "pax_headers": {"mtime": mtime}}))
    assert entry.mtime_ns == expected


def test_the_last_padding_may_be_missing():
    """As in contexts of docker's client, which appends files to an archive and never ends it."""
    ((entry, content),) = entries(header(size=b"00000000003\0") + b"abc")
    assert (entry.path, content) == ("a", b"abc")


def test_content_that_is_not_read_is_passed_over():
    data = written((LayerEntry("a", size_bytes=3), b"abc"), (LayerEntry("b", size_bytes=1), b"d"))
    assert [entry.path for entry, _ in layer.read(io.BytesIO(data))] == ["a", "b"]


def test_reads_to_the_end():
    source = io.BytesIO(written() + b"more")
    assert list(layer.read(source)) == []
    assert source.read() == b""


def header(**changes):
    """One ustar header with fields overwritten: `size=b"..."`, and a checksum that is right."""
    places = {"name": 0, "mode": 100, "size": 124, "mtime": 136, "flag": 156, "link": 157, "magic": 257, "prefix": 345}
    block = bytearray(written((LayerEntry("a"), b""))[:512])
    for key, value in changes.items():
        block[places[key] : places[key] + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def pax(body):
    return header(flag=b"x", size=b"%011o\0" % len(body)) + body + bytes(-len(body) % 512) + header()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"x", "ends inside a header", id="short"),
        pytest.param(b"x" * 512, "checksum", id="no-tar"),
        pytest.param(header()[:300], "ends inside a header", id="half-header"),
        pytest.param(header(size=b"00000000777\0") + b"x", "ends inside 'a'", id="half-content"),
        pytest.param(header(size=b"00000000003\0") + b"abc\0", "ends inside padding", id="half-padding"),
        pytest.param(header(size=b"00000x00003\0"), "size that is no number", id="size"),
        pytest.param(header(size=b"\x80" + b"\xff" * 11), "out of range", id="size-huge"),
        pytest.param(header(mode=b"-000001\0"), "mode that is no number", id="mode"),
        pytest.param(header(flag=b"M"), "spans volumes", id="volumes"),
        pytest.param(header(flag=b"Z"), "unknown type", id="type"),
        pytest.param(header(name=b"../a\0"), r"leads out of the layer", id="parent"),
        pytest.param(header(name=b"a/../../b\0"), r"leads out of the layer", id="parent-inside"),
        pytest.param(header(name=b"/..\0"), r"leads out of the layer", id="parent-absolute"),
        pytest.param(header(flag=b"1", link=b"../a\0"), r"leads out of the layer", id="hard-link"),
        pytest.param(header(flag=b"2"), "points to nothing", id="empty-link"),
        pytest.param(header(flag=b"x", size=b"\x80" + bytes(7) + b"\x7f" + bytes(3)), "are allowed", id="pax-huge"),
        pytest.param(header(flag=b"x", size=b"00000000777\0"), "ends inside an extension", id="pax-half"),
        pytest.param(pax(b"12 path=abc\n")[:1024], "ends inside a header", id="pax-alone"),
        pytest.param(pax(b"hello"), "damaged pax", id="pax-text"),
        pytest.param(pax(b"0 a=b\n"), "damaged pax", id="pax-zero"),
        pytest.param(pax(b"99 a=b\n"), "damaged pax", id="pax-long"),
        pytest.param(pax(b"6 a=bc"), "damaged pax", id="pax-no-newline"),
        pytest.param(pax(b"5 ab\n"), "damaged pax", id="pax-no-equals"),
        pytest.param(pax(b"11 size=-1\n"), "size that is no number", id="pax-size"),
        pytest.param(pax(b"11 mtime=x\n"), "time that is no number", id="pax-mtime"),
        pytest.param(pax(b"12 path=a\0b\n"), "no path that Linux", id="nul"),
        pytest.param(pax(b"13 path=../a\n"), "leads out of the layer", id="pax-parent"),
        pytest.param(pax(b"310 path=" + b"n" * 300 + b"\n"), "no path that Linux", id="long-name"),
        pytest.param(pax(b"4510 path=" + b"n/" * 2249 + b"n\n"), "no path that Linux", id="long-path"),
    ],
)
def test_refuses(data, message):
    with pytest.raises(Invalid, match=message):
        entries(data)


def test_empty_pax_record_takes_it_back():
    assert [entry.path for entry, _ in entries(pax(b"8 path=\n"))] == ["a"]


@pytest.mark.parametrize("data", [pytest.param(b"", id="shorter"), pytest.param(b"abcd", id="longer")])
def test_content_that_changes_is_refused(data):
    with pytest.raises(Conflict, match="changed its size"):
        written((LayerEntry("a", size_bytes=3), data))


WHOLE = written((LayerEntry("a" * 120, size_bytes=3, xattrs={"user.x": b"y"}), b"abc"), (LayerEntry("b"), b""))


@given(
    st.binary(max_size=1500)
    | st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(max_size=40)).map(
        lambda change: WHOLE[: change[0]] + change[1] + WHOLE[change[0] + len(change[1]) :]
    )
)
def test_anything_is_entries_or_invalid(data):
    try:
        entries(data)
    except Invalid as error:
        assert error.message


@given(
    st.dictionaries(st.sampled_from(["name", "mode", "size", "mtime", "flag", "link"]), st.binary(max_size=12)),
    st.binary(),
)
def test_any_header_with_a_right_checksum_is_entries_or_invalid(changes, rest):
    try:
        entries(header(**changes) + rest)
    except Invalid as error:
        assert error.message


@given(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(
                [b"a/b\0", b"./a//b\0", b"a/\0", b"a/./b\0", b"a/..\0", b"/a\0", b"\xff" * 100, b"\0"]
            )
        },
        optional={
            "mode": st.sampled_from([b"0100755\0", b"100755 \0", b"x"]),
            "size": st.sampled_from([b"00000000003\0", b"          3 ", b"00000000008\0", b"\x80" + bytes(10) + b"\3"]),
            "mtime": st.sampled_from([b"14530770600\0", b"\xff" * 12, b"9", b"\0"]),
            "flag": st.sampled_from([b"\0", b"0", b"7", b"1", b"5", b"S"]),
            "link": st.sampled_from([b"a\0", b"../a\0"]),
            "magic": st.sampled_from([b"ustar  \0", b"\0" * 8]),
            "prefix": st.sampled_from([b"over\0", b"../over\0"]),
        },
    ),
    st.sampled_from([b"", b"abc", b"abc".ljust(512, b"\0")]),
)
def test_a_header_means_the_same_where_the_shortest_way_is_taken_and_where_not(changes, rest):
    """What an archive says of all its entries keeps it from taking that way."""
    body = b"13 comment=x\n"
    longer = header(flag=b"g", size=b"%011o\0" % len(body)) + body + bytes(512 - len(body))
    found = []
    for before in (b"", longer):
        try:
            found.append(entries(before + header(**changes) + rest))
        except Invalid:  # of several faults either may be named
            found.append(None)
    assert found[0] == found[1]


@given(st.binary(max_size=200))
def test_any_pax_body_is_entries_or_invalid(body):
    try:
        entries(pax(body))
    except Invalid as error:
        assert error.message


def test_the_root_has_no_absolute_name():
    root = layer.LayerEntry("", layer.EntryType.DIRECTORY, mode=0o755)
    data = layer.write([(root, ())]).read()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getnames() == ["."]
    assert entries(data) == [(root, b"")]


def test_a_stream_comes_in_chunks_of_some_size():
    small = [(LayerEntry(f"small{number}", size_bytes=1000), [bytes(1000)]) for number in range(2000)]
    large = [(LayerEntry("large", size_bytes=3 << 20), [bytes(1 << 20)] * 3)]
    sizes = [len(each) for each in layer.stream([*small, *large])]
    assert sum(sizes) == 2000 * 1536 + 512 + (3 << 20) + 1024
    assert min(sizes[:-1]) >= 256 << 10
    assert max(sizes) < (1 << 20) + (256 << 10)


def test_so_do_files_without_content():
    empty = [(layer.READY, layer.ready(f"empty{number}", 0o644, (0, 0), 0, b"")) for number in range(2000)]
    sizes = [len(each) for each in layer.stream(empty)]
    assert sum(sizes) == 2000 * 512 + 1024
    assert max(sizes) < 300 << 10


def test_a_stream_of_what_changes_ends():
    with pytest.raises(Conflict, match="'a' changed its size while it was read"):
        list(layer.stream([(LayerEntry("a", size_bytes=5), [b"1234"])]))
