"""Machines as they are started: as user-mode Linux, and, slowly, by QEMU."""

import fcntl
import json
import re
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from booting import MOBY, booted, busybox_image, cut, environment, manifest, service, started
from click.testing import CliRunner
from peers import binaries

from moby import distribution
from moby.cli import boot
from moby.errors import HostUnfit, Invalid
from moby.machines import data, qemu, running, uml
from moby.machines import kernels as packed_kernels
from moby.machines.machine import Machine, words

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SECOND = "busybox cat /shared/file /motd; (echo x > /nope) || echo sealed; busybox hostname"
WRITING = (
    "set -- $(busybox tail -n1 /data/log); i=$${1:-0}; echo from $i; "
    "while :; do i=$((i+1)); echo $i >> /data/log; busybox sync /data/log; echo wrote $i; done"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where machines of this module are cached, so that each is made once."""
    binaries.need("linux.uml", "uml")
    return tmp_path_factory.mktemp("machines")


@pytest.fixture(scope="module")
def image(folder: Path) -> Path:
    return busybox_image(folder / "busybox.tar")


@pytest.fixture(scope="module")
def shop(folder: Path, image: Path) -> Path:
    """A machine with a program before others, a service, files, and a folder that both share."""
    binds = ["/var/shared/:/shared", "/etc/motd:/motd:ro"]
    return manifest(
        folder / "shop.yaml",
        onboot=[service("first", image, "echo first; echo shared > /shared/file; busybox id -u", binds=binds)],
        services=[
            service(
                "second",
                image,
                "busybox cat /shared/file /motd; (echo x > /nope) || echo sealed; busybox hostname",
                binds=binds,
            ),
        ],
        files={"/etc/motd": {"contents": "welcome\n"}},
    )


def test_services_run_in_order_and_the_machine_ends(folder: Path, shop: Path) -> None:
    code, said = booted(folder, "--uml", "--memory", "256", str(shop))
    found = [line.strip() for line in said.splitlines()]
    assert code == 0, said
    wanted = ["first", "0", "shared", "welcome", "sealed", "second"]
    assert [line for line in found if line in wanted] == wanted, said


def test_a_command_at_the_console(folder: Path, shop: Path) -> None:
    code, said = booted(folder, "--uml", "--memory", "256", str(shop), "run", "no such, image")
    assert code == 125, said
    assert "no such, image" in said


def test_a_machine_that_is_asked_to_end(folder: Path, image: Path) -> None:
    script = "trap 'echo bye; exit' TERM; echo up; while :; do busybox sleep 1 & wait; done"
    path = manifest(folder / "waiting.yaml", services=[service("one", image, script)])
    with started(folder, ["--uml", "--memory", "256", str(path)]) as process:
        said = until(process, "up")
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said + rest
    assert "bye" in rest


@pytest.mark.parametrize(
    "flag", [pytest.param("--uml", id="uml"), pytest.param("--no-network", id="qemu", marks=pytest.mark.long)]
)
def test_what_was_written_survives_a_power_cut(flag: str, folder: Path, image: Path, tmp_path: Path) -> None:
    """A container writes, and tells what it has written; its machine is killed in the middle, several times."""
    binaries.need("qemu-system-x86_64", "qemu")
    path = manifest(folder / "writing.yaml", services=[service("one", image, WRITING, binds=["/var/db/:/data"])])
    last = 0
    for _ in range(2):
        with started(folder, [flag, "--memory", "256", "--data", str(tmp_path / "disk"), str(path)]) as process:
            said = until(process, f"wrote {last + 20}\n")
            cut(process)
            rest, _ = process.communicate(timeout=200)
        begun = int(re.findall(r"from (\d+)", said)[0])
        assert begun >= last, "what a container was told to be written isn't there any more"
        assert process.returncode == 3, rest
        assert "the machine ended without telling how" in rest
        last = int(re.findall(r"wrote (\d+)\n", said + rest)[-1])
    assert last >= 40


def until(process: "subprocess.Popen[str]", text: str) -> str:
    """Read a machine's output up to a text."""
    said = ""
    assert process.stdout is not None
    while text not in said:
        line = process.stdout.readline()
        assert line, f"it ended before it said {text!r}: {said}"
        said += line
    return said


def test_a_machine_holds_what_was_chosen_and_nothing_else(folder: Path, shop: Path) -> None:
    """All files of its first root, by the folders that they are in."""
    said = subprocess.run(
        [MOBY, "assemble", str(shop), "-o", str(folder / "out"), "--set",
         "distribution.config.vm.machine=uml", "--json"],
        env=environment(folder), capture_output=True, text=True, check=True, timeout=200,
    ).stdout  # fmt: skip
    made = json.loads(said)
    initrd = folder / "out/shop/shop.initrd"
    total = sum((folder / "out/shop" / f"shop.{each}").stat().st_size for each in ("kernel", "initrd", "cmdline"))
    assert sum(made["sizes"]["vm"].values()) == total
    plain = subprocess.run(["zstd", "-dcq", initrd], capture_output=True, check=True, env=binaries.environment()).stdout
    names = listed(plain)
    rest = [each for each in names if not each.startswith(("usr/lib/moby/", "containers/"))]
    assert rest == [
        "containers", "dev", "etc", "etc/group", "etc/hosts", "etc/moby", "etc/moby/machine", "etc/motd", "etc/passwd",
        "etc/resolv.conf", "init", "mnt", "proc", "root", "run", "sys", "tmp", "usr", "usr/bin", "usr/bin/shop",
        "usr/lib", "usr/lib/moby", "usr/share", "usr/share/doc", "usr/share/doc/linux",
        "usr/share/doc/linux/copyright", "var",
    ]  # fmt: skip
    tops = {each.removeprefix("usr/lib/moby/").partition("/")[0] for each in names if each.startswith("usr/lib/moby/")}
    assert tops == {"bin", "lib", "libexec", "licenses", "shop.pyz"}
    assert {each.split("/")[1] for each in names if each.startswith("containers/")} == {"first", "second"}
    assert [each for each in names if each.startswith("containers/first/rootfs/bin")] == [
        "containers/first/rootfs/bin", "containers/first/rootfs/bin/busybox",
    ]  # fmt: skip


def listed(archive: bytes) -> list[str]:
    """Return the paths of an archive of the kernel's, but for its last record."""
    at, names = 0, []
    while True:
        size, length = int(archive[at + 54 : at + 62], 16), int(archive[at + 94 : at + 102], 16)
        name = archive[at + 110 : at + 110 + length - 1].decode()
        if name == "TRAILER!!!":
            return names
        names.append(name)
        at += (110 + length + 3 & ~3) + (size + 3 & ~3)


# By QEMU --------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_machine_by_qemu_with_a_network_and_a_disk(folder: Path, image: Path, tmp_path: Path) -> None:
    binaries.need("qemu-system-x86_64", "qemu")
    script = "busybox cat /etc/resolv.conf; busybox ip -4 addr show eth0; echo x >> /data/log; busybox cat /data/log"
    binds = ["/run/resolv.conf:/etc/resolv.conf:ro", "/var/db/:/data"]
    path = manifest(folder / "net.yaml", services=[service("one", image, script, net="host", binds=binds)])
    for count in (1, 2):
        code, said = booted(folder, "--data", str(tmp_path / "disk"), str(path))
        assert code == 0, said
        assert "nameserver 10.0.2.3" in said
        assert "inet 10.0.2.15/24" in said
        assert said.count("\nx") == count


@pytest.mark.long
def test_an_address_that_was_written_down(folder: Path, image: Path) -> None:
    binaries.need("qemu-system-x86_64", "qemu")
    script = "busybox cat /etc/resolv.conf; busybox ip -4 addr show eth0; busybox ip route"
    services = [service("one", image, script, net="host", binds=["/run/resolv.conf:/etc/resolv.conf:ro"])]
    address = "10.0.2.77 20 10.0.2.2 10.0.2.3 9.9.9.9"
    code, said = booted(folder, str(manifest(folder / "static.yaml", services=services, network=address)))
    assert code == 0, said
    for each in ("nameserver 10.0.2.3", "nameserver 9.9.9.9", "inet 10.0.2.77/20", "default via 10.0.2.2 dev eth0"):
        assert each in said


@pytest.mark.long
def test_the_time_is_that_of_a_server(folder: Path, image: Path) -> None:
    """It is asked before anything runs; here it is seven years ahead."""
    binaries.need("qemu-system-x86_64", "qemu")
    ahead_s = 2_208_988_800 + 7 * 365 * 86400
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def answer() -> None:  # also where the one before came too late for an emulated processor
            while True:
                question, client = server.recvfrom(100)
                if not question:
                    return
                seconds = int(time.time()) + ahead_s
                said = struct.pack(">BB30x", 0x24, 1)[:24] + question[40:48] + bytes(8) + struct.pack(">II", seconds, 0)
                server.sendto(said, client)

        answering = threading.Thread(target=answer)
        answering.start()
        try:
            services = [service("one", image, "echo year $(busybox date +%Y)")]
            where = f"10.0.2.2:{server.getsockname()[1]}"
            code, said = booted(folder, str(manifest(folder / "time.yaml", services=services, time=where)))
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:  # ends the thread
                last.sendto(b"", server.getsockname())
            answering.join()
    assert code == 0, said
    assert f"year {time.gmtime(time.time() + 7 * 365 * 86400).tm_year}" in said


@pytest.mark.long
def test_a_command_by_qemu(folder: Path, shop: Path) -> None:
    binaries.need("qemu-system-x86_64", "qemu")
    code, said = booted(folder, "--no-network", str(shop), "nonsense")
    assert code == 2, said
    assert "no command 'nonsense'" in said


@pytest.mark.long
def test_the_power_button_ends_a_machine_in_order(folder: Path, image: Path, tmp_path: Path) -> None:
    binaries.need("qemu-system-x86_64", "qemu")
    script = "trap 'echo bye; exit' TERM; echo up; while :; do busybox sleep 1 & wait; done"
    path = manifest(folder / "button.yaml", services=[service("one", image, script)], network="none")
    told, button = tmp_path / "report", tmp_path / "button"
    with with_environment(environment(folder)), socket.socket(socket.AF_UNIX) as listener:
        made = distribution.assemble(str(path), tmp_path / "out")
        listener.bind(str(told))
        listener.listen()
        words = qemu.command(
            Machine(made.name, made.folder), [], told, tmp_path, memory_mb=256, data=None, network=False,
            interactive=False,
        )  # fmt: skip
        words += ["-qmp", f"unix:{button},server=on,wait=off"]
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
            try:
                said = until(process, "up\n")
                press(button)
                rest, _ = process.communicate(timeout=300)
            finally:
                process.kill()
        report, _ = listener.accept()
        with report:
            assert b"exit 0\n" in report.recv(4096).replace(b"\r", b""), said + rest
    assert "bye" in rest


@contextmanager
def with_environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """Have an environment for some time."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in wanted.items():
            patched.setenv(name, value)
        yield


def press(monitor: Path) -> None:
    """Press the power button of QEMU's machine whose monitor is at a path (QMP)."""
    with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rw") as file:
        connection.connect(str(monitor))
        for name in ("qmp_capabilities", "system_powerdown"):
            file.readline()
            file.write(json.dumps({"execute": name}) + "\n")
            file.flush()
        assert "error" not in file.readline()


# What starts them -----------------------------------------------------------------------------------------------


def test_files_that_belong_together_are_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody else who starts a machine of that name replaces some of them meanwhile, nor later."""

    def assembled(_file: str, place: Path, _sets: tuple[str, ...]) -> Machine:
        with place.with_suffix(".lock").open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        place.mkdir()
        for each in ("kernel", "initrd", "cmdline"):
            (place / f"x.{each}").write_text(each)
        return Machine("x", place)

    def started(machine: Machine, *_: object, **__: object) -> int:
        with (tmp_path / "moby/machines/uml.lock").open() as other:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)  # another may be assembled while this one runs
        assert [each.read_text() for each in sorted(machine.folder.iterdir())] == ["cmdline", "initrd", "kernel"]
        return 7

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(boot, "_assembled", assembled)
    monkeypatch.setattr(running, "by_uml", started)
    wanted = {"file": "x", "arguments": (), "as_uml": True, "kernel": None, "memory": 64, "data": None}
    assert boot.command.callback(**wanted, network=False, sets=()) == 7


@pytest.mark.parametrize("given", ["--uml", "--memory=64", "--no-network", "--kernel", "--set"])
def test_options_behind_the_file(given: str) -> None:
    """They would be the engine's, which has none of them, and by QEMU that is told after a start."""
    said = CliRunner().invoke(boot.command, ["quickstart", given, "image"])
    name = given.partition("=")[0]
    assert said.exit_code == 2
    assert f"{name} is behind FILE, where the engine's own command is; put it before FILE" in said.output


def test_words_for_a_kernel(tmp_path: Path) -> None:
    assert words(["/usr/bin/x", "a b,c", 'q"%', ""]) == "MOBY_RUN=/usr/bin/x,a%20b%2Cc,q%22%25,%00"
    (tmp_path / "x.cmdline").write_text("quiet\n")
    assert Machine("x", tmp_path).command_line([], "more") == "quiet more MOBY_REPORT=/dev/ttyS1"
    with pytest.raises(Invalid, match="bytes; at most 2000 are allowed"):
        Machine("x", tmp_path).command_line(["y" * 3000])
    assert Machine("x", tmp_path).command_line(["y"] * 63).endswith(",y" * 63)
    with pytest.raises(Invalid, match="the command has 65 words; at most 64 are allowed"):
        Machine("x", tmp_path).command_line(["y"] * 64)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"exit 7\n", 7),
        (b"exit 1\nexit 130\n", 130),
        (b"noise exit x\n exit 3\nexit 9999\nexit \n", 3),
        (b"exit 12", None),
        (b"", None),
    ],
)
def test_what_a_machine_tells_of_its_end(said: bytes, code: int | None) -> None:
    """Also where it has ended without reading what it was asked; the rest of what it says is foreign."""
    ours, theirs = socket.socketpair()
    ours.send(b"\n")  # unread, so that its end resets the connection
    theirs.sendall(said)
    theirs.close()
    signals, other = socket.socketpair()
    with subprocess.Popen(["true"]) as process, signals, other:
        machine = running._Running(process, signals, ours)
        if code is None:
            with pytest.raises(HostUnfit, match="ended without telling how"):
                machine.to_end(1)
        else:
            assert machine.to_end(1) == code
    assert ours.fileno() == -1


