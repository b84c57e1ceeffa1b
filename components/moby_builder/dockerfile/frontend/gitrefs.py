"""Git repositories as contexts and ADD name them: `https://host/repository.git?branch=x#reference:folder`."""

import re
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

from attrs import evolve, field, frozen

from moby.errors import Invalid
from moby_builder.dockerfile.operations import GitSource

__all__ = ["GitReference", "parse"]

_SCHEME = re.compile(r"[a-zA-Z0-9]+://")
_SCHEMES = frozenset({"http", "https", "ssh", "git"})
_SCP = re.compile(r"(?:([a-zA-Z0-9-_.]+)@)([a-zA-Z0-9-.]+):(.*?)(?:#(.*))?")
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


@frozen
class GitReference:
    """What is wanted of which repository."""

    remote: str
    reference: str = ""
    folder: str = ""
    checksum: str = ""
    keep_git: bool | None = None
    """None where it isn't said."""
    bare: bool = field(default=False)
    """Whether it is written without a scheme (`github.com/a/b`), so that it may be a path as well."""

    def source(self, *, keep_git: bool = False) -> GitSource:
        """Return the operation that checks it out."""
        kept = keep_git if self.keep_git is None else self.keep_git
        return GitSource(self.remote, self.reference, self.folder, kept, self.checksum)


def parse(text: str) -> GitReference | None:
    """Return what a text names, or None where it is no git repository; Invalid for a query that makes no sense."""
    if text.startswith(("./", "../")):
        return None
    if text.startswith("github.com/"):
        found = _of_url("https://" + text)
        return evolve(found, remote=found.remote.removeprefix("https://"), bare=True)
    scheme = _SCHEME.match(text)
    if scheme is None:
        return _of_scp(text)
    name = scheme[0].removesuffix("://").lower()
    if name not in _SCHEMES:
        return None
    try:
        path = urlsplit(text).path
    except ValueError:
        return None
    # Of a web server, what isn't called a repository is a file.
    if name in {"http", "https"} and not path.endswith(".git"):
        return None
    return _of_url(text)


def _of_url(text: str) -> GitReference:
    parts = urlsplit(text)
    reference, _, folder = unquote(parts.fragment).partition(":")
    remote = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    return _with_query(GitReference(remote, reference, folder), parts.query)


def _of_scp(text: str) -> GitReference | None:
    found = _SCP.fullmatch(text)
    if found is None:
        return None
    user, host, path, fragment = found.groups()
    reference, _, folder = (fragment or "").partition(":")
    path, _, query = path.partition("?")
    return _with_query(GitReference(f"{user}@{host}:{path}", reference, folder), query)


def _with_query(found: GitReference, query: str) -> GitReference:
    if not query:
        return found
    for name, values in parse_qs(query, keep_blank_values=True).items():
        if len(values) > 1:
            raise Invalid(f'query "{name}" has multiple values')
        take = _QUERY.get(name)
        if take is None:
            raise Invalid(f'unexpected query "{name}"')
        if not values[0] and name != "keep-git-dir":
            raise Invalid(f'query "{name}" has no value')
        found = take(found, values[0])
    return found


def _reference(found: GitReference, value: str) -> GitReference:
    if found.reference and found.reference != value:
        raise Invalid(f'ref conflicts: "{found.reference}" vs "{value}"')
    return evolve(found, reference=value)


def _folder(found: GitReference, value: str) -> GitReference:
    if found.folder and found.folder != value:
        raise Invalid(f'subdir conflicts: "{found.folder}" vs "{value}"')
    return evolve(found, folder=value)


def _checksum(found: GitReference, value: str) -> GitReference:
    return evolve(found, checksum=value)


def _keep_git(found: GitReference, value: str) -> GitReference:
    if value and value not in _TRUE | _FALSE:
        raise Invalid(f'invalid keep-git-dir value: "{value}"')
    return evolve(found, keep_git=not value or value in _TRUE)


def _prefixed(prefix: str) -> Callable[[GitReference, str], GitReference]:
    return lambda found, value: _reference(found, prefix + value.removeprefix(prefix))


_QUERY: Mapping[str, Callable[[GitReference, str], GitReference]] = {
    "ref": _reference,
    "tag": _prefixed("refs/tags/"),
    "branch": _prefixed("refs/heads/"),
    "subdir": _folder,
    "checksum": _checksum,
    "commit": _checksum,
    "keep-git-dir": _keep_git,
}
