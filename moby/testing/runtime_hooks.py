"""The conformance suite of runtimes: hooks (runtime-spec, config.md, POSIX-platform hooks; runtime.md, lifecycle)."""

# ruff: noqa: D102 - the name of a test says what it holds a runtime to
import json
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from moby.contracts.runtime import RuntimeFeature
from moby.errors import Invalid, NotFound, Unsupported
from moby.testing.boxes import Boxes
from moby.testing.runtime_offers import lacks, offers

__all__ = ["Hooks"]

ALL = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
AT_CREATE = ALL[:3]
INSIDE = ("createContainer", "startContainer")


@frozen
class Told:
    """What one hook wrote down: which it is, its mount namespace, and the state that it read."""

    name: str
    mount_namespace: str
    state: dict[str, Any]


class Log:
    """A file that hooks write to, by one path outside and inside."""

    def __init__(self, boxes: Boxes) -> None:
        self.folder = boxes.bundles.folder / "told"
        self.folder.mkdir()
        self.path = self.folder / "hooks"
        self.path.touch()

    def hook(self, name: str, more: str = "", **fields: Any) -> dict[str, Any]:
        """Return a hook that writes a line, then does more."""
        words = f"read -r state; echo {name} $(/bin/readlink /proc/self/ns/mnt) $state >> {self.path}; {more}"
        return {"path": "/bin/sh", "args": ["sh", "-c", words], **fields}

    def config(self, boxes: Boxes, *args: str, **hooks: Any) -> dict[str, Any]:
        """Return a config.json in which the log is there, with hooks."""
        data = boxes.config(*args)
        data["mounts"].append({"destination": str(self.folder), "source": str(self.folder), "options": ["bind"]})
        return {**data, "annotations": {"colour": "blue"}, "hooks": hooks}

    def told(self) -> list[Told]:
        """Return what was written, in order."""
        found = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            name, namespace, state = line.split(" ", 2)
            found.append(Told(name, namespace, json.loads(state)))
        return found

    def names(self) -> list[str]:
        """Return who wrote, in order."""
        return [each.name for each in self.told()]


