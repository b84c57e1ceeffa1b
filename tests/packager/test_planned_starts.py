"""Containers that a machine's first process starts by a plan: as the engine's runtime starts the same bundle."""

import errno
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from booting import booted, busybox_image, manifest, service
from moby_packager.launching.compiling import FLAGS, HERE
from moby_packager.vm.bundles import PLAN, Bundled, Service, bundled
from moby_packager.vm.cpio import Record
from moby_packager.vm.machine import INIT
from moby_packager.vm.rootfs import program_in
from moby_packager.vm.settings import has_plans
from moby_packager.vm.steps import GROUP, Address, Kept, Steps
from peers import binaries

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_WRITE, _WRITEV, _FCNTL, _EXIT, _MKDIRAT, _READLINKAT = 1, 20, 72, 231, 258, 267
PROBE = r"""
b=/bin/busybox
exec 2>&1
echo begin
$b grep -E '^(Uid|Gid|Groups|NS|Sig|Shd|Cap|NoNew|Seccomp|Speculation|Umask|Cpus|Mems)' /proc/self/status
$b sed -E 's/^[0-9]+ [0-9]+ [0-9:]+ //; s/(master|shared|propagate_from):[0-9]+/\1/g' /proc/self/mountinfo
$b find /dev ! -type d -exec $b stat -c '%n %F %t:%T %a %u:%g %N' {} ';' | $b sort
$b stat -c '%n %a %u:%g' / /dev /dev/shm /dev/pts /proc /sys /run /tmp /data 2> /dev/null
$b cat /proc/self/cgroup /proc/self/limits /proc/self/oom_score_adj
$b hostname; $b id; $b env | $b sort; ulimit -a; pwd
for each in 0 3 4 5 6 7 8 9; do $b readlink /proc/1/fd/$each; done
$b ls / /proc | $b grep -vE '^[0-9]{2,}$'
for each in /proc/1/stat /proc/self/stat; do $b cut -d' ' -f1,4-8 $each; done
$b ip -o link | $b sed 's/qlen.*//'
for each in /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max; do $b cat $each; done
for each in c b; do $b mknod /dev/made-$each $each 1 1; $b head -c 1 /dev/made-$each | $b wc -c; done
for each in /x /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/power/state; do (echo > $each); done
$b cat /proc/kcore | $b wc -c; $b ls /proc/acpi /sys/firmware
$b unshare -U true; $b chroot / $b true; $b mount -t tmpfs none /run; $b nice -n -5 $b true; $b date -s 1970-01-01
echo end
"""
"""All that a program can see of how it was started; what it may not is told as an error."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("machines")


@pytest.fixture(scope="module")
def image(folder: Path) -> Path:
    return busybox_image(folder / "busybox.tar")


KINDS: Mapping[str, Mapping[str, Any]] = {
    "root": {"memory_bytes": 1 << 26},
    "user": {
        "user": "1000:1001", "net": "host", "tmpfs": ["/tmp", "/run/inner"], "workdir": "/data/sub", "env": ["A=b c"],
        "binds": ["/var/x/:/data", "/var/x/:/data/sub", "/etc/hosts:/etc/hosts:ro", "/etc/:/more:ro"],
    },
    "more": {"capabilities": ["ALL"], "hostname": "other.name", "tmpfs": ["/run"], "binds": ["/var/x/:/run/x"]},
}  # fmt: skip


@pytest.mark.parametrize("kind", ["root", "user", pytest.param("more", marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "flag", [pytest.param("--uml", id="uml"), pytest.param("--no-network", id="qemu", marks=pytest.mark.long)]
)
def test_a_container_sees_what_its_runtime_would_show_it(flag: str, kind: str, folder: Path, image: Path) -> None:
    """The machine starts it, and then its engine, at the console, runs the same bundle."""
    binaries.need("linux.uml", "uml")
    binaries.need("qemu-system-x86_64", "qemu")
    path = manifest(folder / f"{kind}.yaml", onboot=[service("probe", image, PROBE, **KINDS[kind])])
    code, said = booted(folder, flag, "--memory", "256", str(path), "bundle", "--name", "again", "/containers/probe")
    planned, engine = (lines_of(said, number) for number in (0, 1))
    assert code == 0, said
    assert planner(KINDS[kind], image).planned
    assert len(planned) > 100, said
    assert planned == engine


@pytest.mark.long
def test_limits_of_one_container_are_none_of_the_next_program_s(folder: Path, image: Path) -> None:
    """An engine wouldn't even begin with as little memory as the container before it had."""
    binaries.need("linux.uml", "uml")
    small, other = {"memory_bytes": 1 << 22}, {"env": ["HOME"]}
    assert [planner(each, image).planned for each in (small, other)] == [True, False]
    onboot = [service("small", image, "echo small", **small), service("other", image, "echo other", **other)]
    path = manifest(folder / "limits.yaml", onboot=onboot)
    code, said = booted(folder, "--uml", str(path), "bundle", "--name", "again", "/containers/small")
    assert code == 0, said
    assert [each for each in said.split() if each in ("small", "other")] == ["small", "other", "small"], said


