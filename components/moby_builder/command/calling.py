"""A build by the engine of another process: `POST /build` on its socket, and what follows."""

import base64
import http.client
import json
import os
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlencode

from moby.errors import MobyError, Unsupported
from moby.host.progress_lines import ProgressLines, bar
from moby.host.unix_http import PATIENCE_S, UnixConnection, connected, refusal, unanswered
from moby.oci import logins
from moby.oci import reference as references
from moby_builder.command import fields
from moby_builder.command.contexts import CONTEXT, Context, context
from moby_builder.command.options import given
from moby_builder.command.packing import packed

__all__ = ["Caller", "build"]

_VERSION = "v1.47"
_READ = 64 << 10
_ELSEWHERE = (
    "secret", "ssh", "output", "cache_to", "build_context", "check", "call", "sbom", "provenance", "attest",
    "annotation", "allow", "explain", "no_cache_filter",
)  # fmt: skip
"""What `POST /build` has no words for."""


class Caller:
    """Calls of the engine's API, for as long as this is open."""

    def __init__(self, path: Path, patience_s: float = PATIENCE_S) -> None:
        self._path, self._patience_s = path, patience_s

    def ask(self, method: str, path: str) -> Any:
        """Return what a call answers, as JSON."""
        with (
            closing(connected(self._path, self._patience_s)) as connection,
            self._answer(connection, method, path, None, {}) as answer,
        ):
            return json.loads(answer.read() or b"null")

    def lines(self, path: str, body: Iterable[bytes] | None = None, **headers: str) -> Iterator[dict[str, Any]]:
        """Yield the JSON lines of a POST's answer as they come; an error in them is raised."""
        sent = {"Content-Type": "application/x-tar", **{key.replace("_", "-"): each for key, each in headers.items()}}
        with (
            closing(connected(self._path, self._patience_s)) as connection,
            self._answer(connection, "POST", path, body, sent) as answer,
        ):
            for line in _texts(answer):
                found = json.loads(line) if line.strip() else {}
                if found.get("error"):
                    raise _Failed(str(found["error"]))
                yield found

    def _answer(
        self,
        connection: UnixConnection,
        method: str,
        path: str,
        body: Iterable[bytes] | None,
        headers: Mapping[str, str],
    ) -> http.client.HTTPResponse:
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # it has answered already, and takes no more
                connection.request(method, f"/{_VERSION}{path}", body, dict(headers), encode_chunked=True)
            answer = connection.getresponse()
        except (http.client.HTTPException, OSError) as error:
            raise unanswered(error) from error
        if answer.status >= 400:
            raise refusal(answer.status, answer.read(), "")
        return answer


def _texts(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield lines as they come; Unavailable where the answer is broken off, which the library takes for an end."""
    rest = b""
    try:
        while chunk := answer.read1(_READ):
            *whole, rest = (rest + chunk).split(b"\n")
            yield from whole
    except (http.client.HTTPException, OSError) as error:
        raise unanswered(error) from error
    if rest:
        yield rest


class _Failed(MobyError):
    """A build that failed elsewhere."""

    exit_code = 1


def build(caller: Caller, asked: Namespace) -> str:
    """Build where the engine is served, and print what it says; return the image's id."""
    _check(asked)
    with ExitStack() as held:
        found = context(asked, sys.stdin.buffer, held)
        dockerfile, body = _body(found)
        query = _query(asked, found, dockerfile)
        image = ""
        for each in caller.lines(f"/build?{urlencode(query, doseq=True)}", body, X_Registry_Config=_credentials(asked)):
            image = str((each.get("aux") or {}).get("ID") or image)
            _show(each, quiet=asked.quiet or asked.progress == "quiet")
    for name in asked.tag if asked.push else ():
        _push(caller, name, quiet=asked.quiet)
    return image


def _check(asked: Namespace) -> None:
    """Raise Unsupported for what POST /build of another process doesn't take."""
    missing = given(asked, _ELSEWHERE)
    if any(not each.startswith("type=registry,") and "=" in each for each in asked.cache_from):
        missing.append("--cache-from of another type than a registry")
    if missing:
        raise Unsupported(
            f"another process serves the engine, and its POST /build doesn't take {', '.join(missing)}",
            hint="build with docker buildx over its socket, or stop `serve` first",
        )


def _body(found: Context) -> tuple[str, Iterable[bytes] | None]:
    if found.url and not found.streams:
        return found.dockerfile, None
    if found.streams:
        stream = found.streams.pop(CONTEXT)
        return found.dockerfile, iter(lambda: stream.read(1 << 16), b"")
    return packed(found.folders[CONTEXT], found.folders.get("dockerfile"), found.dockerfile)


def _query(asked: Namespace, found: Context, dockerfile: str) -> dict[str, Any]:
    sources = [each.attributes.get("ref", "") for each in fields.cache_sources(asked.cache_from)]
    limits = [{"Name": name, "Soft": soft, "Hard": hard} for name, soft, hard in fields.ulimits(asked.ulimit)]
    query = {
        "remote": "" if found.url.startswith("stream:") else found.url,
        "dockerfile": dockerfile,
        "t": asked.tag,
        "target": asked.target,
        "buildargs": _json(fields.variables(asked.build_arg, os.environ)),
        "labels": _json(dict(each.partition("=")[::2] for each in asked.label)),
        "nocache": "1" if asked.no_cache else "",
        "pull": "1" if asked.pull else "",
        "networkmode": asked.network,
        "extrahosts": [f"{name}:{address}" for name, address in fields.hosts(asked.add_host)],
        "platform": ",".join(asked.platform),
        "shmsize": asked.shm_size,
        "ulimits": _json(limits),
        "memory": asked.memory,
        "memswap": asked.memory_swap,
        "cpushares": asked.cpu_shares,
        "cpusetcpus": asked.cpuset_cpus,
        "cpusetmems": asked.cpuset_mems,
        "cpuquota": asked.cpu_quota,
        "cpuperiod": asked.cpu_period,
        "cgroupparent": asked.cgroup_parent,
        "cachefrom": _json(sources),
    }
    return {key: value for key, value in query.items() if value}


def _json(value: Any) -> str:
    return json.dumps(value) if value else ""


def _credentials(asked: Namespace) -> str:
    """Return who the user is at the image registries whose names are given, and at the default one."""
    hosts = {references.parse(each).domain for each in asked.tag} | {references.DEFAULT_DOMAIN}
    known = {logins.key_of(each): logins.header(logins.saved(each)) for each in hosts}
    found = {host: json.loads(base64.urlsafe_b64decode(header)) for host, header in known.items() if header}
    return base64.urlsafe_b64encode(json.dumps(found).encode()).decode()


def _show(found: Mapping[str, Any], *, quiet: bool) -> None:
    if quiet:
        return
    text = str(found.get("stream") or "")
    if not text and found.get("status"):
        text = " ".join(filter(None, (str(found.get("id") or ""), str(found["status"])))) + "\n"
    sys.stderr.write(text)
    sys.stderr.flush()


def _push(caller: Caller, name: str, *, quiet: bool) -> None:
    reference = references.parse(name)
    who = logins.header(logins.saved(reference.domain))
    lines = ProgressLines(sys.stderr)
    path = f"/images/{quote(references.familiar_name(reference))}/push?{urlencode({'tag': reference.tag})}"
    for found in caller.lines(path, None, X_Registry_Auth=who or "e30="):
        if found.get("status") and not quiet:
            done = cast(dict[str, int], found.get("progressDetail") or {})
            shown = bar(done.get("current", 0), done.get("total", 0)) if done else ""
            lines.show(str(found["status"]), str(found.get("id") or ""), shown)
