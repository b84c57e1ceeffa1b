"""A plugin module, imported: checks its hooks, which pluggy does only in part, and reads its components' facts."""

import importlib
import inspect
import json
import os
import traceback
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from moby import hookspecs
from moby.component import Component, Facts, dump_facts, facts_of
from moby.errors import Invalid, MobyError

__all__ = ["answer", "facts_in"]

_MARK = f"{hookspecs.PROJECT}_impl"
_HOOKS = tuple(name for name, each in vars(hookspecs).items() if hasattr(each, f"{hookspecs.PROJECT}_spec"))


def answer(request: Mapping[str, Any], descriptor: int) -> None:
    """Write a line of JSON for each module of a request, and end the process, whatever the plugins left running."""
    os.set_inheritable(descriptor, False)
    for module in request["modules"]:
        facts, error = [], ""
        try:
            read = facts_in(importlib.import_module(module), request["distribution"])
            facts = [dump_facts(each) for each in read]
        except MobyError as wrong:
            error = _one_line(wrong.message) + (f"; {wrong.hint}" if wrong.hint else "")
        except BaseException as raised:  # SystemExit as well: the plugin's doing, not ours
            error = f"importing it raised {_said(raised)}"
        line = json.dumps({"module": module, "facts": facts, "error": error})
        os.write(descriptor, line.encode() + b"\n")
    os._exit(0)


def facts_in(module: ModuleType, distribution: str) -> tuple[Facts, ...]:
    """Return the facts of a plugin module's components; Invalid says which of its hooks is no good, and why."""
    _check_marks(module)
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise Invalid(_one_line(str(error)), hint=f"the hooks are {', '.join(_HOOKS)}") from error
    for name in _HOOKS:
        if hasattr(module, name):
            _check_signature(name, getattr(module, name), getattr(hookspecs, name))
    found: list[Component] = []
    for result in manager.hook.moby_components():
        found.extend(_components(result))
    return tuple(facts_of(each, distribution=distribution, module=module.__name__) for each in found)


def _check_marks(module: ModuleType) -> None:
    """Refuse a module whose hooks pluggy would pass over in silence."""
    functions = {name: each for name, each in vars(module).items() if inspect.isroutine(each)}
    for name, each in functions.items():
        if name in _HOOKS and not hasattr(each, _MARK):
            raise Invalid(f"{name} isn't marked, so it would never be called", hint="write @hookimpl above it")
    if not any(hasattr(each, _MARK) for each in functions.values()):
        near = [name for name in functions if get_close_matches(name, _HOOKS, n=1)]
        raise Invalid(
            "it has no hook" + (f"; {near[0]} is near one" if near else ""),
            hint="write `@hookimpl def moby_components() -> Iterable[Component]:`",
        )


def _check_signature(name: str, implementation: Any, specification: Any) -> None:
    """Refuse what pluggy, which compares the names of positional parameters, would only find when it calls."""
    known = tuple(inspect.signature(specification).parameters)
    options = getattr(implementation, _MARK)
    if options["wrapper"] or options["hookwrapper"]:
        raise Invalid(f"{name} is a wrapper around other plugins' hooks", hint="remove wrapper=True")
    if inspect.iscoroutinefunction(implementation):
        raise Invalid(f"{name} is async", hint="hooks are plain functions")
    for parameter in inspect.signature(implementation).parameters.values():
        plain = parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        if not plain or parameter.name not in known or parameter.default is not inspect.Parameter.empty:
            raise Invalid(
                f"{name} has the parameter {str(parameter)!r}, which is never passed",
                hint=f"its parameters are a choice of: {', '.join(known) or 'none'}; without defaults",
            )


def _components(result: Any) -> Iterator[Component]:
    hint = "return a list of Component(...)"
    if not isinstance(result, Iterable):
        raise Invalid(f"moby_components returned {type(result).__name__}, not components", hint=hint)
    for each in result:
        if not isinstance(each, Component):
            raise Invalid(f"moby_components returned a {type(each).__name__} among the components", hint=hint)
        yield each


def _said(error: BaseException) -> str:
    """Say an exception in one line, with the last place in a file that is neither Python's own nor this one."""
    python = str(Path(os.__file__).parent)
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not _is_pythons(each.filename, python)]
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {_one_line(str(error))}{place}"


def _is_pythons(filename: str, python: str) -> bool:
    own = filename.startswith(python) and "site-packages" not in filename and "dist-packages" not in filename
    return own or filename.startswith("<frozen") or filename == __file__


def _one_line(text: str) -> str:
    return " ".join(text.split())
