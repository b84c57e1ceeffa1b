"""Plugins of docker's that are asked about each call before it is made, and about its answer before that is sent.

Source: docker's documentation, "Access authorization plugin" (extend/plugins_authorization).
"""

import base64
from collections.abc import Sequence
from typing import Any

from moby.errors import MobyError
from moby.host.docker_plugins import Plugin
from moby.values import frozen
from moby_frontend.docker.call import Call, Reply
from moby_frontend.docker.failures import Status

__all__ = ["Authorization", "Judged", "authorization"]

_MOST_BYTES = 4 << 20
"""Of a body that a plugin is shown: a config or secret of the greatest size is far less."""
_SECRET = frozenset({"x-registry-auth", "x-registry-config"})
_JSON = "application/json"


@frozen
class Judged:
    """A call that every plugin allowed, with what they were told of it."""

    plugins: Sequence[Plugin]
    told: dict[str, Any]

    def passed(self, reply: Reply | None) -> Reply | None:
        """Return the answer, if all plugins allow it too; those of calls that took the connection aren't asked about.

        A body that comes in chunks isn't shown, since it isn't there yet.
        """
        if reply is None or not self.plugins:
            return reply
        told: dict[str, Any] = {**self.told, "ResponseStatusCode": reply.status}
        headers = dict(reply.headers)
        if headers:
            told["ResponseHeaders"] = headers
        if isinstance(reply.body, bytes):
            told |= _body("ResponseBody", reply.body, headers.get("Content-Type", ""))
        try:
            for each in reversed(self.plugins):  # as docker does
                _ask(each, "AuthZRes", told)
        except BaseException:
            close = getattr(reply.body, "close", None)
            if close is not None:
                close()
            raise
        return reply


@frozen
class Authorization:
    """The plugins of a front end, in the order in which they are asked."""

    plugins: Sequence[Plugin] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """As `docker info` shows them."""
        return tuple(each.name for each in self.plugins)

    def judged(self, call: Call, target: str) -> Judged:
        """Have all of them allow a call; refuse it in docker's words otherwise, and where one doesn't answer."""
        told = _told(call, target) if self.plugins else {}
        for each in self.plugins:
            _ask(each, "AuthZReq", told)
        return Judged(self.plugins, told)


def authorization(names: Sequence[str]) -> Authorization:
    """Return the plugins by their names."""
    return Authorization(tuple(Plugin(each, "AuthZPlugin", implements="authz") for each in names))


def _told(call: Call, target: str) -> dict[str, Any]:
    headers = {_spelled(key): value for key, value in call.headers.items() if key not in _SECRET | {"host"}}
    told = {"RequestMethod": call.method, "RequestUri": target, "RequestHeaders": headers}
    if call.client.subject:
        told |= {"User": call.client.subject, "UserAuthNMethod": "TLS"}
    kind = call.headers.get("content-type", "")
    if _is_json(kind) and call.path != "/auth":  # whose body is a password
        told |= _body("RequestBody", _shown(call), kind)
    return told


def _shown(call: Call) -> bytes:
    """Return the body; one that no plugin would see is refused, since it would be judged by what it isn't."""
    data = call.bytes()
    if len(data) > _MOST_BYTES:
        raise Status(
            413, f"authorization denied: the body has more than the {_MOST_BYTES} bytes that plugins are shown"
        )
    return data


def _body(name: str, data: bytes, kind: str) -> dict[str, str]:
    if not data or len(data) > _MOST_BYTES or not _is_json(kind):
        return {}
    return {name: base64.b64encode(data).decode("ascii")}


def _is_json(kind: str) -> bool:
    return kind.partition(";")[0].strip().lower() == _JSON


def _spelled(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))


def _ask(plugin: Plugin, method: str, told: dict[str, Any]) -> None:
    try:
        answer = plugin.call(method, **told)
    except MobyError as error:
        raise Status(500, f"plugin {plugin.name} failed with error: {error.message}") from error
    if answer.get("Allow") is not True:
        raise Status(403, f"authorization denied by plugin {plugin.name}: {answer.get('Msg') or ''}")
