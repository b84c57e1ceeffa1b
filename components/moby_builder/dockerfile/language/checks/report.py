"""What is found in a file."""

from attrs import evolve

from moby.contracts.builder import BuildFailed, Finding, Range
from moby_builder.dockerfile.language.checks import options
from moby_builder.dockerfile.language.checks.rules import RULES
from moby_builder.dockerfile.language.instructions import Directive, Dockerfile, Written

__all__ = ["Report", "failure", "options_of", "with_options"]


def options_of(dockerfile: Dockerfile) -> options.Options:
    """Return what a file's directive asks for; BuildFailed for what makes no sense."""
    return options.read(dockerfile.directive("check").partition(" ")[0])


def with_options(dockerfile: Dockerfile, text: str | None) -> Dockerfile:
    """Return a file whose directive asks for something else, where that is given."""
    if text is None:
        return dockerfile
    others = (each for each in dockerfile.directives if each.name != "check")
    return evolve(dockerfile, directives=(*others, Directive("check", text, 0)))


def failure(dockerfile: Dockerfile, findings: tuple[Finding, ...]) -> BuildFailed | None:
    """Return why a file is refused that wants to be for what is found in it, or None."""
    names = sorted({each.rule for each in findings})
    if not names or not options_of(dockerfile).error:
        return None
    return BuildFailed(f"lint violation found for rules: {', '.join(names)}")


class Report:
    """Takes what is found, as far as the file asks for it."""

    def __init__(self, dockerfile: Dockerfile) -> None:
        self.findings: list[Finding] = []
        self._file = dockerfile
        self._options = options_of(dockerfile)

    def tell(self, name: str, message: str, where: Written) -> None:
        """Take something that an instruction breaks a rule by."""
        rule = RULES[name]
        if not self._options.with_comments(where.comments).asks_for(rule):
            return
        self.findings.append(
            Finding(
                None,
                rule.name,
                message,
                detail=rule.description,
                url=rule.url,
                file=self._file.name,
                source=self._file.source,
                ranges=(where.range,),
            )
        )

    def tell_line(self, name: str, message: str, line: int) -> None:
        """Take something that a line breaks a rule by."""
        self.tell(name, message, Written(range=Range(line, line)))
