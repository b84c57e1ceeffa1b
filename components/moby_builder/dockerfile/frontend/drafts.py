"""An image's config while its instructions are read."""

import copy
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from moby.contracts.types import Platform

__all__ = ["DEFAULT_PATH", "Draft"]

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_COMMENT = "buildkit.dockerfile.v0"
_INHERITED = ("author", "architecture", "os", "os.version", "os.features", "variant")


class Draft:
    """A config that grows; `config` has the names of image-spec's `config`, and what Docker adds to them."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.facts: dict[str, Any] = {name: document[name] for name in _INHERITED if document.get(name)}
        self.config: dict[str, Any] = copy.deepcopy(dict(document.get("config") or {}))
        self.history: list[dict[str, Any]] = [dict(each) for each in document.get("history") or ()]

    @classmethod
    def empty(cls, platform: Platform) -> "Draft":
        """Return what `FROM scratch` begins with."""
        draft = cls({"config": {"Env": [f"PATH={DEFAULT_PATH}"], "WorkingDir": "/"}})
        draft.be(platform)
        return draft

    def copy(self) -> "Draft":
        """Return one like this that goes its own way."""
        return Draft({**self.facts, "config": self.config, "history": self.history})

    def be(self, platform: Platform) -> None:
        """Say for which platform it is."""
        if (self.facts.get("os"), self.facts.get("architecture")) != (platform.os, platform.architecture):
            self.facts.pop("variant", None)
        self.facts |= {"os": platform.os, "architecture": platform.architecture}
        if platform.variant:
            self.facts["variant"] = platform.variant

    def set_variable(self, name: str, value: str) -> None:
        """Set a variable where it is, or at the end."""
        variables: list[str] = list(self.config.get("Env") or ())
        for at, each in enumerate(variables):
            if each.partition("=")[0] == name:
                variables[at] = f"{name}={value}"
                break
        else:
            variables.append(f"{name}={value}")
        self.config["Env"] = variables

    def variables(self) -> dict[str, str]:
        """Return all variables; of two that are called the same, the last."""
        return {name: value for name, _, value in (each.partition("=") for each in self.config.get("Env") or ())}

    def record(self, text: str, *, layer: bool, epoch_s: int | None) -> None:
        """Tell in the history what an instruction did."""
        entry: dict[str, Any] = {"created_by": text, "comment": _COMMENT}
        if epoch_s is not None:
            entry["created"] = _time(epoch_s)
        if not layer:
            entry["empty_layer"] = True
        self.history.append(entry)

    def document(self, epoch_s: int | None) -> dict[str, Any]:
        """Return the whole document, without what isn't set."""
        config = {name: value for name, value in self.config.items() if value}
        created = {} if epoch_s is None else {"created": _time(epoch_s)}
        return copy.deepcopy({**self.facts, **created, "config": config, "history": self.history})


def _time(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
