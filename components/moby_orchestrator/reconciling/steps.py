"""What is decided of one service, as it is gathered."""

from moby.contracts.orchestrator import Task, TaskState
from moby_orchestrator.reconciling.actions import Action, End

__all__ = ["Steps"]


class Steps:
    """Actions, tasks that are to start once they have a node, and when to look again."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns
        self.actions: list[Action] = []
        self.starts: list[Task] = []
        self.wake_ns = 0
        self.waiting: dict[str, str] = {}

    def end(self, task: Task, why: str, desired: TaskState = TaskState.SHUTDOWN) -> None:
        """Have a task end, unless it was told to already; one that is to be forgotten stays that."""
        if task.desired not in (desired, TaskState.REMOVE):
            self.actions.append(End(task.id, desired, why))

    def wake_in(self, delay_ns: int) -> None:
        """Look again then, if nothing is sooner."""
        at = self.now_ns + delay_ns
        self.wake_ns = min(self.wake_ns or at, at)
