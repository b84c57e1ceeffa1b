"""Nonsense in any field of a config.json: refused by the field's name, or taken as it is, and nothing is left."""

import contextlib
import copy
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from guests.cover import needs
from moby_runtime.native import spec
from moby_runtime.native.runtime import Native
from moby_runtime.records.shape import CONFIG, PROCESS, RESOURCES, Each, Elsewhere, Ignored, Missing, Strings

from moby.contracts.types import Stdio, TaskStatus
from moby.errors import Invalid, MobyError, NotFound
from moby.testing.boxes import Boxes, MakeRuntime, exit_code
from moby.testing.runtime import RuntimeFixtures

Path_ = tuple[str | int, ...]

EXAMPLES: Mapping[str, dict[str, Any]] = {
    "process.rlimits": {"type": "RLIMIT_NOFILE", "soft": 64, "hard": 64},
    "process.scheduler": {"policy": "SCHED_OTHER"},
    "process.ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
    "process.consoleSize": {"height": 24, "width": 80},
    "mounts": {"destination": "/mnt", "type": "tmpfs", "source": "t", "options": ["ro"]},
    "hooks": {"path": "/bin/true"},
    "linux.namespaces": {"type": "network"},
    "linux.uidMappings": {"containerID": 0, "hostID": 0, "size": 1000},
    "linux.gidMappings": {"containerID": 0, "hostID": 0, "size": 1000},
    "linux.devices": {"type": "c", "path": "/dev/made", "major": 1, "minor": 3},
    "linux.resources.devices": {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
    "linux.resources.hugepageLimits": {"pageSize": "2MB", "limit": 1 << 21},
    "linux.resources.network.priorities": {"name": "lo", "priority": 1},
    "linux.resources.blockIO": {"major": 8, "minor": 0, "rate": 1000},
    "linux.personality": {"domain": "LINUX"},
}
"""What is right around a field, where it doesn't stand alone."""

NUMBERS: tuple[Any, ...] = (
    "5", 1.5, True, [], {}, [1], -1, -(2**63), 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30,
)  # fmt: skip
TEXTS: tuple[Any, ...] = (
    5, False, [], {}, "", "\0", "a\0b", "\ud800", "x" * 100_000, "../../..", "a\nb", "%s%n", "é", " ", "/", "-1",
)  # fmt: skip
TRUTHS: tuple[Any, ...] = ("true", 0, 1, [], {}, "")
LISTS: tuple[Any, ...] = ("x", 5, {}, [[]], [5], [{}], ["\0"], [""], ["x"] * 3000)
OBJECTS: tuple[Any, ...] = ("x", 5, [], [{}], {"": ""}, {"\0": "\0"}, {"x": {}}, {"x" * 5000: "y"})
NONSENSE: Mapping[object, tuple[Any, ...]] = {int: NUMBERS, str: TEXTS, bool: TRUTHS}


def fields(shape: Any, path: Path_ = ()) -> Iterator[tuple[Path_, tuple[Any, ...]]]:
    """Yield each field with the nonsense for it."""
    if shape in (Missing, Ignored, Elsewhere, Strings):
        yield path, OBJECTS
        if shape is Strings:
            yield (*path, "net.ipv4.ip_default_ttl" if path[-1] == "sysctl" else "a.b"), TEXTS
    elif isinstance(shape, Each):
        yield path, OBJECTS
        yield from fields(shape.shape, (*path, "a"))
    elif isinstance(shape, Mapping):
        yield path, OBJECTS
        for name, each in shape.items():
            yield from fields(each, (*path, name))
    elif isinstance(shape, list):
        yield path, LISTS
        yield from fields(shape[0], (*path, 0))
    else:
        yield path, NONSENSE[shape]


def by_turns(found: Iterable[tuple[Path_, tuple[Any, ...]]]) -> list[Any]:
    """Return fields as parameters: every field with every second value, so that each value comes in half of the fields.

    What is of one shape is refused by one rule; the other half, `long`, finds where a field is an exception.
    """
    return [
        pytest.param(path, values[(count + half) % 2 :: 2], id=f"{named(path)}{'-rest' * half}", marks=marks)
        for count, (path, values) in enumerate(found)
        for half, marks in enumerate(((), (pytest.mark.long,)))
    ]


def named(path: Path_) -> str:
    """Return a field's path as messages have it."""
    return "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in path).lstrip(".")


def example(path: Path_) -> dict[str, Any]:
    """Return what stands around a field."""
    texts = named(path).replace("[0]", "")
    return copy.deepcopy(next((EXAMPLES[name] for name in (texts, texts.rpartition(".")[0]) if name in EXAMPLES), {}))


def planted(data: dict[str, Any], path: Path_, value: Any) -> tuple[dict[str, Any], Path_]:
    """Return the configuration with a value in a field, and where that is, behind what is in a list already."""
    data = copy.deepcopy(data)
    place: Any = data
    real: list[str | int] = []
    for step, following in zip(path, (*path[1:], None), strict=True):
        if following is None:
            break
        if isinstance(step, int):
            place.append(example(path[: len(real)]) if isinstance(following, str) else [])
            real.append(len(place) - 1)
            place = place[-1]
            continue
        real.append(step)
        if not isinstance(place.get(step), list if isinstance(following, int) else dict):
            place[step] = [] if isinstance(following, int) else example(tuple(real))
        place = place[step]
    if isinstance(path[-1], int):
        place.append(value)
        real.append(len(place) - 1)
    else:
        place[path[-1]] = value
        real.append(path[-1])
    return data, tuple(real)


MAY_BE_ANOTHER = {"root.path": "process.args"}
"""What is at fault where a field's nonsense makes sense."""
FIELDS = [(path, values) for path, values in fields(CONFIG) if path]


INSIDE = [
    (path, values)
    for shape, above in ((PROCESS, ("process",)), (RESOURCES, ("linux", "resources")))
    for path, values in fields(shape, above)
    if len(path) > len(above)
]


def base(boxes: Boxes, path: Path_) -> dict[str, Any]:
    data = boxes.config("true")
    kinds = {"uidMappings", "gidMappings"} & set(path)
    if kinds or "timeOffsets" in path:
        wanted = {"type": "user" if kinds else "time"}
        if wanted not in data["linux"]["namespaces"]:  # an ordinary user's containers all have one of users
            data["linux"]["namespaces"].append(wanted)
    if kinds and "mounts" not in path:
        other = next(iter({"uidMappings", "gidMappings"} - kinds))
        data["linux"][other] = [EXAMPLES["linux.uidMappings"]]
    return data


def is_named(path: Path_, message: str) -> bool:
    """Whether a message names a field, or what it is a part of."""
    lengths = range(len(path), min(len(path), 2) - 1, -1)
    return any(named(path[:length]) in message for length in lengths) or (len(path) > 1 and named(path[:1]) == message)


class TestNonsense(RuntimeFixtures):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return Native

    @pytest.mark.slow
    @pytest.mark.parametrize(("path", "values"), by_turns(FIELDS))
    def test_in_a_field(self, boxes: Boxes, path: Path_, values: tuple[Any, ...]) -> None:
        if "timeOffsets" in path:
            needs(Path("/proc/self/ns/time").exists(), "time namespaces", "qemu")
        wrong = []
        for number, value in enumerate(values):
            data, real = planted(base(boxes, path), path, value)
            bundle = boxes.bundles.make(f"bad{number}", data)
            name = f"bad{number}"
            try:
                box = boxes.create_in(bundle, name)
                boxes.runtime.start(box.id)
            except MobyError as error:
                told = f"{error} {error.hint}"
                if not (is_named(real, told) or MAY_BE_ANOTHER.get(named(path), "-") in told) or len(told) > 20_000:
                    wrong.append(f"{str(value)[:50]!r}: {told[:300]}")
            boxes.runtime.delete(name, force=True)
            assert list(boxes.place.run.iterdir()) == []
        assert wrong == [], named(path)

    @pytest.mark.slow
    @pytest.mark.parametrize(("path", "values"), by_turns(INSIDE))
    def test_in_what_exec_or_update_is_given(self, boxes: Boxes, path: Path_, values: tuple[Any, ...]) -> None:
        box = boxes.started(boxes.config("sleep", "1000"))
        wrong = []
        for value in values:
            data, real = planted(boxes.config("true"), path, value)
            try:
                if path[0] == "process":
                    with streams() as given:
                        process = boxes.runtime.exec(box.id, data["process"], given)
                    assert exit_code(process) is not None
                else:
                    boxes.runtime.update(box.id, data["linux"]["resources"])
            except MobyError as error:
                told = f"{error} {error.hint}"
                if not is_named(real, told) or len(told) > 20_000:
                    wrong.append(f"{str(value)[:50]!r}: {told[:300]}")
            assert boxes.runtime.state(box.id).status is TaskStatus.RUNNING
        assert wrong == [], named(path)


@contextlib.contextmanager
def streams() -> Iterator[Stdio]:
    null = os.open("/dev/null", os.O_RDWR)
    try:
        yield Stdio(null, null, null)
    finally:
        os.close(null)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"null", b"[]", b"5", b'"x"', b"\xff\xfe", b"{}" * 2, b'{"process": ' * 50_000, b"[" * 200_000,
        b'{"a": NaN}', b'{"process": {"args": ["a"], "args": []}}', b"9" * 50_000,
        b'{"hostname": ' + b"9" * 50_000 + b"}",
        "\ufeff{}".encode(), b'{"root": {"path": 1e999}}', b'{"process": {"user": {"uid": 1e400}}}',
        b'{"hostname": "' + b"\\ud800" + b'"}',
    ],
    ids=range(18),
)  # fmt: skip
def test_what_is_no_configuration(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "config.json").write_bytes(text)
    with pytest.raises(Invalid, match=r"config\.json"):
        spec.read(tmp_path)


