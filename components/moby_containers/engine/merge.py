"""What a container is asked to be, completed by what its image says, as docker does it."""

from collections.abc import Iterable, Mapping
from typing import Any

from moby.contracts.containers import ContainerConfig
from moby.contracts.images import ImageConfig
from moby.contracts.supervisor import HealthCheck
from moby.errors import Invalid
from moby.values import evolve

__all__ = ["SHELL", "effective_health", "merged"]

SHELL = ("/bin/sh", "-c")
"""What a health check's line is run by."""
_DEFAULT = HealthCheck(("NONE",))
_TIMES = ("interval_ns", "timeout_ns", "start_period_ns", "start_interval_ns", "retries")


def merged(config: ContainerConfig, image: ImageConfig) -> ContainerConfig:
    """Return the config with the image's values where none was given; Invalid where there is nothing to run."""
    entrypoint, command = config.entrypoint, config.command
    if not entrypoint:
        command = command or image.command or None
        if entrypoint is None:
            entrypoint = image.entrypoint or None
    if entrypoint == ("",):
        entrypoint = None
    if not entrypoint and not command:
        raise Invalid("no command specified")
    return evolve(
        config,
        entrypoint=entrypoint,
        command=command,
        environment=_environment(config.environment, image.environment),
        user=config.user or image.user,
        working_directory=config.working_directory or image.working_directory,
        labels={**image.labels, **config.labels},
        exposed_ports=_union(map(_port, config.exposed_ports), map(_port, image.exposed_ports)),
        volumes=_union(config.volumes, image.volumes),
        stop_signal=config.stop_signal or image.stop_signal,
        shell=config.shell or image.shell,
        health=_health(config.health, image.healthcheck),
    )


def _port(text: str) -> str:
    """Return a port with its protocol, which is TCP where none is said, as compose doesn't."""
    return text if "/" in text else f"{text}/tcp"


def _union(first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*first, *second]))


def _environment(own: tuple[str, ...], image: tuple[str, ...]) -> tuple[str, ...]:
    """Return the user's variables, and after them those of the image that the user doesn't name."""
    named = {each.partition("=")[0] for each in own}
    return (*own, *(each for each in image if each.partition("=")[0] not in named))


def _health(own: HealthCheck | None, image: Mapping[str, Any]) -> HealthCheck | None:
    theirs = _image_health(image)
    if own is None or theirs is None:
        return own or theirs
    if own.test and own.test[0] == "NONE":
        return own
    values = {name: getattr(own, name) or getattr(theirs, name) for name in ("test", *_TIMES)}
    return HealthCheck(**values)


def _image_health(image: Mapping[str, Any]) -> HealthCheck | None:
    if not image.get("Test"):
        return None

    def number(name: str) -> int:
        found = image.get(name)
        return found if isinstance(found, int) and found > 0 else 0

    return HealthCheck(
        tuple(str(each) for each in image["Test"]),
        interval_ns=number("Interval"),
        timeout_ns=number("Timeout"),
        retries=number("Retries"),
        start_period_ns=number("StartPeriod"),
        start_interval_ns=number("StartInterval"),
    )


def effective_health(asked: HealthCheck | None) -> HealthCheck | None:
    """Return what to look at and when, with the defaults filled in; None where nobody is to look."""
    if asked is None or not asked.test or asked.test[0] == "NONE":
        return None
    found = HealthCheck(_test(asked.test), **{name: getattr(asked, name) or getattr(_DEFAULT, name) for name in _TIMES})
    if asked.start_interval_ns:
        return found
    # Nobody waits longer for a container that starts than for one that runs.
    return evolve(found, start_interval_ns=min(found.start_interval_ns, found.interval_ns))


def _test(asked: tuple[str, ...]) -> tuple[str, ...]:
    """Return a test as the supervisor takes it: words after a shell's line, or none at all, are all the shell's."""
    if asked[0] == "CMD-SHELL" and len(asked) != 2:
        return ("CMD", *SHELL, *asked[1:])
    return asked
