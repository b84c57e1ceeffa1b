"""Errors as JSON carries them: those of moby.errors come back as the same class, with their cause; others as bugs."""

from collections.abc import Mapping
from typing import Any

from moby import errors
from moby.errors import Invalid, MobyError, Origin, Problem

__all__ = ["dump", "load"]

LONGEST = 65536
"""Characters of a message that go over; what can quote a container's own words must end somewhere."""
_CLASSES: Mapping[str, type[MobyError]] = {
    name: each for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, MobyError)
}


def dump(error: BaseException, depth: int = 3) -> dict[str, Any]:
    """Return an error as JSON carries it; a class of a part's own as the nearest of moby.errors."""
    data: dict[str, Any]
    if isinstance(error, MobyError):
        name = next(each.__name__ for each in type(error).__mro__ if _CLASSES.get(each.__name__) is each)
        data = {"class": name, "message": error.message[:LONGEST], "hint": error.hint[:LONGEST]}
        if isinstance(error, Invalid) and error.problems:
            data["problems"] = [_dump_problem(each) for each in error.problems]
    elif isinstance(error, OSError) and error.errno is not None:
        data = {"class": "OSError", "errno": error.errno, "message": error.strerror or ""}
        if isinstance(error.filename, str):
            data["filename"] = error.filename[:LONGEST]
    else:
        data = {"class": "", "message": f"{type(error).__name__}: {error}"[:LONGEST]}
    if error.__cause__ is not None and depth:
        data["cause"] = dump(error.__cause__, depth - 1)
    return data


def load(data: Any, depth: int = 3) -> Exception:
    """Return the error that `dump` wrote; one of ours that says so where it can't be read."""
    if not isinstance(data, dict):
        return MobyError(f"another process sent an error that can't be read: {str(data)[:80]}")
    message = _text(data, "message")
    error: Exception
    kind = data.get("class")
    if kind == "OSError" and type(data.get("errno")) is int:
        error = OSError(data["errno"], message, *([_text(data, "filename")] if "filename" in data else []))
    elif kind == "Invalid":
        problems = data.get("problems")
        given = problems if isinstance(problems, list) else ()
        found = tuple(_load_problem(each) for each in given if isinstance(each, dict))
        error = Invalid(message, problems=found, hint=_text(data, "hint"))
    elif isinstance(kind, str) and kind in _CLASSES:
        error = _CLASSES[kind](message, hint=_text(data, "hint"))
    else:
        error = MobyError(message or "an error without a word")
    if "cause" in data and depth:
        error.__cause__ = load(data["cause"], depth - 1)
    return error


def _text(data: Mapping[str, Any], key: str) -> str:
    found = data.get(key, "")
    return found if isinstance(found, str) else ""


def _texts(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = data.get(key, ())
    return tuple(each for each in found if isinstance(each, str)) if isinstance(found, list) else ()


_LISTS = ("because", "fixes", "conflict")


def _dump_problem(problem: Problem) -> dict[str, Any]:
    where = problem.where
    return {
        "message": problem.message[:LONGEST],
        "where": [where.source, where.line, where.column] if where else None,
        **{name: list(getattr(problem, name)) for name in _LISTS},
    }


def _load_problem(data: Mapping[str, Any]) -> Problem:
    where: Origin | None
    match data.get("where"):
        case [str(source), int(line), int(column)]:
            where = Origin(source, line, column)
        case _:
            where = None
    return Problem(_text(data, "message"), where, **{name: _texts(data, name) for name in _LISTS})