def test_paths_that_user_mode_linux_would_divide(tmp_path: Path) -> None:
    (tmp_path / "x.cmdline").write_text("quiet\n")
    disks = [None, Path("/a,b"), Path("/a:b"), Path("/a b"), Path("/a-b")]
    for disk in disks[1:-1]:
        with pytest.raises(Invalid, match="can't be given the path"):
            uml.command(Machine("x", tmp_path), [], 3, tmp_path, memory_mb=64, data=disk)
    with pytest.raises(Invalid, match="can't be given the path"):
        uml.command(Machine("x", tmp_path / "a b"), [], 3, tmp_path, memory_mb=64, data=None)
    found = [uml.command(Machine("x", tmp_path), [], 3, tmp_path, memory_mb=64, data=each) for each in disks[::4]]
    assert ["ubd0=/a-b" in each for each in found] == [False, True]


def test_kernels_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"x")
    with pytest.raises(Invalid, match="too short to be one"):
        packed_kernels.plain_kernel(tmp_path / "short", tmp_path)
    (tmp_path / "other").write_bytes(bytes(1000))
    assert packed_kernels.plain_kernel(tmp_path / "other", tmp_path) == tmp_path / "other"


def test_programs_that_are_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(HostUnfit, match="qemu-system-x86_64 isn't there"):
        qemu.program()
    monkeypatch.setattr(uml, "_MORE_REGISTERS", "processor")
    with pytest.raises(HostUnfit, match="more registers than user-mode Linux has room for, and gcc isn't there"):
        uml.environment(1, tmp_path, tmp_path)
    monkeypatch.setattr("shutil.which", lambda name, path=None: None)
    with pytest.raises(HostUnfit, match="mke2fs, which isn't on PATH"):
        data.disk(tmp_path / "disk")