def lines_of(said: str, number: int) -> list[str]:
    """Return what one of the probes said."""
    text = said.replace("\r", "").split("begin\n")[number + 1].partition("end\n")[0]
    return text.splitlines()


def planner(options: Mapping[str, Any], image: Path) -> Bundled:
    """Return the bundle of a service with some options, which runs busybox."""
    given = {name: tuple(each) if isinstance(each, list) else each for name, each in options.items()}
    return bundled(Service("probe", str(image), **{"command": ("/bin/busybox", "true"), **given}), (6, 12))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"tmpfs": ["/dev/shm"]}, id="a folder in memory that has the mode of one that isn't known"),
        pytest.param({"binds": ["/var/x/:/data", "/x:/data/x"]}, id="a file in another mount"),
        pytest.param({"binds": ["/var/x/:/proc"]}, id="in place of the kernel's processes"),
        pytest.param({"tmpfs": ["/proc"]}, id="a folder in memory in place of the kernel's processes"),
        pytest.param({"binds": ["/var/x/:/proc/self"]}, id="over the kernel's files"),
        pytest.param({"binds": ["/var/x/:/sys"]}, id="in place of the kernel's files"),
        pytest.param({"binds": ["/var/x/:/bin"]}, id="over the program"),
        pytest.param({"command": ["absent"]}, id="no program"),
        pytest.param({"command": ["/bin"]}, id="a folder as the program"),
        pytest.param({"env": ["HOME"]}, id="a home that the runtime looks up"),
        pytest.param({"env": ["HOME="]}, id="no home, which says the same"),
        pytest.param({"env": [f"A={'x' * 70000}"]}, id="more than the first process has room for"),
    ],
)
def test_what_is_left_to_the_engine(options: Mapping[str, Any], image: Path) -> None:
    made = planner(options, image)
    assert not made.planned
    assert PLAN not in {each.path.rpartition("/")[2] for each in made.records}


def test_two_mounts_at_one_place_make_nothing_in_each_other(image: Path) -> None:
    def folders(*binds: str) -> int:
        (plan,) = (each.data for each in planner({"binds": binds}, image).records if each.path.endswith(f"/{PLAN}"))
        _, count, _, _ = struct.unpack_from("<4I", plan)
        return [struct.unpack_from("<I", plan, 16 + 72 * index)[0] for index in range(count)].count(_MKDIRAT)

    assert folders("/var/x/:/data", "/var/y/:/data") == folders("/var/x/:/data")
    assert folders("/var/x/:/data", "/var/y/:/data/y") == folders("/var/x/:/data") + 1


def test_an_engine_with_another_runtime_has_no_plans(image: Path) -> None:
    def part(label: str, **config: object) -> Mapping[str, Any]:
        return {"kind": label.partition("/")[0], "name": "own", "config": config, "facts": {"id": label}}

    native = part("runtime/native")
    assert has_plans([part("command/bundle"), native])
    assert has_plans([part("runtime/native", systemd=False)])
    assert not has_plans([part("command/bundle")])
    assert not has_plans([native, part("runtime/chroot")]), "which of them runs a bundle the engine knows"
    assert not has_plans([part("runtime/chroot")])
    assert not has_plans([part("runtime/native", systemd=True)]), "the options are the runtime's to follow"
    assert not bundled(Service("x", str(image), ("/bin/busybox",)), (6, 12), plans=False).planned


