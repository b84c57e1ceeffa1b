"""How a service is placed, restarted, updated and published: the parts of a ServiceSpec that aren't its containers."""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from moby.contracts.orchestrator import (
    EndpointMode,
    FailureAction,
    Mode,
    Order,
    Placement,
    PublishedPort,
    PublishMode,
    Restart,
    RestartCondition,
    UpdatePolicy,
)
from moby.contracts.types import Platform
from moby.errors import Invalid
from moby_frontend.docker.swarm.faults import Code, described, rejected
from moby_frontend.docker.swarm.strict import lowered, read_all
from moby_frontend.docker.translate.forms import NUMBER, TEXT, TEXTS, Field, Form, items, show

__all__ = [
    "read_endpoint_spec", "read_mode", "read_placement", "read_policy", "read_restart", "show_endpoint_spec",
    "show_mode", "show_placement", "show_policy", "show_ports", "show_restart", "shown_machine",
]  # fmt: skip

Word = TypeVar("Word", bound=StrEnum)


def _word(kind: type[Word], text: str, unknown: str) -> Word:
    try:
        return kind(text)
    except ValueError:
        raise Invalid(unknown) from None


def _natural(value: Any, where: str) -> int:
    number: int = NUMBER.read(value, where)
    if number < 0:
        raise Invalid(f"{where}: it can't be negative")
    return number


NATURAL = Form(_natural)

# Where tasks are ----------------------------------------------------------------------------------------------------

_PLATFORM = (Field("OS", "os", TEXT), Field("Architecture", "architecture", TEXT))
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
"""Names of processors by uname(2), which older clients use, and Go's."""
_SHOWN_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def shown_machine(architecture: str) -> str:
    """Return a processor as docker shows a node's."""
    return _SHOWN_MACHINES.get(architecture, architecture)


def read_placement(value: Any) -> Placement:
    """Return where tasks may be, and how they are spread."""
    where = "TaskTemplate.Placement"
    fields = (Field("Constraints", "constraints", TEXTS), Field("MaxReplicas", "max_replicas_per_node", NATURAL))
    found, lower = read_all(fields, value, where, ("Preferences", "Platforms")), lowered(value, where)
    spread = []
    for each in items(lower.get("preferences"), f"{where}.Preferences"):
        inner = lowered(each, f"{where}.Preferences")
        read_all((), each, f"{where}.Preferences", ("Spread",))
        key = read_all((Field("SpreadDescriptor", "key", TEXT),), inner.get("spread"), f"{where}.Preferences.Spread")
        spread.append(key.get("key", ""))
    platforms = [
        Platform(**{"os": "", "architecture": ""} | read_all(_PLATFORM, each, f"{where}.Platforms"))
        for each in items(lower.get("platforms"), f"{where}.Platforms")
    ]
    for each in found.get("constraints", ()):
        _check_constraint(each)
    known = tuple(Platform(each.os, _MACHINES.get(each.architecture, each.architecture)) for each in platforms)
    return Placement(**found, spread=tuple(spread), platforms=known)


_KEY = re.compile(r"[a-z_][a-z0-9\-_.]+", re.IGNORECASE)
_VALUE = re.compile(r"[a-z0-9:\-_\s.*()?+\[\]\\^$|/]+", re.IGNORECASE)


def _check_constraint(text: str) -> None:
    """Refuse what is no `KEY==VALUE` or `KEY!=VALUE`, in docker's words and with its code, a server's error."""
    operator = next((each for each in ("==", "!=") if each in text), "")
    if not operator:
        raise described(Code.UNKNOWN, "constraint expected one operator from ==, !=")
    key, _, value = (part.strip() for part in text.partition(operator))
    if not _KEY.fullmatch(key):
        raise described(Code.UNKNOWN, f"key '{key}' is invalid")
    if not _VALUE.fullmatch(value):
        raise described(Code.UNKNOWN, f"value '{value}' is invalid")


def show_placement(placement: Placement) -> dict[str, Any]:
    """Return Placement."""
    shown: dict[str, Any] = {
        "Constraints": list(placement.constraints),
        "Preferences": [{"Spread": {"SpreadDescriptor": each}} for each in placement.spread],
        "MaxReplicas": placement.max_replicas_per_node,
        "Platforms": [
            {name: text for name, text in (("Architecture", each.architecture), ("OS", each.os)) if text}
            for each in placement.platforms
        ],
    }
    return {name: each for name, each in shown.items() if each}


# What follows their ends --------------------------------------------------------------------------------------------

_RESTART = (
    Field("Delay", "delay_ns", NATURAL),
    Field("MaxAttempts", "max_attempts", NATURAL),
    Field("Window", "window_ns", NATURAL, omit=True),
)


def read_restart(value: Any) -> Restart:
    """Return what follows when a task ends by itself."""
    where = "TaskTemplate.RestartPolicy"
    found = read_all(_RESTART, value, where, ("Condition",))
    text = TEXT.read(lowered(value, where).get("condition") or "any", f"{where}.Condition")
    return Restart(_word(RestartCondition, text, f'invalid RestartCondition: "{text}"'), **found)


def show_restart(restart: Restart) -> dict[str, Any]:
    """Return RestartPolicy."""
    return {"Condition": restart.condition.value} | show(_RESTART, restart)


# How they are replaced ----------------------------------------------------------------------------------------------


