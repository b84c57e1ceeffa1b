"""Verbs that call the engine over a socket: of the process that serves it, else of an engine for their own time."""

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from moby.contracts.command import Command, engine_socket
from moby.engine import root, settings
from moby.errors import Conflict, Invalid
from moby.surroundings import Roots, Surroundings, Unmade

if TYPE_CHECKING:
    from moby.engine.call import Call

__all__ = ["answered", "check_socket", "run"]

DRAIN_S = 10.0
_LONGEST_PATH = 107
"""Of a Unix socket, in bytes (unix(7), sun_path)."""


def answered(call: "Call", key: str) -> int | None:
    """Return the exit code of what such a verb answers without an engine, as --help; None where it takes one.

    Nothing is made for that. Where somebody serves, this is left to the verb, which starts nothing then.
    """
    instance = call.plan.get(key)
    roots = call.roots
    if instance is None or os.path.exists(engine_socket(roots.named(key))):  # noqa: PTH110  # no error where it may not look
        return None
    from moby.wiring import construct

    around = Surroundings(Unmade(roots.state, roots.run, roots.cache, roots.engine), log_level=call.log_level)
    own = getattr(construct(instance, {}, around), "answered", None)
    code: int | None = None if own is None else own(call.arguments)
    if code is None:
        check_socket(roots)
    return code


def check_socket(roots: Roots) -> None:
    """Raise Invalid where the engine of these folders can't listen to its own verbs, before it is started."""
    path = engine_socket(roots.named("command/any"))
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise Invalid(
            f"{path} is longer than a Unix socket's path may be, {_LONGEST_PATH} bytes",
            hint="name a shorter folder with --root DIR",
        )


def run(call: "Call", key: str) -> int:
    """Run such a verb; where nobody serves the engine, this process does while the verb lasts."""
    around = Surroundings(call.roots, log_level=call.log_level, log_form=call.log_form)
    path = engine_socket(call.roots.place(key))
    instance = call.plan.get(key)
    assert instance is not None
    try:
        serving = root.serving(call.roots, call.verb)
        serving.__enter__()
    except Conflict:
        from moby.wiring import construct

        command: Command = construct(instance, {}, around)
        return command.run(call.arguments)
    try:
        return _alone(call, key, around, str(path))
    finally:
        serving.__exit__(None, None, None)


def _alone(call: "Call", key: str, around: Surroundings, path: str) -> int:
    from moby.engine.running import start

    plan = call.plan.closure(frozenset({key}))
    front = next(iter(plan.of_kind("frontend")), None)
    if front is None:
        raise Invalid(f"{plan.name} has no front end, which {key} needs", hint="choose one in the assembly")
    with start(plan, settings=settings.read(call.plan, call.config), around=around, brief=True) as engine:
        part: Any = engine.instances[front.key]
        part.listen([f"unix://{path}"])
        try:
            code: int = engine.instances[key].run(call.arguments)
            return code
        finally:
            with suppress(Exception):  # the verb's own outcome is what counts
                part.drain(DRAIN_S)