def test_programs_of_a_root() -> None:
    """By PATH or not, through links; a script with what runs it; what isn't there, or can't be run, is none."""
    files = {
        each.path: each
        for each in (
            Record("bin/tool", 0o100755, b"ELF"), Record("bin/link", 0o120777, b"/bin/tool"), Record("bin", 0o40755),
            Record("bin/script", 0o100755, b"#! /bin/link -x\n"), Record("bin/lost", 0o100755, b"#!/nowhere\n"),
            Record("bin/round", 0o100755, b"#!/bin/round\n"), Record("bin/plain", 0o100644, b"ELF"),
            Record("bin/empty", 0o100755, b"#!\n"), Record("bin/same", 0o100755, link_of="bin/tool"),
        )
    }  # fmt: skip
    path = ["A=b", "PATH=/sbin:/bin"]
    assert program_in(files, "tool", path, "/") == ("/bin/tool", ["bin/tool"])
    assert program_in(files, "link", [], "/") == ("/bin/link", ["bin/tool"])
    assert program_in(files, "./same", path, "/bin") == ("./same", ["bin/same"])
    assert program_in(files, "script", path, "/") == ("/bin/script", ["bin/script", "bin/tool"])
    for none in ("lost", "round", "plain", "empty", "absent", "/tool", "/bin"):
        assert program_in(files, none, path, "/") == ("", []), none


# Steps, in a program of their own -------------------------------------------------------------------------------

DOING = r"""
#include "system.h"
#include "steps.h"
void begin(long *stack)
{
    char **words = (char **)(stack + 1);
    int status = 0;
    long pid = contained(words[1]);
    if (!pid)
        do_steps("it", "/a/group");
    call6(WAIT4, pid, (long)&status, 0, 0, 0, 0);
    call(EXIT, status >> 8 & 255, 0, 0);
}
"""


@pytest.fixture(scope="module")
def doing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that does the steps of a file."""
    folder = tmp_path_factory.mktemp("steps")
    (folder / "doing.c").write_text(DOING)
    words = ["gcc", *FLAGS, "-I", str(HERE), "-I", str(INIT), "-o", folder / "doing", folder / "doing.c"]
    subprocess.run(words, check=True, capture_output=True)
    return folder / "doing"


def done(doing: Path, made: Steps, namespaces: int = 0) -> tuple[int, str, str]:
    """Return the code and what was said."""
    file = doing.parent / "plan"
    file.write_bytes(made.encoded(namespaces))
    found = subprocess.run([doing, file], capture_output=True, text=True, timeout=60, check=False)
    return found.returncode, found.stdout, found.stderr


def said(steps: Steps, text: str) -> None:
    steps.call("say it", _WRITE, 1, steps.text(text), len(text))


def test_steps_are_done_in_order_with_what_earlier_ones_returned(doing: Path) -> None:
    steps = Steps()
    steps.call("say it", _WRITE, 1, GROUP, 8)
    pair = steps.data(bytes(8))
    steps.call("copy it", _FCNTL, 1, 0, 40, into=Address(pair.offset + 4))
    copy = steps.call("copy it", _FCNTL, 1, 0, 50)
    vectors = steps.data(struct.pack("<4Q", 0, 3, 0, 4), [(0, steps.text("one")), (16, steps.text("-two"))])
    steps.call("say it", _WRITEV, copy, vectors, 2)
    steps.call("say it", _WRITEV, Kept(pair.offset + 4), vectors, 1)
    steps.call("end", _EXIT, 7)
    assert done(doing, steps) == (7, "/a/groupone-twoone", "")


@pytest.mark.parametrize(("path", "wanted"), [("/proc/self/exe", "thereend"), ("/no/such", "notend")])
def test_steps_that_depend_on_one(path: str, wanted: str, doing: Path) -> None:
    steps = Steps()
    room = steps.data(bytes(4096))
    with steps.if_done("read it", _READLINKAT, -100, steps.text(path), room, 4096, fine=[errno.ENOENT]):
        said(steps, "th")
        said(steps, "ere")
    with steps.unless_done():
        said(steps, "n")
        said(steps, "ot")
    said(steps, "end")
    steps.call("end", _EXIT, 0)
    assert done(doing, steps) == (0, wanted, "")


def test_a_step_that_fails_is_told(doing: Path) -> None:
    steps = Steps()
    steps.call("read what isn't there", _READLINKAT, -100, steps.text("/no/such"), GROUP, 64, fine=[errno.EPERM])
    said(steps, "never")
    why = "machine: the container it can't read what isn't there: there is no such file (2)\n"
    assert done(doing, steps) == (1, "", why)


def test_a_plan_that_does_not_end_in_a_program(doing: Path) -> None:
    steps = Steps()
    said(steps, "done")
    assert done(doing, steps) == (1, "done", "")
    (doing.parent / "plan").unlink()
    found = subprocess.run([doing, doing.parent / "plan"], capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 1
    assert "machine: can't read " in found.stderr
