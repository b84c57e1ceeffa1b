"""Messages of containerd's services (containerd 1.7, api/services and api/types), as far as they are used here."""

from typing import Annotated

from attrs import Factory, define

__all__ = [
    "Any", "CloseIO", "Container", "CreateContainer", "CreateTask", "Created", "Empty", "Exec", "Kill", "Listed",
    "Named", "Pids", "Process", "ProcessInfo", "Resize", "RuncOptions", "Runtime", "Started", "State", "Update",
    "Version", "Waited", "Whose",
]  # fmt: skip


@define
class Empty:
    """Nothing."""


@define
class Version:
    """containerd.services.version.v1.VersionResponse."""

    version: Annotated[str, 1] = ""
    revision: Annotated[str, 2] = ""


@define
class Any:
    """google.protobuf.Any; of what the runtime-spec describes, the value is JSON."""

    type_url: Annotated[str, 1] = ""
    value: Annotated[bytes, 2] = b""


@define
class Runtime:
    """Which shim runs a container, and its options."""

    name: Annotated[str, 1] = ""
    options: Annotated[Any | None, 2] = None


@define
class RuncOptions:
    """containerd.runc.v1.Options."""

    binary_name: Annotated[str, 6] = ""
    root: Annotated[str, 7] = ""


@define
class Container:
    """containerd.services.containers.v1.Container."""

    id: Annotated[str, 1] = ""
    labels: Annotated[dict[str, str], 2] = Factory(dict)
    runtime: Annotated[Runtime | None, 4] = None
    spec: Annotated[Any | None, 5] = None


@define
class CreateContainer:
    """CreateContainerRequest, and its answer."""

    container: Annotated[Container | None, 1] = None


@define
class Named:
    """A request about a container's record."""

    id: Annotated[str, 1] = ""


@define
class CreateTask:
    """CreateTaskRequest."""

    container_id: Annotated[str, 1] = ""
    stdin: Annotated[str, 4] = ""
    stdout: Annotated[str, 5] = ""
    stderr: Annotated[str, 6] = ""
    terminal: Annotated[bool, 7] = False


@define
class Created:
    """CreateTaskResponse."""

    container_id: Annotated[str, 1] = ""
    pid: Annotated[int, 2] = 0


@define
class Whose:
    """A request about a task, or, with `exec_id`, about a program that was run in it."""

    container_id: Annotated[str, 1] = ""
    exec_id: Annotated[str, 2] = ""


@define
class Started:
    """StartResponse."""

    pid: Annotated[int, 1] = 0


@define
class Exec:
    """ExecProcessRequest."""

    container_id: Annotated[str, 1] = ""
    stdin: Annotated[str, 2] = ""
    stdout: Annotated[str, 3] = ""
    stderr: Annotated[str, 4] = ""
    terminal: Annotated[bool, 5] = False
    spec: Annotated[Any | None, 6] = None
    exec_id: Annotated[str, 7] = ""


@define
class Kill:
    """KillRequest."""

    container_id: Annotated[str, 1] = ""
    exec_id: Annotated[str, 2] = ""
    signal: Annotated[int, 3] = 0
    all: Annotated[bool, 4] = False


@define
class Resize:
    """ResizePtyRequest."""

    container_id: Annotated[str, 1] = ""
    exec_id: Annotated[str, 2] = ""
    width: Annotated[int, 3] = 0
    height: Annotated[int, 4] = 0


@define
class CloseIO:
    """CloseIORequest."""

    container_id: Annotated[str, 1] = ""
    exec_id: Annotated[str, 2] = ""
    stdin: Annotated[bool, 3] = False


@define
class ProcessInfo:
    """A process of a task."""

    pid: Annotated[int, 1] = 0


@define
class Pids:
    """ListPidsResponse."""

    processes: Annotated[list[ProcessInfo], 1] = Factory(list)


@define
class Update:
    """UpdateTaskRequest."""

    container_id: Annotated[str, 1] = ""
    resources: Annotated[Any | None, 2] = None


@define
class Process:
    """containerd.v1.types.Process; `status` is 1 created, 2 running, 3 stopped, 4 paused, 5 on the way there."""

    container_id: Annotated[str, 1] = ""
    id: Annotated[str, 2] = ""
    pid: Annotated[int, 3] = 0
    status: Annotated[int, 4] = 0


@define
class State:
    """GetResponse."""

    process: Annotated[Process | None, 1] = None


@define
class Listed:
    """ListTasksResponse."""

    tasks: Annotated[list[Process], 1] = Factory(list)


@define
class Waited:
    """WaitResponse; the status is 128+n for signal n."""

    exit_status: Annotated[int, 1] = 0
