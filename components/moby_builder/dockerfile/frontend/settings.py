"""Instructions that change nothing but an image's config."""

import ipaddress
import re
import signal
from collections.abc import Callable, Mapping
from posixpath import join, normpath
from typing import Any

from moby.contracts.builder import BuildFailed
from moby_builder.dockerfile.frontend.gotext import character, duration, listed
from moby_builder.dockerfile.frontend.stages import Site
from moby_builder.dockerfile.frontend.surroundings import Surroundings
from moby_builder.dockerfile.language import words
from moby_builder.dockerfile.language.instructions import (
    Arg,
    Cmd,
    Command,
    Entrypoint,
    Env,
    Expose,
    HealthCheck,
    Instruction,
    Label,
    Maintainer,
    OnBuild,
    Shell,
    StopSignal,
    User,
    Volume,
)

__all__ = ["SETTINGS", "in_shell", "workdir_of"]

_NOT_VARIABLES = frozenset({"BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"})
"""Arguments that no program sees."""
_PROTOCOLS = ("tcp", "udp", "sctp")
_LAST_PORT = 65535


def in_shell(site: Site, command: Command) -> tuple[str, ...]:
    """Return what runs a command: itself, or a shell with its line."""
    if not command.shell:
        return command.arguments
    return (*(site.draft.config.get("Shell") or ("/bin/sh", "-c")), " ".join(command.arguments))


def workdir_of(site: Site, path: str = "") -> str:
    """Return a path as seen from the working directory, cleaned."""
    return normpath(join("/", site.draft.config.get("WorkingDir") or "/", path)).replace("//", "/")


def _record(site: Site, around: Surroundings, text: str) -> None:
    site.draft.record(text, layer=False, epoch_s=around.epoch_s)


def _env(site: Site, instruction: Env, around: Surroundings) -> None:
    for pair in instruction.pairs:
        site.draft.set_variable(pair.key, pair.value)
        site.set_variable(pair.key, pair.value)
    _record(site, around, " ".join(["ENV", *(f"{each.key}={each.value}" for each in instruction.pairs)]))


def _arg(site: Site, instruction: Arg, around: Surroundings) -> None:
    given = around.request.arguments
    texts = []
    for argument in instruction.arguments:
        name = _expand(site, argument.name, around)
        default = argument.default
        if default is not None:
            try:
                default = _expand(site, default, around)
            except BuildFailed:
                if name not in given:
                    raise
        value = given.get(name, default if default is not None else around.arguments.get(name))
        site.declared[name] = value
        if value is not None and name not in _NOT_VARIABLES:
            site.set_variable(name, value)
        texts.append(name if default is None else f"{name}={default}")
    _record(site, around, " ".join(["ARG", *texts]))


def _expand(site: Site, text: str, around: Surroundings) -> str:
    return words.expand(text, site.environment, escape=around.escape).text


def _expose(site: Site, instruction: Expose, around: Surroundings) -> None:
    texts = [
        word for each in instruction.ports for word in words.expand(each, site.environment, escape=around.escape).words
    ]
    found = sorted({each for text in texts for each in _ports(text)})
    site.draft.config.setdefault("ExposedPorts", {}).update((each, {}) for each in found)
    _record(site, around, "EXPOSE map[" + " ".join(f"{each}:{{}}" for each in found) + "]")


def _label(site: Site, instruction: Label, around: Surroundings) -> None:
    labels = site.draft.config.setdefault("Labels", {})
    labels.update((each.key, each.value) for each in instruction.pairs)
    _record(site, around, " ".join(["LABEL", *(f"{each.key}={each.value}" for each in instruction.pairs)]))


def _cmd(site: Site, instruction: Cmd, around: Surroundings) -> None:
    arguments = in_shell(site, instruction.command)
    site.draft.config["Cmd"] = list(arguments)
    site.draft.config["ArgsEscaped"] = True
    site.has_cmd = True
    _record(site, around, f"CMD {listed(arguments)}")


def _entrypoint(site: Site, instruction: Entrypoint, around: Surroundings) -> None:
    arguments = in_shell(site, instruction.command)
    site.draft.config["Entrypoint"] = list(arguments)
    if not site.has_cmd:
        # A command of the base is meant for the base's entry point.
        site.draft.config.pop("Cmd", None)
    _record(site, around, f"ENTRYPOINT {listed(arguments)}")


