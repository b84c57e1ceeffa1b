"""Which rules are checked: `# check=skip=NAME,NAME;experimental=NAME;error=true`."""

import re
from collections.abc import Sequence

from attrs import evolve, frozen

from moby.contracts.builder import BuildFailed
from moby.errors import Invalid
from moby_builder.dockerfile.language.checks.rules import Rule
from moby_builder.dockerfile.language.go_values import boolean
from moby_builder.dockerfile.language.spelling import SPACES, quoted

__all__ = ["Options", "read"]

_ALL = "all"
_COMMENT = re.compile(r"check[\t\n\f\r ]*=[\t\n\f\r ]*(\S+).*", re.IGNORECASE)


@frozen
class Options:
    """What a directive asks for; `all` stands for all rules."""

    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    error: bool = False
    """Whether a file that breaks a rule is refused."""

    def asks_for(self, rule: Rule) -> bool:
        """Whether a rule is checked."""
        if rule.experimental:
            return bool(self.experimental & {_ALL, rule.name})
        return not self.skip & {_ALL, rule.name}

    def with_comments(self, comments: Sequence[str]) -> "Options":
        """Return what holds for an instruction: a comment straight above it may be such a directive."""
        for comment in comments:
            if found := _COMMENT.fullmatch(comment):
                try:
                    other = read(found[1])
                except BuildFailed:
                    return self
                return evolve(self, skip=self.skip | other.skip, experimental=self.experimental | other.experimental)
        return self


def read(text: str) -> Options:
    """Return what a directive says; BuildFailed for what makes no sense."""
    options = Options()
    for part in text.strip(SPACES).split(";", 2) if text.strip(SPACES) else ():
        key, sign, value = part.partition("=")
        key = key.strip(SPACES)
        names = frozenset(each.strip(SPACES) for each in value.split(","))
        if not sign or key not in ("skip", "experimental", "error"):
            raise BuildFailed(f"failed to parse check options: invalid check option {quoted(key if sign else part)}")
        if key == "skip":
            options = evolve(options, skip=names)
        elif key == "experimental":
            options = evolve(options, experimental=names)
        else:
            try:
                options = evolve(options, error=boolean(value.strip(SPACES)))
            except Invalid as error:
                raise BuildFailed(
                    f"failed to parse check options: failed to parse check option {quoted(part)}: {error.message}"
                ) from None
    return options
