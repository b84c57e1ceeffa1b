"""The answer to a request for checks alone."""

from collections.abc import Callable

from moby.contracts.builder import BuildFailed, Finding, Request
from moby_builder.dockerfile.frontend import checks
from moby_builder.dockerfile.frontend.contexts import Contexts, Definition
from moby_builder.dockerfile.frontend.documents import encoded, excerpt, filled, location, rendered
from moby_builder.dockerfile.frontend.translation import Translation
from moby_builder.dockerfile.language import parser
from moby_builder.dockerfile.language.checks.checking import check_beginning
from moby_builder.dockerfile.language.instructions import Dockerfile

__all__ = ["lint"]


def lint(
    definition: Definition, request: Request, contexts: Contexts, translate: Callable[[Dockerfile], Translation]
) -> dict[str, bytes]:
    """Return what is found in a file, and why it can't be built where that is so."""
    error: BuildFailed | None = None
    findings: list[Finding] = []
    try:
        file = checks.asked(parser.parse(definition.data, definition.name), request)
        translation = translate(file)
        try:
            _translate(translation, request.target)
        except BuildFailed as failed:
            error = failed
        findings = checks.find_everywhere(file, translation, request, contexts)
    except BuildFailed as failed:
        error = failed
        findings = list(check_beginning(definition.data, definition.name, checks.options(request)))
    text = definition.data.decode("utf-8", "replace")
    document = {
        "warnings": [_warning(each) for each in findings],
        "sources": [{"filename": definition.name, "language": "Dockerfile", "data": encoded(text)}],
        **filled({"buildError": error and {"message": error.message, "location": location(error.ranges)}}),
    }
    answers = rendered(document, "".join(map(_text, findings)))
    answers["result.statuscode"] = b"1" if findings or error else b"0"
    return answers


def _translate(translation: Translation, target: str) -> None:
    """Translate a stage, or all where none is named."""
    if target:
        translation.target(target)
    else:
        translation.everything()


def _warning(finding: Finding) -> dict[str, object]:
    return {
        "ruleName": finding.rule,
        **filled({"description": finding.detail, "url": finding.url, "detail": finding.message}),
        "location": location(finding.ranges),
    }


def _text(finding: Finding) -> str:
    title = f"{finding.rule} - {finding.url}" if finding.url else finding.rule
    return f"\nWARNING: {title}\n{finding.message}\n{excerpt(finding.file, finding.source, finding.ranges)}"
