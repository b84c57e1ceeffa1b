"""The conformance suite of runtimes: calls, states and errors."""

# ruff: noqa: D102 - the name of a test says what it holds a runtime to
import errno
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from moby.contracts.runtime import RuntimeFeature
from moby.contracts.types import Stdio, TaskStatus
from moby.errors import Conflict, Invalid, NotFound, Unsupported
from moby.testing.boxes import Box, Boxes, MakeRuntime, children, with_pipe
from moby.testing.runtime_offers import lacks

__all__ = ["Lifecycle"]

TRAPPING = "trap 'echo got; exit 7' TERM; echo up; while :; do sleep 0.05; done"


def _null() -> Stdio:
    fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    return Stdio(fd, fd, fd)


class Lifecycle:
    """What a container goes through, and what each call refuses."""

    def test_create_runs_nothing_of_the_user(self, boxes: Boxes, tmp_path: Path) -> None:
        box = boxes.create(boxes.config("echo", "ran"))
        assert boxes.runtime.state(box.id).status is TaskStatus.CREATED
        boxes.runtime.kill(box.id, signal.SIGKILL)
        assert box.text() == ""
        assert box.code() == 137

    def test_created_running_stopped(self, boxes: Boxes) -> None:
        data = boxes.config("sh", "-c", "echo up; read line; exit 3")
        data["annotations"] = {"colour": "blue"}
        box = boxes.create(data, stdin=True)
        created = boxes.runtime.state(box.id)
        boxes.runtime.start(box.id)
        box.until("up")
        running = boxes.runtime.state(box.id)
        os.write(box.stdin, b"go\n")
        assert box.code() == 3
        stopped = boxes.runtime.state(box.id)
        assert [each.status for each in (created, running, stopped)] == ["created", "running", "stopped"]
        assert [each.pid for each in (created, running, stopped)] == [box.process.pid, box.process.pid, 0]
        assert {each.id for each in (created, running, stopped)} == {box.id}
        assert stopped.bundle == box.bundle
        assert dict(stopped.annotations) == {"colour": "blue"}

    @pytest.mark.parametrize("code", [0, 1, 42, 255])
    def test_exit_code_is_the_programs(self, boxes: Boxes, code: int) -> None:
        assert boxes.run("sh", "-c", f"exit {code}") == (code, "")

    def test_exit_descriptor_is_quiet_while_it_runs(self, boxes: Boxes) -> None:
        box = boxes.sleeping()
        assert os.waitid(os.P_PIDFD, box.process.exit_fd, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def test_a_second_of_the_same_id_is_a_conflict(self, boxes: Boxes) -> None:
        box = boxes.sleeping()
        with pytest.raises(Conflict, match=box.id):
            boxes.create(boxes.config("true"), box.id)
        assert boxes.runtime.state(box.id).status is TaskStatus.RUNNING

    def test_an_id_is_free_again_after_delete(self, boxes: Boxes) -> None:
        for _ in range(2):
            box = boxes.started(boxes.config("true"), "again")
            box.code()
            boxes.runtime.delete("again")

    def test_starting_twice_is_a_conflict(self, boxes: Boxes) -> None:
        box = boxes.sleeping()
        with pytest.raises(Conflict):
            boxes.runtime.start(box.id)

    def test_starting_a_stopped_one_is_a_conflict(self, boxes: Boxes) -> None:
        box = boxes.started(boxes.config("true"))
        box.code()
        with pytest.raises(Conflict):
            boxes.runtime.start(box.id)

    @pytest.mark.parametrize("call", ["start", "state", "kill", "delete", "pids"])
    def test_an_unknown_id_is_not_found(self, boxes: Boxes, call: str) -> None:
        arguments = (signal.SIGTERM,) if call == "kill" else ()
        with pytest.raises(NotFound, match="nobody"):
            getattr(boxes.runtime, call)("nobody", *arguments)

    def test_list_is_sorted_and_whole(self, boxes: Boxes) -> None:
        assert boxes.runtime.list() == ()
        made = [boxes.create(boxes.config("true"), name).id for name in ("b", "c", "a")]
        assert [each.id for each in boxes.runtime.list()] == sorted(made)
        assert {each.status for each in boxes.runtime.list()} == {TaskStatus.CREATED}

    def test_kill_delivers_the_signal(self, boxes: Boxes) -> None:
        box = boxes.started(boxes.config("sh", "-c", TRAPPING))
        box.until("up")
        boxes.runtime.kill(box.id, signal.SIGTERM)
        assert "got" in box.text()
        assert box.code() == 7

    def test_kill_is_for_the_first_process_alone(self, boxes: Boxes) -> None:
        # A shell that has two signals to deal with begins with the lower number, which WINCH hasn't.
        inner = "trap 'echo inner; exit' TERM; trap 'echo spared; exit' WINCH; echo up; while :; do sleep 0.05; done"
        script = f"""trap 'kill -WINCH $!; wait $!; exit 0' TERM; sh -c "{inner}" & while :; do sleep 0.05; done"""
        box = boxes.started(boxes.config("sh", "-c", script))
        box.until("up")
        boxes.runtime.kill(box.id, signal.SIGTERM)
        assert box.text() == "spared\n"

    def test_kill_everyone(self, boxes: Boxes) -> None:
        inner = "trap 'echo inner; exit' TERM; echo up; while :; do sleep 0.05; done"
        script = f"""trap 'echo outer' TERM; sh -c "{inner}" & while ! wait; do :; done; sleep 0.2"""
        box = boxes.started(boxes.config("sh", "-c", script))
        box.until("up")
        boxes.runtime.kill(box.id, signal.SIGTERM, everyone=True)
        box.until("inner")

    def test_killing_a_stopped_one_is_a_conflict(self, boxes: Boxes) -> None:
        box = boxes.started(boxes.config("true"))
        box.code()
        with pytest.raises(Conflict):
            boxes.runtime.kill(box.id, signal.SIGTERM)

    def test_a_zombie_counts_as_stopped(self, boxes: Boxes) -> None:
        box = boxes.started(boxes.config("true"))
        os.waitid(os.P_PIDFD, box.process.exit_fd, os.WEXITED | os.WNOWAIT)
        assert boxes.runtime.state(box.id).status is TaskStatus.STOPPED
        assert boxes.runtime.state(box.id).pid == 0

    def test_deleting_what_runs_is_a_conflict(self, boxes: Boxes) -> None:
        box = boxes.sleeping()
        with pytest.raises(Conflict):
            boxes.runtime.delete(box.id)
        assert boxes.runtime.state(box.id).status is TaskStatus.RUNNING

    def test_deleting_what_is_created_is_a_conflict(self, boxes: Boxes) -> None:
        box = boxes.create(boxes.config("true"))
        with pytest.raises(Conflict):
            boxes.runtime.delete(box.id)

    def test_delete_by_force_kills(self, boxes: Boxes) -> None:
        box = boxes.sleeping()
        boxes.runtime.delete(box.id, force=True)
        assert box.code() == 137
        with pytest.raises(NotFound):
            boxes.runtime.state(box.id)

    def test_delete_by_force_of_nothing_is_fine(self, boxes: Boxes) -> None:
        boxes.runtime.delete("nobody", force=True)

    def test_delete_leaves_nothing_in_the_folder(self, boxes: Boxes) -> None:
        box = boxes.started(boxes.config("true"))
        box.code()
        boxes.runtime.delete(box.id)
        left = [each for each in boxes.place.run.rglob("*") if box.id in str(each.relative_to(boxes.place.run))]
        assert left == []
        with pytest.raises(NotFound):
            boxes.runtime.delete(box.id)

    def test_pids_are_those_inside(self, boxes: Boxes) -> None:
        box = boxes.started(boxes.config("sh", "-c", "sleep 1000 & sleep 1000 & echo up; wait"))
        box.until("up")
        found = boxes.runtime.pids(box.id)
        assert box.process.pid in found
        ours = Path(f"/proc/{box.process.pid}/ns/pid").stat().st_ino
        assert {Path(f"/proc/{pid}/ns/pid").stat().st_ino for pid in found} == {ours}
        assert len(found) == 3

    def test_pids_of_a_stopped_one_are_none(self, boxes: Boxes) -> None:
        box = boxes.started(boxes.config("true"))
        box.code()
        assert boxes.runtime.pids(box.id) == ()

    def test_another_instance_on_the_same_folder_goes_on(self, boxes: Boxes, make_runtime: MakeRuntime) -> None:
        box = boxes.create(boxes.config("sh", "-c", TRAPPING))
        other = make_runtime(boxes.place)
        assert [each.id for each in other.list()] == [box.id]
        other.start(box.id)
        box.until("up")
        assert other.state(box.id) == boxes.runtime.state(box.id)
        other.kill(box.id, signal.SIGTERM)
        assert box.code() == 7
        other.delete(box.id)
        assert boxes.runtime.list() == ()

    @pytest.mark.parametrize("program", ["/bin/absent", "absent", "/etc/passwd", "/etc", "/etc/nonsense"])
    def test_a_program_that_cannot_run_is_invalid(self, boxes: Boxes, program: str) -> None:
        error = self._not_run(boxes, boxes.config(program), program)
        absent = not isinstance(error.__cause__, OSError) or error.__cause__.errno == errno.ENOENT
        assert absent is ("absent" in program)

    def test_a_pipe_as_program_is_invalid_and_not_waited_for(self, boxes: Boxes) -> None:
        error = self._not_run(boxes, with_pipe(boxes, boxes.config("/pipe")), "/pipe")
        assert isinstance(error.__cause__, OSError)

    @staticmethod
    def _not_run(boxes: Boxes, data: dict[str, Any], program: str) -> Invalid:
        """See that a program is refused by its name, by create or by start; return the error."""
        try:
            box = boxes.create(data)
        except Invalid as error:
            assert boxes.runtime.list() == ()
            assert program in str(error)
            return error
        with pytest.raises(Invalid, match=program) as caught:
            boxes.runtime.start(box.id)
        assert box.code() != 0
        assert boxes.runtime.state(box.id).status is TaskStatus.STOPPED
        boxes.runtime.delete(box.id)
        return caught.value

    @pytest.mark.parametrize("lost", ["bundle", "config.json", "rootfs"])
    def test_what_is_not_there_is_not_found(self, boxes: Boxes, lost: str) -> None:
        bundle = boxes.bundles.make("lost", boxes.config("true"))
        if lost == "bundle":
            bundle = bundle / "elsewhere"
        else:
            (bundle / lost).unlink()
        self._refused(boxes, bundle, NotFound, "")

    @pytest.mark.parametrize(
        ("text", "named"),
        [
            pytest.param("{", "", id="no-json"),
            pytest.param("[]", "", id="no-object"),
            pytest.param({"process": {"args": "true"}}, "process.args", id="type"),
            pytest.param({"process": {"args": []}}, "process.args", id="no-args"),
            pytest.param({"process": {"cwd": "bin"}}, "process.cwd", id="relative-cwd"),
            pytest.param({"linux": {"namespaces": [{"type": "moon"}]}}, "namespaces", id="namespace"),
        ],
    )
    def test_a_wrong_configuration_is_invalid(self, boxes: Boxes, text: Any, named: str) -> None:
        bundle = boxes.bundles.make("wrong", boxes.config("true"))
        if isinstance(text, dict):
            data = boxes.config("true")
            for key, value in text.items():
                data[key] = {**data[key], **value} if isinstance(value, dict) else value
            text = json.dumps(data)
        (bundle / "config.json").write_text(text, encoding="utf-8")
        self._refused(boxes, bundle, Invalid, named)

    @pytest.mark.parametrize("id", ["", ".", "..", "a/b", "a\0b", "-x"])
    def test_an_id_that_names_no_folder_is_invalid(self, boxes: Boxes, id: str) -> None:
        bundle = boxes.bundles.make("named", boxes.config("true"))
        self._refused(boxes, bundle, Invalid, "", name=id)

    def test_a_field_that_is_lacking_is_refused_by_name(self, boxes: Boxes) -> None:
        data = boxes.config("true")
        data["vm"] = {"kernel": {"path": "/vmlinuz"}}
        bundle = boxes.bundles.make("lacking", data)
        self._refused(boxes, bundle, Unsupported, "vm")

    def test_a_mount_that_fails_leaves_nothing(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.MOUNTS)
        data = boxes.config("true")
        data["mounts"].append({"destination": "/mnt", "source": "/no/such", "options": ["bind"]})
        bundle = boxes.bundles.make("broken", data)
        self._refused(boxes, bundle, Invalid, "mounts")

    @staticmethod
    def _refused(boxes: Boxes, bundle: Path, error: type[Exception], named: str, *, name: str = "refused") -> None:
        """See that create raises, names the field, and leaves nothing."""
        before, folder = children(), sorted(boxes.place.run.rglob("*"))
        stdio = _null()
        try:
            with pytest.raises(error, match=named or None):
                boxes.keep(Box(name, bundle, boxes.runtime.create(name, bundle, stdio)))
        finally:
            os.close(stdio.stdin)
        assert boxes.runtime.list() == ()
        assert children() == before
        assert sorted(boxes.place.run.rglob("*")) == folder
