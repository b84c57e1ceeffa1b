"""Texts for others' eyes, without what looks like a secret in any spelling that logs have."""

import re

__all__ = ["HIDDEN", "redacted"]

HIDDEN = "(hidden)"
_QUOTE = r"(?P<quote>\\{0,15}[\"'])"
_NAME = (
    r"(?:passw|passphrase|pwd|secret|token|credential|auth(?!or(?!iz))|registry-config"
    r"|(?:api|private|access|signing|encryption)[_-]?key|(?<![a-z])pass(?![a-z]))[\w.-]{0,64}"
)
"""Of a variable, option, field or header whose value is secret, and what follows; not of an author or an authority."""
_WITHIN = r"(?:(?!(?<!\\)(?P=quote))[^\n])*"
"""Up to the same quote, which in JSON within JSON is escaped as often as the one that began it."""
_VALUE = rf"(?:{_QUOTE}{_WITHIN}(?P=quote)|\\{{0,15}}[\"'][^\n]*|\[[^]\n]{{0,2000}}\]|\S+)"
_PATTERNS = tuple(  # with bounds, so that no text takes a time that grows with its square
    re.compile(each, re.IGNORECASE)
    for each in (
        r"(?P<kept>-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----)[\s\S]*?(?:(?=-----END)|\Z)",
        rf"(?P<kept>{_QUOTE}[\w.-]{{0,64}}{_NAME}=){_WITHIN}(?=(?P=quote))",
        rf"(?P<kept>{_NAME}(?:\\{{0,15}}[\"'])?\s{{0,9}}[=:]\s{{0,9}}(?:(?:bearer|basic)\s{{1,9}})?){_VALUE}",
        rf"(?P<kept>--[\w-]{{0,64}}{_NAME}(?:\\{{0,15}}[\"']\s{{0,9}},)?\s{{1,9}}){_VALUE}",
        r"(?P<kept>\bbearer\s{1,9})[\w.~+/=-]+",
        r"(?P<kept>://)[^\s/\"']{0,2000}(?=@)",
        r"(?P<kept>://)[^\s@\"']{0,2000}(?=@)",
    )
)
_QUOTED = re.compile(r"%([2-7][0-9a-f])", re.IGNORECASE)
"""What can be printed; other bytes of a URL stay as they are, so that no line is broken in two."""
_MOST_QUOTED = 4
"""Times that a text may have been quoted, one around the other."""


def redacted(text: str) -> str:
    """Return a text, unquoted where it is quoted as in URLs, without values of secret names and users in addresses."""
    for _ in range(_MOST_QUOTED):
        for pattern in _PATTERNS:  # before unquoting too, after which no end of a value can be told
            text = pattern.sub(rf"\g<kept>{HIDDEN}", text)
        plain = _QUOTED.sub(lambda found: chr(int(found[1], 16)), text)
        if plain == text:
            return text
        text = plain
    return _QUOTED.sub(HIDDEN, text)
