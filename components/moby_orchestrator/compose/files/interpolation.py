"""Puts variables' values into a file's tree, and makes numbers and truths of texts where those belong."""

from collections.abc import Callable, Mapping
from typing import Any

from moby_orchestrator.compose.files.golang import Single, single
from moby_orchestrator.compose.files.places import Items, Map, Path, at, matches, refuse, shown
from moby_orchestrator.compose.files.variables import Malformed, Missing, substitute

__all__ = ["boolean", "interpolate"]


def boolean(text: str) -> bool:
    """Return what a word says in YAML 1.1."""
    if text.lower() in ("true", "y", "yes", "on"):
        return True
    if text.lower() in ("false", "n", "no", "off"):
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def _integer(text: str) -> int:
    try:
        return int(text, 10)
    except ValueError:
        raise ValueError(f"{text!r} is no whole number") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None


def _single(text: str) -> float:
    return Single(single(_number(text)))


_SERVICE: Mapping[str, Callable[[str], Any]] = {
    "configs.[].mode": _integer,
    "cpu_count": _integer,
    "cpu_percent": _number,
    "cpu_period": _integer,
    "cpu_quota": _integer,
    "cpu_rt_period": _integer,
    "cpu_rt_runtime": _integer,
    "cpus": _single,
    "cpu_shares": _integer,
    "init": boolean,
    "deploy.replicas": _integer,
    "deploy.update_config.parallelism": _integer,
    "deploy.update_config.max_failure_ratio": _number,
    "deploy.rollback_config.parallelism": _integer,
    "deploy.rollback_config.max_failure_ratio": _number,
    "deploy.restart_policy.max_attempts": _integer,
    "deploy.placement.max_replicas_per_node": _integer,
    "healthcheck.retries": _integer,
    "healthcheck.disable": boolean,
    "oom_kill_disable": boolean,
    "oom_score_adj": _integer,
    "pids_limit": _integer,
    "ports.[].target": _integer,
    "privileged": boolean,
    "read_only": boolean,
    "scale": _integer,
    "secrets.[].mode": _integer,
    "stdin_open": boolean,
    "tty": boolean,
    "ulimits.*": _integer,
    "ulimits.*.hard": _integer,
    "ulimits.*.soft": _integer,
    "volumes.[].read_only": boolean,
    "volumes.[].volume.nocopy": boolean,
}
_CASTS: Mapping[Path, Callable[[str], Any]] = {
    **{("services", "*", *path.split(".")): cast for path, cast in _SERVICE.items()},
    ("networks", "*", "external"): boolean,
    ("networks", "*", "internal"): boolean,
    ("networks", "*", "attachable"): boolean,
    ("networks", "*", "enable_ipv4"): boolean,
    ("networks", "*", "enable_ipv6"): boolean,
    ("volumes", "*", "external"): boolean,
    ("secrets", "*", "external"): boolean,
    ("configs", "*", "external"): boolean,
}


def interpolate(tree: Map, environment: Mapping[str, str], unset: Callable[[str], None] = lambda name: None) -> Map:
    """Return the tree with values for variables; `unset` is told of those that are taken for empty."""

    def walk(value: Any, path: Path, exact: tuple[str | int, ...]) -> Any:
        if isinstance(value, str):
            return text(value, path, exact)
        if isinstance(value, Map):
            done = {key: walk(each, (*path, key), (*exact, key)) for key, each in value.items()}
            return Map(done, dict(value.places), value.origin)
        if isinstance(value, Items):
            return Items([walk(each, (*path, "[]"), (*exact, index)) for index, each in enumerate(value)], value.places)
        return value

    def text(value: str, path: Path, exact: tuple[str | int, ...]) -> Any:
        try:
            found = substitute(value, environment.get, unset)
        except Malformed:
            fix = "write $$ for a dollar, and ${NAME} for a variable"
            raise refuse(f"{shown(exact)}: no valid use of a variable in {value!r}", at(tree, exact), fix) from None
        except Missing as error:
            raise refuse(f"{shown(exact)}: {error}", at(tree, exact), f"set {error.variable}") from None
        cast = next((each for pattern, each in _CASTS.items() if matches(path, pattern)), None)
        if cast is None:
            return found
        try:
            return cast(found)
        except ValueError as error:
            raise refuse(f"{shown(exact)}: {error}", at(tree, exact)) from None

    done = walk(tree, (), ())
    assert isinstance(done, Map)
    return done
