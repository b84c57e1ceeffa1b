"""Lines of a Dockerfile that change how an image wants to be run: `docker commit --change`, `docker import --change`.

The instructions are those that Docker takes there; what they mean is Dockerfile reference. Variables are those of the
image that is changed.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence

from moby.contracts.images import ImageConfig
from moby.errors import Invalid
from moby.values import evolve
from moby_images.store.words import expanded, split

__all__ = ["changed"]

_SHELL = ("/bin/sh", "-c")
_UNITS = {"h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)


def changed(config: ImageConfig, lines: Sequence[str]) -> ImageConfig:
    """Return a config with the changes of some lines; Invalid names the line that is none."""
    command_given = False
    for line in lines:
        for text in line.replace("\\\n", " ").splitlines():
            if not text.strip() or text.lstrip().startswith("#"):
                continue
            word, _, rest = text.strip().partition(" ")
            instruction = _INSTRUCTIONS.get(word.upper())
            if instruction is None:
                raise Invalid(
                    f"{word[:40]} is not a valid change command", hint=f"known are {', '.join(_INSTRUCTIONS)}"
                )
            try:
                config = instruction(config, rest.strip())
            except ValueError as error:
                raise Invalid(f"{text[:200]!r}: {error}") from None
            if word.upper() == "ENTRYPOINT" and not command_given:
                config = evolve(config, command=())  # an entry point of its own takes the older command away
            command_given = command_given or word.upper() == "CMD"
    return config


def _words(config: ImageConfig, text: str) -> tuple[str, ...]:
    """Return a command: a JSON list as it stands, else a line for the shell."""
    found = _list(text)
    return found if found is not None else (*(config.shell or _SHELL), text) if text else ()


def _list(text: str) -> tuple[str, ...] | None:
    if text.startswith("["):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if isinstance(found, list) and all(isinstance(each, str) for each in found):
            return tuple(found)
    return None


def _variables(config: ImageConfig) -> dict[str, str]:
    return {key: value for key, _, value in (each.partition("=") for each in config.environment)}


def _pairs(config: ImageConfig, text: str) -> dict[str, str]:
    """Return KEY=VALUE pairs, quoted as in a shell; the older `KEY VALUE` is one pair."""
    variables = _variables(config)
    words = split(text, variables)
    if words and "=" not in words[0]:
        key, space, value = text.partition(" ")
        if not space:
            raise ValueError(f"{key} must have two arguments")
        return {key: expanded(value.strip(), variables)}
    if not words:
        raise ValueError("it needs at least one argument")
    pairs = [each.partition("=") for each in words]
    if any(not equals or not key for key, equals, _ in pairs):
        raise ValueError("syntax error: write KEY=VALUE")
    return {key: value for key, _, value in pairs}


def _environment(config: ImageConfig, text: str) -> ImageConfig:
    given = _pairs(config, text)
    kept = {each.partition("=")[0]: each for each in config.environment}
    kept |= {key: f"{key}={value}" for key, value in given.items()}
    return evolve(config, environment=tuple(kept.values()))


def _labels(config: ImageConfig, text: str) -> ImageConfig:
    return evolve(config, labels={**config.labels, **_pairs(config, text)})


def _expose(config: ImageConfig, text: str) -> ImageConfig:
    ports = set(config.exposed_ports)
    for each in split(text, _variables(config)):
        found = _PORT.fullmatch(each)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if found is None or not 0 < first <= last <= 65535:
            raise ValueError(f"invalid containerPort: {each}")
        ports |= {f"{port}/{(found[3] or 'tcp').lower()}" for port in range(first, last + 1)}
    return evolve(config, exposed_ports=tuple(sorted(ports)))


def _volumes(config: ImageConfig, text: str) -> ImageConfig:
    given = _list(text)
    variables = _variables(config)
    paths = tuple(expanded(each, variables) for each in given) if given is not None else split(text, variables)
    if not paths or not all(each.strip() for each in paths):
        raise ValueError("VOLUME specified can not be an empty string")
    return evolve(config, volumes=tuple(sorted({*config.volumes, *paths})))


def _folder(config: ImageConfig, text: str) -> ImageConfig:
    if not text:
        raise ValueError("WORKDIR requires exactly one argument")
    path = expanded(text, _variables(config))
    folder = path if path.startswith("/") else f"{config.working_directory or '/'}".rstrip("/") + "/" + path
    return evolve(config, working_directory=folder)


def _healthcheck(config: ImageConfig, text: str) -> ImageConfig:
    options: dict[str, object] = {}
    rest = text
    while rest.startswith("--"):
        option, _, rest = rest.partition(" ")
        key, _, value = option[2:].partition("=")
        rest = rest.strip()
        names = {
            "interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod",
            "start-interval": "StartInterval",
        }  # fmt: skip
        if key in names:
            options[names[key]] = _nanoseconds(value)
        elif key == "retries" and value.isdigit():
            options["Retries"] = int(value)
        else:
            raise ValueError(f"unknown flag {option}")
    kind, _, command = rest.partition(" ")
    if kind.upper() == "NONE":
        return evolve(config, healthcheck={"Test": ["NONE"]})
    if kind.upper() != "CMD" or not command.strip():
        raise ValueError("Unknown type in HEALTHCHECK (try CMD)")
    given = _list(command.strip())
    test = ["CMD", *given] if given is not None else ["CMD-SHELL", command.strip()]
    return evolve(config, healthcheck={"Test": test, **options})


def _nanoseconds(text: str) -> int:
    parts = re.findall(r"(\d+(?:\.\d*)?)(h|ms|us|µs|ns|m|s)", text)
    if not parts or "".join(f"{number}{unit}" for number, unit in parts) != text:
        raise ValueError(f"invalid duration {text}")
    return round(sum(float(number) * _UNITS[unit] for number, unit in parts) * 1e9)


def _shell(config: ImageConfig, text: str) -> ImageConfig:
    found = _list(text)
    if not found:
        raise ValueError("SHELL requires the arguments to be in JSON form")
    return evolve(config, shell=found)


def _text(name: str) -> Callable[[ImageConfig, str], ImageConfig]:
    def change(config: ImageConfig, text: str) -> ImageConfig:
        if not text:
            raise ValueError("it requires exactly one argument")
        return evolve(config, **{name: expanded(text, _variables(config))})

    return change


_INSTRUCTIONS: Mapping[str, Callable[[ImageConfig, str], ImageConfig]] = {
    "CMD": lambda config, text: evolve(config, command=_words(config, text)),
    "ENTRYPOINT": lambda config, text: evolve(config, entrypoint=_words(config, text)),
    "ENV": _environment,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _labels,
    "ONBUILD": lambda config, text: evolve(config, on_build=(*config.on_build, text)),
    "SHELL": _shell,
    "STOPSIGNAL": _text("stop_signal"),
    "USER": _text("user"),
    "VOLUME": _volumes,
    "WORKDIR": _folder,
}