def test_a_huge_configuration(tmp_path: Path) -> None:
    """Ten thousand of everything is read or refused in no time, with a message that can be read."""
    data = {"root": {"path": "."}, "process": {"args": ["a"], "cwd": "/", "env": ["A=1"] * 10_000}}
    data |= {"mounts": [{"destination": 5}] * 10_000, "annotations": {str(n): "x" for n in range(10_000)}}
    (tmp_path / "config.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(Invalid, match=r"mounts\[0\]\.destination") as caught:
        spec.read(tmp_path)
    assert len(str(caught.value)) < 20_000


@pytest.mark.parametrize("kind", ["absent", "file", "fifo", "folder", "device", "loop", "unreadable"])
def test_odd_files_in_place_of_the_configuration(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "config.json"
    if kind == "file":
        tmp_path = path
        path.touch()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        if os.geteuid():
            pytest.skip("only root makes devices; run by root this is covered")
        os.mknod(path, 0o20666, os.makedev(1, 5))
    elif kind == "loop":
        path.symlink_to("config.json")
    elif kind == "unreadable":
        path.write_text("{}")
        path.chmod(0)
    with pytest.raises(MobyError, match="config" if kind != "file" else "bundle"):
        spec.read(tmp_path)


@pytest.mark.parametrize("value", ["/", "/./", "//"])
def test_a_root_that_is_the_host_s_own(tmp_path: Path, value: str) -> None:
    data = {"ociVersion": "1.3.0", "root": {"path": value}, "process": {"args": ["a"], "cwd": "/"}}
    (tmp_path / "config.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(Invalid, match=r"root\.path is the host's own root"):
        spec.read(tmp_path)


@pytest.mark.parametrize("value", ["absent", "../absent", "config.json", "/absent", "x" * 300, "loop", "fifo"])
def test_a_root_that_is_not_there(tmp_path: Path, value: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    data: dict[str, Any] = {"ociVersion": "1.3.0", "root": {"path": value}, "process": {"args": ["a"], "cwd": "/"}}
    data["linux"] = {"namespaces": [{"type": "mount"}]}
    (tmp_path / "config.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(NotFound, match="root file system"):
        spec.read(tmp_path)
