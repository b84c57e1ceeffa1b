"""Mounts of RUN: what their fields mean, and which don't go together; and the values in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moby_builder.dockerfile.language.go_values import boolean, csv_row, duration_ns, integer, size_bytes
from moby_builder.dockerfile.language.mounts import Mount, read, split

from moby.contracts.builder import BuildFailed
from moby.errors import Invalid

MOUNTS = [
    ("target=/a", Mount(target="/a")),
    ("type=bind,from=b,source=/c,dst=/a,rw", Mount(origin="b", source="/c", target="/a", readonly=False)),
    ("Type=BIND,SRC=c,destination=/a,readwrite=true", Mount(source="c", target="/a", readonly=False)),
    ("target=/a,rw=false", Mount(target="/a")),
    ("target=/a,ro=0", Mount(target="/a", readonly=False)),
    ("target=/a,rw,ro", Mount(target="/a")),
    ("type=cache,target=/a", Mount("cache", target="/a", readonly=False)),
    ("type=cache,target=/a,readonly,id=b,sharing=Locked,mode=0755,uid=1,gid=2",
     Mount("cache", target="/a", id="b", sharing="locked", mode=0o755, uid=1, gid=2)),
    ("type=tmpfs,target=/a,size=1m", Mount("tmpfs", target="/a", readonly=False, size_bytes=1 << 20)),
    ("type=secret,id=a", Mount("secret", id="a")),
    ("type=secret,id=a,env=B,required", Mount("secret", id="a", variable="B", required=True)),
    ("type=secret,target=/a,required=false,env=", Mount("secret", target="/a", variable="")),
    ("type=ssh,required=true,id=a,mode=600", Mount("ssh", id="a", required=True, mode=0o600)),
    ('"target=/a,b"', Mount(target="/a,b")),
    ('"target=/""a"""', Mount(target='/"a"')),
]  # fmt: skip


@pytest.mark.parametrize(("flag", "wanted"), MOUNTS)
def test_a_mount(flag: str, wanted: Mount) -> None:
    assert read(split(flag), str) == wanted


def test_variables_are_put_into_values_alone() -> None:
    assert read(split("target=$a,id=b"), str.upper) == Mount(target="$A", id="B")


KEYS = "unexpected key '{}' in '{}'"
REFUSED = [
    ("target", "invalid field 'target' must be a key=value pair"),
    ("required,type=secret", "unexpected key 'required' for mount type 'bind'"),
    ("required=1", "unexpected key 'required' for mount type 'bind'"),
    ("type=secret,id=a,required=x", "invalid value for required: x"),
    ("ro=x", "invalid value for ro: x"),
    ("rw=x", "invalid value for rw: x"),
    ("type=cash", 'unsupported mount type "cash" (did you mean cache?)'),
    ("type=npipe", 'unsupported mount type "npipe"'),
    ("type=cache,sharing=lock", 'unsupported sharing value "lock" (did you mean locked?)'),
    ("size=1", "unexpected key 'size' for mount type 'bind'"),
    ("type=tmpfs,size=x", "invalid value for size: x"),
    ("type=cache,mode=8", "invalid value 8 for mode"),
    ("type=cache,uid=-1", "invalid value -1 for uid"),
    ("type=cache,gid=4294967296", "invalid value 4294967296 for gid"),
    ("tarjet=/a", KEYS.format("tarjet", "tarjet=/a") + " (did you mean target?)"),
    ("colour=a", KEYS.format("colour", "colour=a")),
    ("mode=1", 'mode not allowed for "bind" type mounts'),
    ("type=tmpfs,uid=1", 'uid not allowed for "tmpfs" type mounts'),
    ("gid=1", 'gid not allowed for "bind" type mounts'),
    ("type=secret,id=a,from=b", "secret mount should not have a from"),
    ("type=secret,id=a,sharing=shared", "secret mount should not define sharing"),
    ("type=secret", "invalid secret mount. one of source, target required"),
    ("type=secret,id=a,source=b", "both source and id can't be set"),
    ("type=ssh,sharing=shared", "invalid cache sharing set for ssh mount"),
]


@pytest.mark.parametrize(("flag", "message"), REFUSED)
def test_a_mount_that_is_refused(flag: str, message: str) -> None:
    with pytest.raises(BuildFailed) as error:
        read(split(flag), str)
    assert error.value.message == message


@pytest.mark.parametrize("flag", ["from=$a", "from=a${b}"])
def test_a_stage_must_be_known_early(flag: str) -> None:
    with pytest.raises(BuildFailed, match="'from' doesn't support variable expansion, define alias stage instead"):
        split(flag)
    assert read(split("from=a$"), str) == Mount(origin="a$")


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("1", 1), ("1b", 1), ("1k", 1024), ("1.5K", 1536), ("2 MiB", 2 << 20), ("1GB", 1 << 30),
     (".5t", 1 << 39), ("1p", 1 << 50), ("9999999p", 2**63 - 1)],
)  # fmt: skip
def test_a_size(text: str, size: int) -> None:
    assert size_bytes(text) == size


@pytest.mark.parametrize("text", ["", "k", "-1", "1x", "1 k b", "1e3", "1kk", "0x1"])
def test_no_size(text: str) -> None:
    with pytest.raises(Invalid, match="invalid size"):
        size_bytes(text)


@pytest.mark.parametrize(
    ("text", "ns"),
    [("0", 0), ("1s", 10**9), ("1h2m3.5s", 3723_500_000_000), ("-1ms", -(10**6)), ("+1us", 1000), ("1µs", 1000),
     (".5s", 5 * 10**8), ("1ns", 1), ("-0", 0)],
)  # fmt: skip
def test_a_duration(text: str, ns: int) -> None:
    assert duration_ns(text) == ns


@pytest.mark.parametrize(
    "text", ["", "-", "+", "1", "s", "1d", "1s2", "9999999h9999999h", "--1s", "1.1.1s", "1 s", "-+1s"]
)
def test_no_duration(text: str) -> None:
    with pytest.raises(Invalid, match="time: "):
        duration_ns(text)


def test_booleans_and_numbers() -> None:
    assert [boolean(each) for each in ("1", "t", "True", "0", "F", "false")] == [True, True, True, False, False, False]
    assert (integer("17"), integer("17", 8)) == (17, 15)
    for text in ("yes", ""):
        with pytest.raises(Invalid, match="invalid boolean"):
            boolean(text)
    for text in ("", "-1", "+1", "1_0", "9" * 5000, "٣"):
        with pytest.raises(Invalid, match="invalid number"):
            integer(text)


@given(st.lists(st.text(alphabet='ab,"='), min_size=1))
def test_a_row_whose_fields_are_quoted_keeps_them(fields: list[str]) -> None:
    assert list(csv_row(",".join('"' + each.replace('"', '""') + '"' for each in fields))) == fields
