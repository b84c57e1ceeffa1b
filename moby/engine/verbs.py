"""The verbs that every distribution has, and how a command is run."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from moby.contracts.command import THROUGH_FRONTEND
from moby.engine import settings
from moby.plan import Instance, Plan
from moby.surroundings import Surroundings

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from moby.engine.call import Call
    from moby.engine.running import Engine

__all__ = ["ENCLOSED", "VERBS", "answered", "command", "enclose"]

USAGE = 2
UNFIT = 3


def command(call: "Call") -> int:
    """Run a component of kind `command`, with just the parts that it needs."""
    key = f"command/{call.verb}"
    if _is_fronted(call, key):
        from moby.engine import fronted

        return fronted.run(call, key)
    with _started(call, call.plan.closure(frozenset({key}))) as engine:
        code: int = engine.instances[key].run(call.arguments)
        return code


def answered(call: "Call") -> int | None:
    """Return the exit code of what a command that calls an engine answers without one; None where it takes one."""
    key = f"command/{call.verb}"
    if not _is_fronted(call, key):
        return None
    from moby.engine import fronted

    return fronted.answered(call, key)


def _is_fronted(call: "Call", key: str) -> bool:
    instance = call.plan.get(key)
    return instance is not None and THROUGH_FRONTEND in instance.facts.provides


def enclose(call: "Call") -> None:
    """Enter the engine's enclosure, where it has one: before any part is made, and while there is one thread."""
    for instance in call.plan.of_kind("enclosure"):
        from moby.wiring import construct

        around = Surroundings(call.roots, log_level=call.log_level, log_form=call.log_form)
        opened = settings.read(call.plan, call.config).get(instance.key)
        construct(instance, {}, around, opened).enter()


def version(call: "Call") -> int:
    """Print what this distribution is."""
    data = {
        "schema": 1,
        "name": call.plan.name,
        "framework": call.lock.get("framework", ""),
        "python": ".".join(map(str, sys.version_info[:3])),
    }
    if _flags(call, "--json"):
        _print(json.dumps(data, indent=2))
    else:
        _print(f"{data['name']} (moby {data['framework']}, Python {data['python']})")
    return 0


def components(call: "Call") -> int:
    """List the components inside, and why each is there."""
    if _flags(call, "--json"):
        described = [_described(each) for each in call.plan.instances]
        _print(json.dumps({"schema": 1, "components": described}, indent=2))
    else:
        _table(
            ["component", "version", "why"],
            [[each.key, each.facts.version, each.reason] for each in call.plan.instances],
        )
    return 0


def doctor(call: "Call") -> int:
    """Check this host for exactly what the components inside need.

    Exits with 3 where one that the engine can't do without lacks something.
    """
    from moby.needs import COLUMNS, checks, row

    as_json = _flags(call, "--json")
    found = checks(call.plan)
    if as_json:
        _print(json.dumps({"schema": 1, "checks": found}, indent=2))
    else:
        _table(COLUMNS, [row(each) for each in found])
    return 0 if all(each["ok"] or each["policy"] != "required" for each in found) else UNFIT


def serve(call: "Call") -> int:
    """Start the engine and keep it running until it is told to end."""
    from moby.engine import serving

    return serving.serve(call)


def down(call: "Call") -> int:
    """End the engine and give back all that the host was given; --purge removes all state too."""
    from moby.engine import ending

    return ending.down(call)


def install(call: "Call") -> int:
    """Have systemd start the engine: writes and enables a service and a socket; --user for your own."""
    from moby.engine import units

    return units.install(call)


def uninstall(call: "Call") -> int:
    """Take back what `install` did; the engine's state stays."""
    from moby.engine import units

    return units.uninstall(call)


def support(call: "Call") -> int:
    """Write an archive for a bug report: versions, plan, states, logs, facts of the host; without secrets."""
    from moby.engine import support

    return support.support(call)


VERBS: Mapping[str, Callable[["Call"], int]] = {
    "components": components,
    "doctor": doctor,
    "down": down,
    "install": install,
    "serve": serve,
    "support": support,
    "uninstall": uninstall,
    "version": version,
}

ENCLOSED = frozenset({"down", "serve"})
"""Those of them that run parts."""


def _started(call: "Call", plan: Plan) -> "AbstractContextManager[Engine]":
    from moby.engine.running import start

    opened = settings.read(plan, call.config)
    around = Surroundings(call.roots, log_level=call.log_level, log_form=call.log_form)
    return start(plan, settings=opened, around=around, brief=True)


def _flags(call: "Call", flag: str) -> bool:
    """Return whether a verb was given its one flag; --help is answered, anything else is wrong usage."""
    usage = f"usage: {call.plan.name} {call.verb} [{flag}]\n"
    if {"-h", "--help"} & set(call.arguments):
        sys.stdout.write(f"{usage}\n{(VERBS[call.verb].__doc__ or '').strip()}\n")
        raise SystemExit(0)
    if set(call.arguments) - {flag}:
        sys.stderr.write(usage)
        raise SystemExit(USAGE)
    return flag in call.arguments


def _described(instance: Instance) -> dict[str, object]:
    facts = instance.facts
    return {
        "id": facts.id, "kind": facts.kind, "name": instance.name, "version": facts.version,
        "contract": facts.contract, "distribution": facts.distribution, "provides": list(facts.provides),
        "needs": {parameter: list(binding.targets) for parameter, binding in instance.bindings.items()},
        "options": dict(instance.config), "processes": list(instance.processes), "why": instance.reason,
    }  # fmt: skip


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not sys.stdout.isatty():
        for row in rows:
            _print("\t".join(row))
        return
    lines = [[header.upper() for header in headers], *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    for line in lines:
        _print("   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
