"""What options choose of a container: labels and variables."""

from collections.abc import Callable

from moby.contracts.log_driver import LogConfig

__all__ = ["attributes"]


def attributes(config: LogConfig, rename: Callable[[str], str] = str) -> dict[str, str]:
    """Return the labels and variables that the options choose, by their names as `rename` gives them."""
    variables = dict(each.split("=", 1) for each in config.environment if "=" in each)
    found: dict[str, str] = {}
    for values, names, pattern in ((config.labels, "labels", "labels-regex"), (variables, "env", "env-regex")):
        for name in config.options.get(names, "").split(","):
            if name in values:
                found[rename(name)] = values[name]
        if config.options.get(pattern):
            from moby.expressions import found as fits

            wanted = config.options[pattern]
            found.update((rename(name), value) for name, value in values.items() if fits(wanted, name))
    return found
