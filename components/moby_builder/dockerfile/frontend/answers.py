"""Requests for something else than an image: what a file offers, and what can be asked."""

from collections.abc import Callable, Mapping

from moby.contracts.builder import Request
from moby.errors import Unsupported
from moby_builder.dockerfile.frontend.contexts import Contexts, Definition
from moby_builder.dockerfile.frontend.documents import encoded, filled, location, rendered, table
from moby_builder.dockerfile.frontend.lint import lint
from moby_builder.dockerfile.frontend.outline import outline
from moby_builder.dockerfile.frontend.plan import Plan
from moby_builder.dockerfile.frontend.translation import Translation
from moby_builder.dockerfile.language import parser
from moby_builder.dockerfile.language.instructions import Dockerfile

__all__ = ["answer"]

_NAMED = [{"name": "result.json", "description": ""}, {"name": "result.txt", "description": ""}]
_STATUS = {"name": "result.statuscode", "description": ""}
_REQUESTS: Mapping[str, str] = {
    "frontend.lint": "Lint a Dockerfile",
    "frontend.outline": "List all parameters current build target supports",
    "frontend.targets": "List all targets current build supports",
    "frontend.subrequests.describe": "List available subrequest types",
}


def answer(
    request: Request, definition: Definition, contexts: Contexts, translate: Callable[[Dockerfile], Translation]
) -> Plan:
    """Return a plan that is but an answer; Unsupported for what can't be asked."""
    name = request.request.removeprefix("frontend.")
    if name in {"describe", "subrequests.describe"}:
        return _plan(definition, "", _describe())
    if name not in {"lint", "outline", "targets"}:
        raise Unsupported(f"unsupported request {request.request}", hint=f"ask for one of {', '.join(_REQUESTS)}")
    if name == "lint":
        return _plan(definition, "", lint(definition, request, contexts, translate))
    file = parser.parse(definition.data, definition.name)
    if name == "targets":
        return _plan(definition, file.source, _targets(file))
    translation = translate(file)
    target = translation.target(request.target)
    return _plan(definition, file.source, outline(file, target, translation))


def _plan(definition: Definition, source: str, answers: Mapping[str, bytes]) -> Plan:
    return Plan(answers=answers, file=definition.name, source=source)


def _targets(file: Dockerfile) -> dict[str, bytes]:
    """Return the stages that can be built."""
    last = file.stages[-1]
    targets = [
        filled(
            {
                "name": stage.origin.name,
                "default": stage is last,
                "description": stage.origin.description,
                "base": stage.origin.base,
                "platform": stage.origin.platform,
                "location": location([stage.origin.written.range]),
            }
        )
        for stage in file.stages
    ]
    rows = [[_shown_name(stage.origin.name, stage is last), stage.origin.description] for stage in file.stages]
    text = table([["TARGET", "DESCRIPTION"], *rows], 1)
    return rendered({"targets": targets, "sources": [encoded(file.source)]}, text)


def _shown_name(name: str, default: bool) -> str:
    return " ".join(filter(None, (name, "(default)" if default else "")))


def _describe() -> dict[str, bytes]:
    document = [
        {
            "name": name,
            "version": "1.0.0",
            "type": "rpc",
            "description": description,
            "opts": [{"name": "target", "description": "Target build stage"}] if name == "frontend.outline" else None,
            "inputs": None,
            "metadata": [*_NAMED, *([_STATUS] if name == "frontend.lint" else [])],
            "refs": None,
        }
        for name, description in _REQUESTS.items()
    ]
    rows = [[name.removeprefix("frontend."), "1.0.0", description] for name, description in _REQUESTS.items()]
    return rendered(document, table([["NAME", "VERSION", "DESCRIPTION"], *rows], 1))
