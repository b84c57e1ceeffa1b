"""The conformance suite of runtimes: what a program sees from inside a container."""

# ruff: noqa: D102 - the name of a test says what it holds a runtime to
import fcntl
import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from moby.contracts.runtime import RuntimeFeature
from moby.errors import Invalid, Unsupported
from moby.testing.boxes import Boxes, read_all
from moby.testing.runtime_offers import lacks, offers

__all__ = ["UPWARDS", "Isolation"]

UPWARDS = "/".join([".."] * 12)
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user has one id to give; runs as root")


def _status(text: str) -> dict[str, str]:
    """Read /proc/PID/status."""
    return {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


def _numbers() -> list[int]:
    """Return the descriptors that this process has open, and the free numbers that a runtime's own get first."""
    taken = {int(each.name) for each in Path("/proc/self/fd").iterdir()}
    free = itertools.islice((number for number in itertools.count(3) if number not in taken), 28)
    return sorted(taken.difference(range(3)).union(free))


class Isolation:
    """What a program sees and may."""

    @pytest.mark.parametrize("name", ["pid", "mount", "uts", "ipc", "network"])
    def test_namespaces_are_refused_unless_offered(self, boxes: Boxes, name: str) -> None:
        if offers(boxes, RuntimeFeature.NAMESPACES):
            return
        data = boxes.config("true")
        data["linux"]["namespaces"] = [{"type": name}]
        with pytest.raises(Unsupported, match=r"linux\.namespaces"):
            boxes.create(data)

    @pytest.mark.parametrize(
        ("named", "change"),
        [
            pytest.param("mounts", {"mounts": [{"destination": "/in", "type": "tmpfs", "source": "t"}]}, id="mounts"),
            pytest.param(r"root\.readonly", {"root": {"path": "rootfs", "readonly": True}}, id="read-only"),
            pytest.param(r"linux\.maskedPaths", {"linux": {"maskedPaths": ["/proc/kcore"]}}, id="masked"),
            pytest.param(r"linux\.readonlyPaths", {"linux": {"readonlyPaths": ["/proc/sys"]}}, id="read-only-paths"),
            pytest.param(
                r"linux\.devices",
                {"linux": {"devices": [{"path": "/dev/odd", "type": "c", "major": 240, "minor": 7}]}},
                id="devices",
            ),
        ],
    )  # fmt: skip
    def test_mounts_are_refused_unless_offered(self, boxes: Boxes, named: str, change: dict[str, Any]) -> None:
        if offers(boxes, RuntimeFeature.MOUNTS):
            return
        with pytest.raises(Unsupported, match=named):
            boxes.create({**boxes.config("true"), **change})

    def test_it_is_process_1(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.NAMESPACES)
        assert boxes.run("sh", "-c", "echo $$") == (0, "1\n")

    def test_the_host_name_is_its_own(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.NAMESPACES)
        before = os.uname().nodename
        assert boxes.run("cat", "/proc/sys/kernel/hostname") == (0, "box\n")
        assert os.uname().nodename == before

    @pytest.mark.parametrize("name", ["pid", "mnt", "uts", "ipc", "net"])
    def test_namespaces_are_its_own(self, boxes: Boxes, name: str) -> None:
        lacks(boxes, RuntimeFeature.NAMESPACES)
        code, text = boxes.run("readlink", f"/proc/self/ns/{name}")
        assert code == 0
        assert text.strip() != str(Path(f"/proc/self/ns/{name}").readlink())

    def test_a_namespace_that_is_not_named_is_the_callers(self, boxes: Boxes) -> None:
        data = boxes.config("readlink", "/proc/self/ns/net")
        spaces = data["linux"].get("namespaces", ())
        data["linux"]["namespaces"] = [each for each in spaces if each["type"] != "network"]
        assert boxes.run_config(data) == (0, str(Path("/proc/self/ns/net").readlink()) + "\n")

    def test_the_root_is_its_own(self, boxes: Boxes, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("host", encoding="ascii")
        # Without namespaces the first process that it sees is the host's, which leads root to the host's root.
        own = offers(boxes, RuntimeFeature.NAMESPACES)
        look = f"ls /; if [ -e {secret} ]; then echo seen; fi; {'cd /proc/1/root && ls' if own else 'true'}"
        data = boxes.config("sh", "-c", look)
        code, text = boxes.run_config(data)
        assert code == 0
        names = text.splitlines()
        assert "seen" not in names
        assert names.count("bin") == 1 + own
        made = {each["destination"].split("/")[1] for each in data.get("mounts", ())}
        there = {each.name for each in boxes.bundles.rootfs.iterdir()}
        hosts = {each.name for each in Path("/").iterdir()} - made - there
        assert not hosts & {*names}

    def test_there_are_no_other_processes(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.NAMESPACES)
        _, text = boxes.run("ls", "/proc")
        assert [word for word in text.split() if word.isdigit()] == ["1"]

    def test_a_root_that_is_readonly(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.MOUNTS)
        data = boxes.config("sh", "-c", "touch /new || echo refused; touch /tmp/new && echo taken")
        data["root"]["readonly"] = True
        _, text = boxes.run_config(data)
        assert "refused" in text
        assert "taken" in text

    def test_arguments_are_exact(self, boxes: Boxes) -> None:
        assert boxes.run("sh", "-c", 'for x; do echo "[$x]"; done', "sh", "", "a b", "*", "é") == (
            0,
            "[]\n[a b]\n[*]\n[é]\n",
        )

    def test_the_environment_is_exact(self, boxes: Boxes) -> None:
        _, text = boxes.run("env", env=["PATH=/bin", "A=1", "B=two words", "C="], cwd="/tmp")
        lines = set(text.splitlines())
        assert lines - {"PWD=/tmp", "HOME=/root"} == {"A=1", "B=two words", "C=", "PATH=/bin"}

    def test_a_home_that_is_given_is_the_programs(self, boxes: Boxes) -> None:
        _, text = boxes.run("env", env=["HOME=/elsewhere", "PATH=/bin"])
        assert [line for line in text.splitlines() if line.startswith("HOME=")] == ["HOME=/elsewhere"]

    def test_the_working_folder(self, boxes: Boxes) -> None:
        assert boxes.run("readlink", "/proc/self/cwd", cwd="/etc") == (0, "/etc\n")

    def test_a_working_folder_that_is_not_there(self, boxes: Boxes) -> None:
        try:
            code, text = boxes.run("readlink", "/proc/self/cwd", cwd="/tmp/absent")
        except Invalid as error:
            assert "process.cwd" in str(error)
        else:
            assert (code, text) == (0, "/tmp/absent\n")

    @pytest.mark.parametrize("folder", ["/proc/self/fd", "/proc/1/fd"])
    def test_a_descriptor_as_working_folder_is_no_way_out(self, boxes: Boxes, folder: str) -> None:
        """CVE-2024-21626: what the runtime itself has open may be the host's."""
        for number in _numbers():
            try:
                code, text = boxes.run("sh", "-c", f"ls {UPWARDS}; echo; ls /", cwd=f"{folder}/{number}")
            except Invalid as error:
                assert "process.cwd" in str(error)
            else:
                above, _, inside = text.partition("\n\n")
                assert (code, above) == (0, inside.strip())

    def test_standard_input_reaches_it(self, boxes: Boxes) -> None:
        box = boxes.started(boxes.config("cat"), stdin=True)
        os.write(box.stdin, b"through\n")
        os.close(box.stdin)
        box.stdin = -1
        assert box.text() == "through\n"
        assert box.code() == 0

    def test_no_descriptor_of_the_caller_leaks(self, boxes: Boxes) -> None:
        folder = os.open("/", os.O_RDONLY)
        try:
            os.set_inheritable(folder, True)
            high = fcntl.fcntl(folder, fcntl.F_DUPFD, 300)
            try:
                code, text = boxes.run("sh", "-c", "echo /proc/self/fd/*")
            finally:
                os.close(high)
        finally:
            os.close(folder)
        assert code == 0
        numbers = {int(word.rpartition("/")[2]) for word in text.split()}
        # The shell's own descriptor of the folder that it lists may be among them.
        assert numbers - {3} == {0, 1, 2}

    def test_a_created_container_holds_none_either(self, boxes: Boxes) -> None:
        read, write = os.pipe()
        try:
            box = boxes.create(boxes.config("sleep", "1000"))
            os.close(write)
            write = -1
            assert read_all(read) == "", "the end must come while the container still waits"
        finally:
            for fd in {read, write} - {-1}:
                os.close(fd)
        boxes.runtime.start(box.id)

    def test_capabilities_are_those_asked_for(self, boxes: Boxes) -> None:
        names = ["CAP_CHOWN", "CAP_KILL"]
        sets = dict.fromkeys(("bounding", "effective", "permitted"), names)
        _, text = boxes.run("cat", "/proc/self/status", capabilities=sets)
        found = _status(text)
        assert {name: int(found[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {
            "CapEff": 0x21,
            "CapPrm": 0x21,
            "CapBnd": 0x21,
        }

    def test_no_capability_unless_asked_for(self, boxes: Boxes) -> None:
        _, text = boxes.run("cat", "/proc/self/status", capabilities={})
        found = _status(text)
        assert {int(found[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")} == {0}

    def test_no_new_privileges(self, boxes: Boxes) -> None:
        _, text = boxes.run("cat", "/proc/self/status", noNewPrivileges=True)
        assert _status(text)["NoNewPrivs"] == "1"

    @AS_ROOT
    def test_groups_of_the_caller_are_gone(self, boxes: Boxes) -> None:
        before = os.getgroups()
        os.setgroups([7, 8])
        try:
            _, text = boxes.run("cat", "/proc/self/status")
        finally:
            os.setgroups(before)
        assert _status(text)["Groups"].split() == []

    def test_signals_are_at_their_defaults(self, boxes: Boxes) -> None:
        _, text = boxes.run("cat", "/proc/self/status")
        found = _status(text)
        assert {int(found[name], 16) for name in ("SigBlk", "SigIgn")} == {0}

    def test_limits_of_the_process(self, boxes: Boxes) -> None:
        limits = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]
        _, text = boxes.run("cat", "/proc/self/limits", rlimits=limits)
        line = next(line for line in text.splitlines() if line.startswith("Max open files"))
        assert line.split()[3:5] == ["100", "200"]

    @pytest.mark.parametrize(
        ("path", "probe"),
        [
            pytest.param("/proc/uptime", "cat /proc/uptime", id="file"),
            pytest.param("/proc/irq", "ls /proc/irq", id="folder"),
            pytest.param("/proc/none", "true", id="absent"),
        ],
    )
    def test_masked_paths_are_empty(self, boxes: Boxes, path: str, probe: str) -> None:
        lacks(boxes, RuntimeFeature.MOUNTS)
        data = boxes.config("sh", "-c", probe)
        data["linux"]["maskedPaths"] = [path]
        assert boxes.run_config(data) == (0, "")

    def test_readonly_paths(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.MOUNTS)
        # What an ordinary user's container could write else is of its own network.
        setting = "net/ipv4/ip_default_ttl" if boxes.rootless else "kernel/domainname"
        data = boxes.config("sh", "-c", f"echo 65 > /proc/sys/{setting} || echo refused")
        if boxes.rootless:
            kinds = ("bounding", "effective", "permitted")
            data["process"]["capabilities"] = {kind: ["CAP_NET_ADMIN"] for kind in kinds}
        data["linux"]["readonlyPaths"] = ["/proc/sys"]
        assert "refused" in boxes.run_config(data)[1]

    def test_default_devices(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.MOUNTS)
        names = "null zero full random urandom tty"
        script = f"cd /dev; for n in {names}; do stat -c '%n %F' $n; done; readlink ptmx fd; echo x > null"
        code, text = boxes.run("sh", "-c", script)
        assert code == 0
        *devices, ptmx, descriptors = text.splitlines()
        assert devices == [f"{name} character special file" for name in names.split()]
        assert ptmx.endswith("pts/ptmx")
        assert descriptors == "/proc/self/fd"

    def test_mounts_are_in_order_and_have_their_options(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.MOUNTS)
        data = boxes.config("sh", "-c", "cat /proc/self/mountinfo; ls /data/in && ! mkdir /data/in/deep")
        data["mounts"] += [
            {"destination": "/data", "type": "tmpfs", "source": "t", "options": ["nosuid", "mode=700"]},
            {"destination": "/data/in", "type": "tmpfs", "source": "t", "options": ["ro", "nodev"]},
        ]
        code, text = boxes.run_config(data)
        found = {line.split()[4]: set(line.split()[5].split(",")) for line in text.splitlines() if " - " in line}
        assert code == 0
        assert {"nosuid", "rw"} <= found["/data"]
        assert {"ro", "nodev"} <= found["/data/in"]

    def test_a_bind_mount_and_a_readonly_one(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.MOUNTS)
        shared = boxes.bundles.folder / "shared"
        shared.mkdir()
        (shared / "given").write_text("from outside\n", encoding="ascii")
        script = "cat /in/given; echo back > /in/made; echo no > /ro/made; cat /file"
        data = boxes.config("sh", "-c", script)
        data["mounts"] += [
            {"destination": "/in", "source": str(shared), "options": ["rbind", "rw"]},
            {"destination": "/ro", "source": str(shared), "options": ["bind", "ro"]},
            {"destination": "/file", "source": str(shared / "given"), "options": ["bind", "ro"]},
        ]
        _, text = boxes.run_config(data)
        assert text.splitlines().count("from outside") == 2
        assert (shared / "made").read_text(encoding="ascii") == "back\n"

    def test_a_mount_in_the_container_is_not_seen_outside(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.MOUNTS)
        before = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
        box = boxes.create(boxes.config("true"))
        assert Path("/proc/self/mountinfo").read_text(encoding="utf-8") == before
        boxes.runtime.delete(box.id, force=True)

    @pytest.mark.parametrize("link", ["relative", "absolute"])
    def test_a_link_in_the_image_leads_nowhere_else(self, boxes: Boxes, link: str) -> None:
        lacks(boxes, RuntimeFeature.MOUNTS)
        outside = boxes.bundles.folder / "outside"
        outside.mkdir()
        bundle = boxes.bundles.make("trap", self._trapped(boxes), shared=False)
        target = os.path.relpath(outside, bundle / "rootfs") if link == "relative" else str(outside)
        (bundle / "rootfs/trap").symlink_to(target)
        try:
            box = boxes.create_in(bundle, "trap")
        except Invalid:
            pass  # to refuse such an image is as good
        else:
            boxes.runtime.start(box.id)
            box.code()
        assert list(outside.iterdir()) == []

    @staticmethod
    def _trapped(boxes: Boxes) -> dict[str, Any]:
        data = boxes.config("true")
        data["mounts"].append({"destination": "/trap/made", "type": "tmpfs", "source": "t"})
        return data
