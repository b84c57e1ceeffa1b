"""Checks of a file with what is known of its images and its context."""

from collections.abc import Iterable

from moby.context.patterns import Patterns
from moby.contracts.builder import Finding, Request
from moby.values import evolve
from moby_builder.dockerfile.frontend import platforms
from moby_builder.dockerfile.frontend.contexts import Contexts, Definition
from moby_builder.dockerfile.frontend.translation import Translation
from moby_builder.dockerfile.language.checks.checking import Known, check
from moby_builder.dockerfile.language.checks.report import Report, failure, with_options
from moby_builder.dockerfile.language.failures import located
from moby_builder.dockerfile.language.instructions import Dockerfile

__all__ = ["asked", "find", "find_everywhere", "options"]

_OPTIONS = "BUILDKIT_DOCKERFILE_CHECK"
"""An argument that says in place of the file what is checked."""


def options(request: Request) -> str | None:
    """Return what a request says of checks, as the directive does; None where it says nothing."""
    return request.arguments.get(_OPTIONS)


def asked(dockerfile: Dockerfile, request: Request) -> Dockerfile:
    """Return a file that is checked for what a request asks for."""
    return with_options(dockerfile, options(request))


def find(
    dockerfile: Dockerfile, translation: Translation, request: Request, contexts: Contexts, definition: Definition
) -> tuple[Finding, ...]:
    """Return what is found in the stages that a request needs; BuildFailed where the file wants that to be one."""
    known = _known(translation, request, contexts)
    found = (*check(dockerfile, known), *_platforms(dockerfile, translation))
    refused = failure(dockerfile, found)
    if refused is not None:
        raise located(refused, dockerfile.name, dockerfile.source, found[0].ranges[0])
    return tuple(evolve(each, vertex=definition.node.digest) for each in found)


def find_everywhere(
    dockerfile: Dockerfile, translation: Translation, request: Request, contexts: Contexts
) -> list[Finding]:
    """Return what is found in a target, or in all stages where none is named, by line."""
    known = _known(translation, request, contexts)
    found = (*_platforms(dockerfile, translation), *check(dockerfile, evolve(known, target=request.target or None)))
    return sorted(_different(found), key=lambda each: each.ranges[0].first)


def _known(translation: Translation, request: Request, contexts: Contexts) -> Known:
    ignored = contexts.ignored() if contexts.folder is not None and contexts.folder.used else ()
    return Known(
        request.target,
        request.arguments,
        translation.predefined,
        lambda number: translation.stages[number].inherited,
        Patterns(ignored) if ignored else None,
    )


def _platforms(dockerfile: Dockerfile, translation: Translation) -> list[Finding]:
    """Find images that are for another platform than is wanted."""
    report = Report(dockerfile)
    for site, stage in zip(translation.stages, dockerfile.stages, strict=True):
        found, wanted = site.found_for, site.platform
        if found is None or wanted is None or (found.os, found.architecture) == (wanted.os, wanted.architecture):
            continue
        message = (
            f'Base image {site.origin.base} was pulled with platform "{platforms.normalize(found)}", '
            f'expected "{platforms.normalize(wanted)}" for current build'
        )
        report.tell("InvalidBaseImagePlatform", message, stage.origin.written)
    return report.findings


def _different(found: Iterable[Finding]) -> list[Finding]:
    return list({(each.rule, each.message, each.ranges): each for each in found}.values())