def _ratio(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid(f"{where}: a number is wanted")
    if not 0 <= value <= 1:
        raise rejected("TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1")
    return float(value)


def _time(name: str) -> Form:
    def read(value: Any, where: str) -> int:
        number: int = NUMBER.read(value, where)
        if number < 0:
            raise rejected(f"TaskSpec: update-{name} cannot be negative")
        return number

    return Form(read)


_POLICY = (
    Field("Parallelism", "parallelism", NATURAL),
    Field("Delay", "delay_ns", _time("delay"), omit=True),
    Field("Monitor", "monitor_ns", _time("monitor"), omit=True),
    Field("MaxFailureRatio", "max_failure_ratio", Form(_ratio, lambda ratio: int(ratio) if ratio in {0, 1} else ratio)),
)


def read_policy(value: Any, where: str) -> UpdatePolicy:
    """Return how tasks are replaced; an object without a parallelism replaces all at once, as docker's."""
    if value is None:
        return UpdatePolicy()
    found, lower = read_all(_POLICY, value, where, ("FailureAction", "Order")), lowered(value, where)
    if not found.get("monitor_ns"):
        found.pop("monitor_ns", None)
    action = TEXT.read(lower.get("failureaction") or "pause", f"{where}.FailureAction")
    order = TEXT.read(lower.get("order") or "stop-first", f"{where}.Order")
    return UpdatePolicy(
        **{"parallelism": 0} | found,
        failure_action=_word(FailureAction, action, f"unrecognized update failure action {action}"),
        order=_word(Order, order, f"unrecognized update order {order}"),
    )


def show_policy(policy: UpdatePolicy) -> dict[str, Any]:
    """Return UpdateConfig or RollbackConfig."""
    return show(_POLICY, policy) | {"FailureAction": policy.failure_action.value, "Order": policy.order.value}


# How many there are -------------------------------------------------------------------------------------------------

_MODES = {
    "replicated": (Mode.REPLICATED, "Replicated"),
    "global": (Mode.GLOBAL, "Global"),
    "replicatedjob": (Mode.REPLICATED_JOB, "ReplicatedJob"),
    "globaljob": (Mode.GLOBAL_JOB, "GlobalJob"),
}
_COUNTS = {
    Mode.REPLICATED: (Field("Replicas", "replicas", NATURAL),),
    Mode.REPLICATED_JOB: (
        Field("MaxConcurrent", "replicas", NATURAL),
        Field("TotalCompletions", "completions", NATURAL),
    ),
}


def read_mode(value: Any) -> tuple[Mode, dict[str, Any]]:
    """Return a mode, and how many tasks."""
    lower = lowered(value, "Mode")
    read_all((), value, "Mode", _MODES)
    given = [name for name, each in lower.items() if name in _MODES and each is not None]
    if len(given) > 1:
        raise Invalid("must specify only one service mode")
    mode, name = _MODES[given[0] if given else "replicated"]
    return mode, read_all(_COUNTS.get(mode, ()), lower.get(name.lower()), f"Mode.{name}")


def show_mode(mode: Mode, replicas: int, completions: int) -> dict[str, Any]:
    """Return Mode."""
    name = next(name for each, name in _MODES.values() if each is mode)
    counts: Mapping[Mode, dict[str, int]] = {
        Mode.REPLICATED: {"Replicas": replicas},
        Mode.REPLICATED_JOB: {"MaxConcurrent": replicas, "TotalCompletions": completions or replicas},
    }
    return {name: counts.get(mode, {})}


# How they are reached -----------------------------------------------------------------------------------------------


def _port(value: Any, where: str) -> int:
    number: int = NUMBER.read(value, where)
    if not 0 <= number < 65536:
        raise Invalid(f"{where}: {number} is no port")
    return number


_PORT = (
    Field("Protocol", "protocol", TEXT),
    Field("TargetPort", "target", Form(_port)),
    Field("PublishedPort", "published", Form(_port), omit=True),
)


def read_endpoint_spec(value: Any) -> tuple[EndpointMode, tuple[PublishedPort, ...]]:
    """Return what a service's name resolves to, and its published ports."""
    lower = lowered(value, "EndpointSpec")
    read_all((), value, "EndpointSpec", ("Mode", "Ports"))
    text = TEXT.read(lower.get("mode") or "vip", "EndpointSpec.Mode")
    mode = _word(EndpointMode, text, f'invalid resolution mode: "{text}"')
    ports = tuple(_read_port(each) for each in items(lower.get("ports"), "EndpointSpec.Ports"))
    if mode is EndpointMode.DNSRR and any(each.mode is PublishMode.INGRESS for each in ports):
        raise rejected("EndpointSpec: port published with ingress mode can't be used with dnsrr mode")
    published = [(each.published, each.protocol, each.mode) for each in ports if each.published]
    if len(published) != len(set(published)):
        raise rejected("EndpointSpec: duplicate published ports provided")
    return mode, ports


def _read_port(value: Any) -> PublishedPort:
    where = "EndpointSpec.Ports"
    found, lower = read_all(_PORT, value, where, ("PublishMode",)), lowered(value, where)
    protocol = found.setdefault("protocol", "tcp") or "tcp"
    if protocol not in {"tcp", "udp", "sctp"}:
        raise Invalid(f'invalid protocol value "{protocol}"')
    mode = TEXT.read(lower.get("publishmode") or "ingress", f"{where}.PublishMode")
    found |= {"protocol": protocol, "target": found.get("target", 0)}
    return PublishedPort(**found, mode=_word(PublishMode, mode, f'{where}.PublishMode: "{mode}" is no mode'))


def show_ports(ports: Iterable[PublishedPort]) -> list[dict[str, Any]]:
    """Return published ports."""
    return [show(_PORT, each) | {"PublishMode": each.mode.value} for each in ports]


def show_endpoint_spec(mode: EndpointMode, ports: Iterable[PublishedPort]) -> dict[str, Any]:
    """Return EndpointSpec."""
    shown = show_ports(ports)
    return {"Mode": mode.value, **({"Ports": shown} if shown else {})}
