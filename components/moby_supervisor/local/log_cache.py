"""What is kept of output that goes where it can't be read, so that it can be read nevertheless: docker's dual logging.

A driver that waits sends what it takes elsewhere. If it can't give that back, the driver `local` of the same engine
takes it too, where there is one. One that neither waits nor reads, as `none`, keeps nothing, nor is its log kept here.
"""

from collections.abc import Mapping

from moby.contracts.log_driver import LogConfig, LogDriver, LogWriter
from moby.errors import Invalid
from moby.values import evolve, frozen

__all__ = ["DRIVER", "NAMES", "Kept", "check", "kept"]

DRIVER = "local"
_PREFIX = "cache-"
_DISABLED = "cache-disabled"
NAMES = (_DISABLED, "cache-max-size", "cache-max-file", "cache-compress")
_SHARED = ("env", "env-regex", "labels", "labels-regex", "tag")
"""What both drivers add to records."""
_FOLDER = "cached"
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("", "0", "f", "F", "FALSE", "false", "False")


@frozen
class Kept:
    """Who keeps a log, and how."""

    driver: LogDriver
    config: LogConfig

    def open(self) -> LogWriter:
        """Begin to write, as LogDriver.open."""
        self.config.folder.mkdir(mode=0o700, exist_ok=True)
        return self.driver.open(self.config)


def check(cache: LogDriver | None, driver: LogDriver, options: Mapping[str, str]) -> None:
    """Refuse options of the cache that can't be meant; Invalid, in docker's words where it has any."""
    if not (driver.waits or driver.readable):
        return
    disabled = options.get(_DISABLED, "")
    if disabled not in _TRUE + _FALSE:
        raise Invalid(f"invalid value for option {_DISABLED}: {disabled}", hint="use true or false")
    own = _own(options)
    if not own:
        return
    if cache is None:
        raise Invalid(
            f"log opt '{_PREFIX}{min(own)}' is of no use: this engine has no log driver {DRIVER!r}",
            hint="choose it in the assembly",
        )
    try:
        cache.check(own)
    except Invalid as error:
        raise Invalid(f"the log's cache: {error.message}", hint=error.hint, problems=error.problems) from error


def kept(cache: LogDriver | None, driver: LogDriver, config: LogConfig) -> Kept | None:
    """Return who keeps what a driver that can't be read is given; None where nobody does.

    A driver that can be read needs none, but whether it can may be another process's to say.
    """
    if cache is None or not driver.waits or config.options.get(_DISABLED, "") in _TRUE:
        return None
    shared = {name: config.options[name] for name in _SHARED if name in config.options}
    return Kept(cache, evolve(config, folder=config.folder / _FOLDER, options=_own(config.options) | shared))


def _own(options: Mapping[str, str]) -> dict[str, str]:
    """Return the cache's options as its driver has them."""
    return {name.removeprefix(_PREFIX): options[name] for name in NAMES if name != _DISABLED and name in options}