class Hooks:
    """Hooks: which, when, where, with what, and what comes of one that fails."""

    def test_hooks_are_refused_unless_offered(self, boxes: Boxes) -> None:
        if offers(boxes, RuntimeFeature.HOOKS):
            return
        data = boxes.config("true")
        data["hooks"] = {"createRuntime": [{"path": "/bin/true"}]}
        with pytest.raises(Unsupported, match="hooks"):
            boxes.create(data)

    def test_hooks_run_in_their_order_and_places(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.HOOKS)
        log = Log(boxes)
        hooks = {name: [log.hook(name), log.hook(f"{name}-second")] for name in ALL}
        box = boxes.create(log.config(boxes, "true", **hooks))
        at_create = log.names()
        boxes.runtime.start(box.id)
        box.code()
        at_start = log.names()[len(at_create) :]
        boxes.runtime.delete(box.id)
        at_delete = log.names()[len(at_create) + len(at_start) :]
        every = [each for name in ALL for each in (name, f"{name}-second")]
        assert (at_create, at_start, at_delete) == (every[:6], every[6:10], every[10:])
        ours = str(Path("/proc/self/ns/mnt").readlink())
        inside = {each.name.removesuffix("-second") for each in log.told() if each.mount_namespace != ours}
        assert inside == set(INSIDE)

    def test_hooks_read_the_state(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.HOOKS)
        log = Log(boxes)
        box = boxes.started(log.config(boxes, "true", **{name: [log.hook(name)] for name in ALL}))
        box.code()
        boxes.runtime.delete(box.id)
        told = {each.name: each.state for each in log.told()}
        assert list(told) == list(ALL)
        assert {each["id"] for each in told.values()} == {box.id}
        assert all(each["annotations"] == {"colour": "blue"} for each in told.values())
        assert all(isinstance(each["ociVersion"], str) and Path(each["bundle"]).is_absolute() for each in told.values())
        statuses = [each["status"] for each in told.values()]
        assert set(statuses[:3]) <= {"creating", "created"}
        assert statuses[3] not in ("running", "stopped"), "it is no more than created, whatever a runtime calls it"
        assert statuses[4:] == ["running", "stopped"]
        outside = [each["pid"] for name, each in told.items() if name not in (*INSIDE, "poststop")]
        assert set(outside) == {box.process.pid}
        assert not told["poststop"].get("pid")

    def test_a_hook_has_its_own_arguments_and_environment(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.HOOKS)
        log = Log(boxes)
        script = f'echo "$0,$1,$A,$HOME,$PATH" >> {log.path}'
        hook = {"path": "/bin/sh", "args": ["named", "-c", script, "zero", "one"], "env": ["A=two words"]}
        box = boxes.create(log.config(boxes, "true", createRuntime=[hook]))
        boxes.runtime.delete(box.id, force=True)
        first = log.path.read_text(encoding="utf-8").splitlines()[0].split(",")
        assert first[:3] == ["zero", "one", "two words"]
        assert first[3] == ""

    @pytest.mark.parametrize("name", AT_CREATE)
    def test_a_hook_that_fails_undoes_the_container(self, boxes: Boxes, name: str) -> None:
        lacks(boxes, RuntimeFeature.HOOKS)
        log = Log(boxes)
        hooks = {name: [log.hook("fails", "exit 3"), log.hook("never")], "poststop": [log.hook("poststop")]}
        with pytest.raises(Invalid, match=rf"hooks\.{name}\[0\]"):
            boxes.create(log.config(boxes, "true", **hooks))
        assert boxes.runtime.list() == ()
        assert log.names() == ["fails", "poststop"]

    def test_a_hook_that_is_not_there_is_named(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.HOOKS)
        log = Log(boxes)
        with pytest.raises(Invalid, match=r"hooks\.createRuntime\[1\]"):
            boxes.create(log.config(boxes, "true", createRuntime=[log.hook("first"), {"path": "/no/such"}]))
        assert boxes.runtime.list() == ()

    @pytest.mark.parametrize("name", ["startContainer", "poststart"])
    def test_a_hook_that_fails_at_the_start_ends_the_container(self, boxes: Boxes, name: str) -> None:
        lacks(boxes, RuntimeFeature.HOOKS)
        log = Log(boxes)
        hooks = {name: [log.hook("fails", "exit 3")], "poststop": [log.hook("poststop")]}
        box = boxes.create(log.config(boxes, "sh", "-c", "echo ran; exec sleep 1000", **hooks))
        with pytest.raises(Invalid, match=rf"hooks\.{name}"):
            boxes.runtime.start(box.id)
        code, text = box.code(), box.text()
        assert code != 0
        assert "ran" not in text or name == "poststart"
        with pytest.raises(NotFound):
            boxes.runtime.state(box.id)
        assert log.names() == ["fails", "poststop"]

    def test_a_hook_that_fails_at_the_end_is_passed_over(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.HOOKS)
        log = Log(boxes)
        hooks = [log.hook("fails", "exit 3"), {"path": "/no/such"}, log.hook("last")]
        box = boxes.started(log.config(boxes, "true", poststop=hooks))
        box.code()
        boxes.runtime.delete(box.id)
        assert log.names() == ["fails", "last"]
        assert boxes.runtime.list() == ()

    def test_a_hook_whose_time_is_up_fails(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.HOOKS)
        log = Log(boxes)
        with pytest.raises(Invalid, match=r"hooks\.createRuntime\[0\]"):
            boxes.create(log.config(boxes, "true", createRuntime=[log.hook("slow", "exec sleep 1000", timeout=1)]))
        assert boxes.runtime.list() == ()

    def test_poststop_hooks_run_at_a_forced_delete(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.HOOKS)
        log = Log(boxes)
        box = boxes.create(log.config(boxes, "true", poststop=[log.hook("poststop")]))
        boxes.runtime.delete(box.id, force=True)
        assert box.code() == 137
        assert log.names() == ["poststop"]
