"""Names of images: Docker's long and short forms (distribution/reference, regexp.go and normalize.go)."""

import re

from moby.contracts.types import ImageReference
from moby.errors import Invalid
from moby.oci import digest as digests
from moby.values import evolve

__all__ = ["DEFAULT_DOMAIN", "DEFAULT_TAG", "as_name", "familiar", "familiar_name", "is_id", "parse"]

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
_LEGACY_DOMAIN = "index.docker.io"
_OFFICIAL = "library/"
_LONGEST_PATH = 255
_LONGEST_TEXT = 4096

_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_ALGORITHM = "sha256"
_IMAGE_ID = re.compile(r"[a-f0-9]{64}")


def is_id(text: str) -> bool:
    """Whether a text can only be an image's whole id, without the algorithm before it."""
    return _IMAGE_ID.fullmatch(text) is not None


def parse(text: str, *, default_tag: bool = True) -> ImageReference:
    """Return the whole reference that a short or long form stands for; Invalid says which part is wrong.

    A name with neither tag nor digest gets the tag `latest`, unless `default_tag` is false.
    """
    if len(text) > _LONGEST_TEXT:
        raise Invalid(f"image reference is {len(text)} characters long; at most {_LONGEST_TEXT} are allowed")
    if is_id(text):
        raise Invalid(f"{text!r} is an image id, which can't be an image's name", hint="use another name")
    name, at, digest_text = text.partition("@")
    digest = digests.parse(digest_text) if at else None
    name, tag = _split_tag(name, text)
    domain, path = _split_domain(name)
    if not _DOMAIN.fullmatch(domain):
        raise Invalid(f"image reference {text!r}: {domain!r} is no host name with an optional port")
    if path != path.lower() and _PATH.fullmatch(path.lower()):
        raise Invalid(
            f"image reference {text!r}: the name must be lower case", hint=f"try {name.lower()}{text[len(name) :]}"
        )
    if not _PATH.fullmatch(path):
        raise Invalid(
            f"image reference {text!r}: {path!r} is no repository name",
            hint="write [HOST[:PORT]/]NAME[:TAG][@DIGEST]; a name is lower-case letters and digits, joined by . _ - /",
        )
    if len(path) > _LONGEST_PATH:
        raise Invalid(f"image reference {text[:40]!r}...: the name has more than {_LONGEST_PATH} characters")
    if not tag and digest is None and default_tag:
        tag = DEFAULT_TAG
    return ImageReference(domain, path, tag, digest)


def as_name(reference: ImageReference) -> ImageReference:
    """Return a reference as it can be given to an image: with a tag, `latest` if it has none.

    Invalid for a digest, and for the name `sha256`, with which it would read as an image's id.
    """
    if reference.digest:
        raise Invalid(f"{reference} has a digest, so it can't be given to an image as a name", hint="name a tag only")
    if familiar_name(reference) == _ALGORITHM:
        raise Invalid("refusing to create an ambiguous tag using digest algorithm as name", hint="use another name")
    return reference if reference.tag else evolve(reference, tag=DEFAULT_TAG)


def familiar_name(reference: ImageReference) -> str:
    """Return the repository's name as Docker shows it: `alpine`, `me/app`, `ghcr.io/me/app`."""
    bare = ImageReference(reference.domain, reference.path)
    if reference.domain == DEFAULT_DOMAIN:
        official = reference.path.removeprefix(_OFFICIAL)
        for short in (official, reference.path):
            # A path such as localhost/app would, without its domain, be read as another registry's.
            if not _IMAGE_ID.fullmatch(short) and _split_domain(short) == (bare.domain, bare.path):
                return short
    return str(bare)


def familiar(reference: ImageReference) -> str:
    """Return the short form that Docker shows, which parses to the same reference; a tag is always written."""
    return str(evolve(reference, domain="", path=familiar_name(reference)))[1:]


def _split_tag(name: str, text: str) -> tuple[str, str]:
    """Take a tag off; a colon before the last slash is a port's."""
    rest, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        return name, ""
    if not _TAG.fullmatch(tag):
        raise Invalid(
            f"image reference {text!r}: {tag!r} is no tag",
            hint="a tag is up to 128 letters, digits and . _ -, and doesn't start with . or -",
        )
    return rest, tag


def _split_domain(name: str) -> tuple[str, str]:
    """Take the registry's host off, as Docker tells it from a first path component."""
    first, slash, rest = name.partition("/")
    is_domain = slash and ("." in first or ":" in first or first == "localhost" or first.lower() != first)
    domain, path = (first, rest) if is_domain else (DEFAULT_DOMAIN, name)
    if domain == _LEGACY_DOMAIN:
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = _OFFICIAL + path
    return domain, path
