"""Which calls a front end allows: rules over method, path, body and client, in a manifest's words."""

import fnmatch
import json
import re
from collections.abc import Callable, Mapping, Sequence

from moby.errors import Invalid, Unsupported
from moby.values import frozen
from moby_frontend.docker.call import Call
from moby_frontend.docker.failures import Status
from moby_frontend.docker.routes import ROUTES, Route

__all__ = ["NAMED", "Access", "Rule", "access", "guarded"]


_SAME = (("/containers/json", "/containers/ps"), ("/networks", "/networks/"))
"""Paths at which the same is answered."""


@frozen
class Rule:
    """One rule: all that it names must fit a call. The first rule that fits decides."""

    allow: bool
    methods: frozenset[str] = frozenset()
    """None is all."""
    path: str = "*"
    """A shell's pattern of the path without its version (fnmatch)."""
    reads: bool = False
    """Whether it is only for routes that change nothing."""
    uids: frozenset[int] = frozenset()
    subject: str = ""
    """A shell's pattern of the subject of the client's certificate."""
    body: str = ""
    """A regular expression that is to be found in the body, which is JSON written with or without spaces.

    A rule that denies finds it whatever the case of letters, as names of fields are read, and in what came as it came.
    """

    def fits(self, route: Route, call: Call) -> bool:
        """Return whether it is about a call."""
        return (
            (not self.methods or call.method in self.methods)
            and any(fnmatch.fnmatchcase(each, self.path) for each in _names_of(call.path))
            and (not self.reads or not route.changes)
            and (not self.uids or call.client.uid in self.uids)
            and (not self.subject or fnmatch.fnmatchcase(call.client.subject, self.subject))
            and (not self.body or self._is_in(call.bytes()))
        )

    def _is_in(self, data: bytes) -> bool:
        raw, forms = data.decode("utf-8", "replace"), _forms(data)
        if self.allow:
            return any(re.search(self.body, each) for each in forms or (raw,))
        return any(re.search(self.body, each, re.IGNORECASE) for each in (raw, *forms))


def _names_of(path: str) -> tuple[str, ...]:
    """Return a path and what else it is called, so that a rule about one is about the other."""
    return next((each for each in _SAME if path in each), (path,))


def _forms(data: bytes) -> tuple[str, ...]:
    """Return JSON as we write it, so that no spelling of it hides what it says; nothing for what is none.

    Invalid for what is nested too deeply to be judged: whoever reads it after that may have some levels left.
    """
    try:
        value = json.loads(data.decode())
        return tuple(json.dumps(value, ensure_ascii=False, separators=each) for each in ((",", ":"), (", ", ": ")))
    except ValueError:
        return ()
    except RecursionError:
        raise Invalid("invalid JSON: exceeded max depth") from None


NAMED: Mapping[str, tuple[Rule, ...]] = {
    "all": (Rule(allow=True),),
    "read": (Rule(allow=True, reads=True),),
    "none": (Rule(allow=True, path="/_ping", reads=True),),
}
"""Sets of rules by the word in a manifest; what no rule is about is denied."""


@frozen
class Access:
    """The rules of one front end."""

    rules: tuple[Rule, ...]

    def check(self, route: Route, call: Call) -> None:
        """Refuse what isn't allowed, in docker's words (403)."""
        found = next((each for each in self.rules if each.fits(route, call)), None)
        if found is None or not found.allow:
            raise Status(
                403,
                "authorization denied by plugin allow: "
                f"{call.method} {call.path} is not allowed to {call.client} at this address",
            )


def access(words: Sequence[str]) -> Access:
    """Return the rules that a manifest writes.

    Each is `all`, `read`, `none`, or `allow` or `deny` followed by what it is about: methods as `GET,POST`, a path as
    `/containers/*`, `uid=1000`, `subject=NAME`, `body=REGULAR EXPRESSION` (last, up to the end). Invalid quotes one
    that can't be read.
    """
    found: list[Rule] = []
    for text in words:
        found.extend(NAMED.get(text.strip()) or (_rule(text),))
    return Access(tuple(found))


def guarded(address: str, *, tls: bool) -> None:
    """Raise Unsupported for an address of others' networks where no TLS is to say who somebody is."""
    if not tls:
        raise Unsupported(
            f"{address} without TLS would give this host to everybody who reaches the port",
            hint="set tls_certificate, tls_key and tls_authority, so that clients need a certificate; or use unix://",
        )


def _rule(text: str) -> Rule:
    head, _, body = text.partition("body=")
    verb, *parts = head.split() or [""]
    if verb not in {"allow", "deny"}:
        raise Invalid(f"access rule {text!r} begins with neither allow nor deny", hint=f"or is {', '.join(NAMED)}")
    fields: dict[str, object] = {}
    for each in parts:
        fields.update(_part(each, text))
    if body:
        try:
            re.compile(body)
        except re.error as error:
            raise Invalid(f"access rule {text!r}: {body!r} is no regular expression: {error}") from None
    return Rule(verb == "allow", body=body, **fields)  # type: ignore[arg-type]


_METHODS = frozenset(each.method for each in ROUTES)


def _part(word: str, text: str) -> dict[str, object]:
    name, equals, value = word.partition("=")
    readers: Mapping[str, Callable[[str], object]] = {"uid": _uids, "subject": str}
    if equals and name in readers:
        return {"uids" if name == "uid" else name: readers[name](value)}
    if word.startswith("/"):
        return {"path": word}
    methods = frozenset(word.split(","))
    if methods <= _METHODS:
        return {"methods": methods}
    raise Invalid(
        f"access rule {text!r}: {word!r} is neither methods, a path, uid=, subject= nor body=",
        hint="write, for one, `allow GET,HEAD /containers/*`",
    )


def _uids(text: str) -> frozenset[int]:
    if not all(each.isascii() and each.isdigit() for each in text.split(",")):
        raise Invalid(f"uid={text} is no list of user ids")
    return frozenset(map(int, text.split(",")))
