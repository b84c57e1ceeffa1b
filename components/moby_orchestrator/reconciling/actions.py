"""What a plan says is to be done."""

from collections.abc import Mapping

from moby.contracts.orchestrator import Problem, Task, TaskState, UpdateStatus
from moby.values import field, frozen

__all__ = ["Action", "Assign", "Drop", "End", "Forget", "Lose", "Plan", "Progress", "Refuse", "RollBack", "Start"]


@frozen
class Start:
    """A new task, with the node that has it, or with why none can."""

    task: Task


@frozen
class Assign:
    """A task that waited for a node has one."""

    task_id: str
    node_id: str


@frozen
class Refuse:
    """A task waits for a node for other reasons than before."""

    task_id: str
    problems: tuple[Problem, ...]


@frozen
class End:
    """A task is wanted no more: its node ends it; `remove` has it forgotten then."""

    task_id: str
    desired: TaskState
    why: str


@frozen
class Forget:
    """A task that has ended, of which nobody wants to know any more."""

    task_id: str


@frozen
class Lose:
    """A task of which nobody will hear again."""

    task_id: str


@frozen
class Progress:
    """An update begins, ends or is paused."""

    service_id: str
    update: UpdateStatus


@frozen
class RollBack:
    """A service becomes what it was before its update."""

    service_id: str
    message: str


@frozen
class Drop:
    """A service that was to go has no tasks any more."""

    service_id: str


Action = Start | Assign | Refuse | End | Forget | Lose | Progress | RollBack | Drop


@frozen
class Plan:
    """What is to be done now, in this order, and when to plan again though nothing was observed."""

    actions: tuple[Action, ...] = ()
    wake_ns: int = 0
    """0 is never."""
    waiting: Mapping[str, str] = field(factory=dict)
    """By service, what its first tasks wait for."""
