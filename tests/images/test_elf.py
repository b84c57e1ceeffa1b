import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moby_images.command import elf

from moby.errors import HostUnfit, Invalid


def program(interpreter="", *, bits=64, order="<", segments=1):
    """An ELF file with a program header table of which the last segment names a loader."""
    wide = bits == 64
    header_size, entry = (64, 56) if wide else (52, 32)
    text = interpreter.encode() + b"\0" if interpreter else b""
    start = header_size + segments * entry
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    head = struct.pack(
        order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"),
        2, 62, 1, 0, header_size, 0, 0, header_size, entry, segments, 0, 0, 0,
    )  # fmt: skip
    kinds = [1] * (segments - 1) + [3 if interpreter else 1]
    if wide:
        table = [struct.pack(order + "IIQQQQQQ", kind, 0, start, 0, 0, len(text), 0, 0) for kind in kinds]
    else:
        table = [struct.pack(order + "IIIIIIII", kind, start, 0, 0, len(text), 0, 0, 0) for kind in kinds]
    return ident + head + b"".join(table) + text


@pytest.fixture
def made(tmp_path):
    """A function that makes an executable file."""

    def make(name, data):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        path.chmod(0o755)
        return path

    return make


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("segments", [1, 9])
def test_loader_is_found(made, bits, order, segments):
    assert (
        elf.interpreter_of(made("p", program("/lib/ld.so", bits=bits, order=order, segments=segments))) == "/lib/ld.so"
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(program(), "", id="static"),
        pytest.param(program(segments=0), "", id="no-segments"),
        pytest.param("#!/bin/sh -e\necho\n", "/bin/sh", id="script"),
        pytest.param("#! /usr/bin/env python3\n", "/usr/bin/env", id="env-script"),
        pytest.param("#!\n", "", id="script-of-nobody"),
    ],
)
def test_other_programs(made, data, expected):
    assert elf.interpreter_of(made("p", data)) == expected


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "neither an ELF program nor a script", id="empty"),
        pytest.param(b"hello, this is text", "neither an ELF program nor a script", id="text"),
        pytest.param(b"\x7fELF\x09" + bytes(60), "neither an ELF program nor a script", id="class"),
        pytest.param(program("/lib/ld.so")[:90], "damaged ELF", id="cut"),
        pytest.param(program("/lib/ld.so")[:32] + b"\xff" * 8 + program("/lib/ld.so")[40:], "damaged ELF", id="offset"),
    ],
)
def test_refuses(made, data, message):
    with pytest.raises(Invalid, match=message):
        elf.interpreter_of(made("p", data))


@given(st.binary(max_size=200) | st.tuples(st.integers(4, 120), st.binary(max_size=16)).map(
    lambda change: program("/l")[: change[0]] + change[1] + program("/l")[change[0] + len(change[1]) :]
))  # fmt: skip
def test_anything_is_an_interpreter_or_invalid(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("elf") / "p"
    path.write_bytes(data)
    try:
        assert isinstance(elf.interpreter_of(path), str)
    except Invalid as error:
        assert error.message


def test_what_can_not_be_read_is_named(tmp_path):
    with pytest.raises(HostUnfit, match=r"can't read .*gone"):
        elf.interpreter_of(tmp_path / "gone")


GLIBC = r"""
	linux-vdso.so.1 (0x00007ffc0a9d0000)
	libc.so.6 => /lib/libc.so.6 (0x00007f0a)
	/lib/ld-linux.so.2 (0x00007f0b)
"""
MUSL = r"""
	/lib/ld-musl-x86_64.so.1 (0x7f1000)
	libz.so.1 => /usr/lib/with space/libz.so.1 (0x7f2000)
	libc.musl-x86_64.so.1 => /lib/ld-musl-x86_64.so.1 (0x7f1000)
"""


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param(GLIBC, {"/lib/libc.so.6", "/lib/ld-linux.so.2"}, id="glibc"),
        pytest.param(MUSL, {"/lib/ld-musl-x86_64.so.1", "/usr/lib/with space/libz.so.1"}, id="musl"),
        pytest.param("\tstatically linked\n", set(), id="nothing"),
    ],
)
def test_libraries_are_asked_of_the_loader(made, said, expected):
    loader = made("ld", f'#!/bin/sh\n[ "$1" = --list ] && [ -f "$2" ] && cat <<"END"\n{said}\nEND\n')
    assert set(elf.needs_of(made("p", program(str(loader))))) == {str(loader), *expected}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "message"),
    [
        pytest.param("echo '	liba.so => not found'", "needs liba.so, which isn't there", id="missing"),
        pytest.param("echo 'liba.so: cannot open' >&2; exit 127", "can't load .*: liba.so: cannot open", id="failed"),
        pytest.param("exec sleep 60", "timed out", id="hangs"),
    ],
)
def test_loader_that_fails(made, monkeypatch, script, message):
    if "sleep" in script:
        monkeypatch.setattr(elf, "_TIMEOUT_S", 1)
    loader = made("ld", f"#!/bin/sh\n{script}\n")
    with pytest.raises(HostUnfit, match=message):
        elf.needs_of(made("p", program(str(loader))))


def test_loader_that_is_not_there(made):
    with pytest.raises(HostUnfit, match="can't ask /no/ld"):
        elf.needs_of(made("p", program("/no/ld")))


def test_a_script_needs_what_its_interpreter_needs(made):
    loader = made("ld", "#!/bin/sh\necho '	libc.so => /lib/libc.so (0x1)'\n")
    shell = made("shell", program(str(loader)))
    script = made("script", f"#!{shell}\n")
    assert set(elf.needs_of(script)) == {str(shell), str(loader), "/lib/libc.so"}


def test_scripts_that_interpret_each_other(made, tmp_path):
    made("a", f"#!{tmp_path}/b\n")
    made("b", f"#!{tmp_path}/a\n")
    with pytest.raises(Invalid, match="round in circles"):
        elf.needs_of(tmp_path / "a")


def test_static_programs_need_nothing(made):
    assert elf.needs_of(made("p", program())) == ()


def test_the_shell_of_this_host_loads_from_what_it_needs():
    needs = elf.needs_of(elf.Path("/bin/sh"))
    assert all(elf.Path(each).exists() for each in needs)
    if needs:
        listed = subprocess.run([needs[0], "--list", "/bin/sh"], check=True, capture_output=True, text=True).stdout
        assert all(each in listed for each in needs)