def _healthcheck(site: Site, instruction: HealthCheck, around: Surroundings) -> None:
    spans = {
        "Interval": instruction.interval_ns,
        "Timeout": instruction.timeout_ns,
        "StartPeriod": instruction.start_period_ns,
        "StartInterval": instruction.start_interval_ns,
    }
    check: dict[str, Any] = {"Test": list(instruction.test), **spans, "Retries": instruction.retries}
    site.draft.config["Healthcheck"] = {name: value for name, value in check.items() if value}
    told = " ".join(f'"{duration(each)}"' for each in spans.values())
    _record(site, around, f"HEALTHCHECK &{{{listed(instruction.test)} {told} {character(instruction.retries)}}}")


def _user(site: Site, instruction: User, around: Surroundings) -> None:
    site.draft.config["User"] = instruction.user
    _record(site, around, f"USER {instruction.user}")


def _volume(site: Site, instruction: Volume, around: Surroundings) -> None:
    volumes = site.draft.config.setdefault("Volumes", {})
    for path in instruction.paths:
        if not path:
            raise BuildFailed("VOLUME specified can not be an empty string")
        volumes[path] = {}
    _record(site, around, f"VOLUME [{' '.join(instruction.paths)}]")


def _stop_signal(site: Site, instruction: StopSignal, around: Surroundings) -> None:
    if not _is_signal(instruction.signal):
        raise BuildFailed(f"invalid signal: {instruction.signal}")
    site.draft.config["StopSignal"] = instruction.signal
    _record(site, around, f"STOPSIGNAL {instruction.signal}")


def _shell(site: Site, instruction: Shell, around: Surroundings) -> None:
    site.draft.config["Shell"] = list(instruction.arguments)
    _record(site, around, f"SHELL [{' '.join(instruction.arguments)}]")


def _maintainer(site: Site, instruction: Maintainer, around: Surroundings) -> None:
    site.draft.facts["author"] = instruction.name
    _record(site, around, f"MAINTAINER {instruction.name}")


def _on_build(site: Site, instruction: OnBuild, around: Surroundings) -> None:
    site.draft.config.setdefault("OnBuild", []).append(instruction.trigger)


SETTINGS: Mapping[type[Instruction], Callable[[Site, Any, Surroundings], None]] = {
    Arg: _arg,
    Cmd: _cmd,
    Entrypoint: _entrypoint,
    Env: _env,
    Expose: _expose,
    HealthCheck: _healthcheck,
    Label: _label,
    Maintainer: _maintainer,
    OnBuild: _on_build,
    Shell: _shell,
    StopSignal: _stop_signal,
    User: _user,
    Volume: _volume,
}


def _is_signal(text: str) -> bool:
    name = text.upper()
    if name.isascii() and name.isdigit():
        return 0 < int(name) <= signal.NSIG
    bare = name.removeprefix("SIG")
    if f"SIG{bare}" in signal.Signals.__members__:
        return True
    found = re.fullmatch(r"RT(MIN|MAX)([+-]\d{1,2})", bare)
    if found is None:
        return False
    number = (signal.SIGRTMIN if found[1] == "MIN" else signal.SIGRTMAX) + int(found[2])
    return signal.SIGRTMIN <= number <= signal.SIGRTMAX


def _ports(text: str) -> list[str]:
    """Return all ports of `[[ADDRESS:]PORTS:]PORTS[/PROTOCOL]` as a config has them."""
    *host, container = text.rsplit(":", 2) if text.count(":") > 1 else text.split(":")
    numbers, _, protocol = container.partition("/")
    if not numbers:
        raise BuildFailed(f"No port specified: {text}<empty>")
    if (protocol.lower() or "tcp") not in _PROTOCOLS:
        raise BuildFailed(f"Invalid proto: {protocol}")
    if len(host) > 1 and host[0] and not _is_address(host[0]):
        raise BuildFailed(f"Invalid ip address: {host[0]}")
    if host and host[-1] and _range(host[-1]) is None:
        raise BuildFailed(f"Invalid hostPort: {host[-1]}")
    found = _range(numbers)
    if found is None:
        raise BuildFailed(f"Invalid containerPort: {numbers}")
    return [f"{number}/{protocol.lower() or 'tcp'}" for number in found]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _range(text: str) -> range | None:
    first, dash, last = text.partition("-")
    numbers = (first, last if dash else first)
    if not all(each.isascii() and each.isdigit() for each in numbers):
        return None
    low, high = map(int, numbers)
    return range(low, high + 1) if low <= high <= _LAST_PORT else None
