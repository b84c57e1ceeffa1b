"""How a container's status changes: a table, of which the documents' figure is drawn."""

from collections.abc import Mapping
from enum import StrEnum

from moby.contracts.containers import Status
from moby.errors import Conflict

__all__ = ["NEXT", "Act", "after", "drawn"]


class Act(StrEnum):
    """What happens to a container."""

    START = "start"
    FAIL = "start fails"
    END = "end"
    END_TO_RESTART = "end, to be restarted"
    GIVE_UP = "stop"
    """Of one that waits for its restart."""
    PAUSE = "pause"
    UNPAUSE = "unpause"
    REMOVE = "remove"
    REMOVAL_FAILS = "removal fails"


_S = Status
NEXT: Mapping[tuple[Status, Act], Status] = {
    (_S.CREATED, Act.START): _S.RUNNING,
    (_S.CREATED, Act.FAIL): _S.CREATED,
    (_S.CREATED, Act.REMOVE): _S.REMOVING,
    (_S.RUNNING, Act.END): _S.EXITED,
    (_S.RUNNING, Act.END_TO_RESTART): _S.RESTARTING,
    (_S.RUNNING, Act.PAUSE): _S.PAUSED,
    (_S.PAUSED, Act.UNPAUSE): _S.RUNNING,
    (_S.PAUSED, Act.END): _S.EXITED,
    (_S.PAUSED, Act.END_TO_RESTART): _S.RESTARTING,
    (_S.RESTARTING, Act.START): _S.RUNNING,
    (_S.RESTARTING, Act.FAIL): _S.EXITED,
    (_S.RESTARTING, Act.END_TO_RESTART): _S.RESTARTING,
    (_S.RESTARTING, Act.GIVE_UP): _S.EXITED,
    (_S.RESTARTING, Act.REMOVE): _S.REMOVING,
    (_S.EXITED, Act.START): _S.RUNNING,
    (_S.EXITED, Act.FAIL): _S.EXITED,
    (_S.EXITED, Act.END_TO_RESTART): _S.RESTARTING,
    (_S.EXITED, Act.REMOVE): _S.REMOVING,
    (_S.REMOVING, Act.REMOVAL_FAILS): _S.DEAD,
    (_S.DEAD, Act.REMOVE): _S.REMOVING,
}
"""What isn't in it can't be."""


def after(status: Status, act: Act) -> Status:
    """Return the status that follows; Conflict where that can't happen now."""
    found = NEXT.get((status, act))
    if found is None:
        raise Conflict(f"a container that is {status} can't do this: {act}")
    return found


def drawn() -> str:
    """Return the table in Markdown: a row for each status, a column for each thing that may happen."""
    lines = ["| is | " + " | ".join(Act) + " |", "|--" * (len(Act) + 1) + "|"]
    for status in Status:
        cells = [NEXT.get((status, act), "") for act in Act]
        lines.append(f"| {status} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