@pytest.mark.parametrize("tool", ["gcc", "mke2fs"])
def test_programs_that_fail(tool: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / tool
    program.write_text("#!/bin/sh\necho no way >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name, path=None: str(program))
    monkeypatch.setattr(uml, "_MORE_REGISTERS", "processor")
    with pytest.raises(HostUnfit, match=f"{tool} failed: no way"):
        uml.environment(1, tmp_path, tmp_path) if tool == "gcc" else data.disk(tmp_path / "disk")
    assert sorted(each.name for each in tmp_path.iterdir()) == [tool]


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        pytest.param("echo Unable to mount root", qemu.VIRTUAL, id="works"),
        pytest.param("exit 1", qemu.EMULATED, id="fails"),
        pytest.param("exec sleep 60", qemu.EMULATED, id="hangs"),
    ],
)
def test_an_accelerator_is_tried(
    script: str, wanted: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "qemu"
    program.write_text(f"#!/bin/sh\necho >> {tmp_path}/calls\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(qemu, "_PATIENCE_S", 3 if "sleep" in script else 30)
    monkeypatch.setattr("os.access", lambda path, mode: True)
    for _ in range(2):
        assert qemu.accelerator(program, tmp_path / "kernel", tmp_path / "cache") == wanted
    assert (tmp_path / "calls").read_text() == "\n", "it is tried once"


def test_no_accelerator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert qemu.accelerator(tmp_path / "qemu", tmp_path / "kernel", tmp_path) == qemu.EMULATED


def test_a_data_disk_is_made_once(tmp_path: Path) -> None:
    path = data.disk(tmp_path / "disk")
    before = path.stat().st_mtime_ns
    time.sleep(0.01)
    assert data.disk(tmp_path / "disk").stat().st_mtime_ns == before
    with path.open("rb") as file:
        assert file.read(2048)[1024 + 120 :].startswith(data.LABEL.encode())
