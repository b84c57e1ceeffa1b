"""The kind `command`: a verb of a distribution's own command line, named as the part is named in the assembly."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from moby.contracts.ambient import Place
from moby.contracts.kind import contract

__all__ = ["ENGINE_FAILED", "EXITS_AS_CONTAINER", "THROUGH_FRONTEND", "Command", "FrontedCommand", "engine_socket"]

EXITS_AS_CONTAINER = "exits-as-container"
"""The feature of a verb whose exit code is a container's: what else goes wrong, the engine's start too, is 125."""
ENGINE_FAILED = 125
"""Then the code of every error that isn't about the program itself (docker-run(1), exit status)."""

THROUGH_FRONTEND = "through-frontend"
"""The feature of a verb that calls the engine over the socket of `engine_socket`, by what its default front end speaks.

It needs a front end, as `Frontend | None`, so that the engine is started where no process serves it; where one does,
the verb is made without, and calls that one. What it needs so is filled as other needs are. It may be a FrontedCommand.
"""


def engine_socket(place: Place) -> Path:
    """Return where the default front end answers the engine's own verbs, from any part's folders; mode 0600."""
    return place.run.parents[1] / "engine.sock"


@contract("command", version=1, many=True)
class Command(Protocol):
    """A verb of the distribution's own command line."""

    def run(self, arguments: Sequence[str]) -> int:
        """Do it with the process's own standard streams, and return the exit code.

        Wrong usage ends with a usage line on standard error and 2; errors are raised, and printed by the caller,
        whose exit code is then the error's. A verb that returns a container's code uses 125 for both, as docker does,
        and offers EXITS_AS_CONTAINER, by which its caller knows; an error of its own may have a greater code.
        """
        ...


class FrontedCommand(Command, Protocol):
    """A verb with THROUGH_FRONTEND that knows which command lines take no engine, for which then none is started."""

    def answered(self, arguments: Sequence[str]) -> int | None:
        """Answer --help and wrong usage as `run` does, and return the exit code; None, with no effect, for all else.

        It is called of a verb that was made without its front end, in folders that needn't be there.
        """
        ...
