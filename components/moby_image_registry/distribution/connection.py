"""Requests to one host or another, each tried again where that may help, and never over plain HTTP unasked."""

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, Any, Protocol, cast
from urllib.parse import urljoin, urlsplit

import urllib3
from attrs import field, frozen

from moby.errors import HostUnfit, Unavailable
from moby_image_registry.distribution.settings import Service, Settings
from moby_image_registry.distribution.words import in_words

__all__ = ["LONGEST_TEXT", "Answer", "Asked", "Connections", "Wait"]

LONGEST_TEXT = 4 << 20
"""Of what is kept in memory: manifests, tokens, lists."""
_CONNECT_S = 15.0
_REDIRECTS = 5
_MOST_POOLS = 64
"""Of hosts, which foreign ones name; what is used least goes."""
_LITTLE_BYTES = 4096
_MOVED = frozenset({301, 302, 303, 307, 308})
_BUSY = frozenset({408, 429, 500, 502, 503, 504})
_LONGEST_WAIT_S = 30.0
_FIRST_WAIT_S = 0.2
# A name that isn't known, a port that is closed, a certificate that doesn't fit: these are tried twice at most.
_PLAIN = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.SSLError)

# Whose certificate isn't looked at an administrator has said by name.
urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

Answer = urllib3.BaseHTTPResponse
Wait = Callable[[float], object]
"""Waits so many seconds."""
_OF_ANOTHER_TIME = (9, 10)
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED (openssl, x509_vfy.h)."""
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
"""What OpenSSL says of an answer in plain HTTP, by its version."""


class Body(Protocol):
    """What a request sends."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to so many bytes, none at the end."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


@frozen
class Asked:
    """One request, the same for each service that it is made of."""

    method: str
    path: str
    """From `/v2/` on, or a whole URL."""
    headers: Mapping[str, str] = field(factory=dict)
    body: Callable[[], Body] | None = None
    size_bytes: int = 0
    again: bool = True
    """Whether it may be made again after it failed."""


class Connections:
    """Keeps connections to hosts. Thread-safe."""

    def __init__(self, settings: Settings, wait: Wait) -> None:
        self._settings = settings
        self._wait = wait
        self._lock = threading.Lock()
        self._pools: dict[tuple[str, str], urllib3.HTTPConnectionPool] = {}
        self._works: dict[str, str] = {}

    @contextmanager
    def answer(self, service: Service, asked: Asked, secret: str = "") -> Iterator[Answer]:
        """Lend the answer to a request: of any status but of those that may get better, of which these are tried again.

        `secret` is the Authorization header, which is shown to the service's own host alone. Unavailable where no
        answer comes.
        """
        last: Exception | None = None
        for number in range(self._settings.attempts if asked.again else 1):
            if number:
                self._wait(min(_FIRST_WAIT_S * 4 ** (number - 1), _LONGEST_WAIT_S))
            try:
                response = self._once(service, asked, secret)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                last = error
                if number and isinstance(error, _PLAIN):
                    break
                continue
            with _closing(response):
                if response.status not in _BUSY:
                    yield response
                    return
                last = None
                self._rest(response)
                if number + 1 == self._settings.attempts or not asked.again:
                    yield response
                    return
        raise self._unreachable(service, last)

    def scheme(self, service: Service) -> str:
        """Return how a service was reached last, else how it will be tried first."""
        return self._works.get(service.host, service.schemes[0])

    def _rest(self, response: Answer) -> None:
        """Wait as long as the service asks for (RFC 9110, 10.2.3), within reason."""
        asked = response.headers.get("Retry-After", "")
        if asked.isascii() and asked.isdigit():
            self._wait(min(float(asked), _LONGEST_WAIT_S))

    def _once(self, service: Service, asked: Asked, secret: str) -> Answer:
        known = self._works.get(service.host)
        error: Exception | None = None
        for scheme in (known,) if known else service.schemes:
            url = urljoin(f"{scheme}://{service.host}", _path(service, asked.path))
            try:
                if urlsplit(url).netloc != service.host:  # as where an upload goes on, in whichever way this is
                    url = self._allowed(service, url, url)
                response = self._follow(service, url, asked, secret)
            except urllib3.exceptions.HTTPError as failure:
                error = failure
                continue
            self._works[service.host] = scheme
            return response
        assert error is not None, "a service has a scheme"
        raise error

    def _follow(self, service: Service, url: str, asked: Asked, secret: str) -> Answer:
        """Make a request, and go where the answer sends it."""
        for _ in range(_REDIRECTS + 1):
            own = urlsplit(url).netloc == service.host
            response = self._send(url, asked, secret if own else "")
            if not own:  # what the service sends to may not say who is to be shown its credentials
                response.headers.pop("WWW-Authenticate", None)
            target = response.headers.get("Location")
            if response.status not in _MOVED or not target or asked.method not in ("GET", "HEAD"):
                return response
            _drop(response)
            url = self._allowed(service, url, target)
        raise urllib3.exceptions.ResponseError(f"{service.host} redirects more than {_REDIRECTS} times")

    def _allowed(self, service: Service, source: str, target: str) -> str:
        """Return where a redirection leads, unless that is somewhere that may not be asked."""
        with suppress(ValueError):  # where it is no URL
            found = urljoin(source, target)
            if self._settings.may_lead(service.host, found):
                return found
            target = found
        raise urllib3.exceptions.ResponseError(f"{urlsplit(source).netloc} redirects to {target[:100]}")

    def _send(self, url: str, asked: Asked, secret: str) -> Answer:
        parts = urlsplit(url)
        headers = {**asked.headers, **({"Authorization": secret} if secret else {})}
        body = asked.body() if asked.body else None
        if body is not None or asked.method in ("POST", "PUT", "PATCH"):
            headers["Content-Length"] = str(asked.size_bytes)
        try:
            return self._pool(parts.scheme, parts.netloc).urlopen(
                asked.method, parts._replace(scheme="", netloc="", fragment="").geturl() or "/",
                body=cast("IO[Any]", body), headers=headers, redirect=False, retries=False, preload_content=False,
                decode_content=False, assert_same_host=False,
                timeout=urllib3.Timeout(connect=_CONNECT_S, read=self._settings.stall_s),
            )  # fmt: skip
        finally:
            if body is not None:
                body.close()

    def _pool(self, scheme: str, host: str) -> urllib3.HTTPConnectionPool:
        with self._lock:
            found = self._pools.pop((scheme, host), None)
            if found is None:
                options: dict[str, Any] = {"maxsize": 8, "block": False}
                if scheme == "https":
                    options["ssl_context"] = self._tls(host)
                found = urllib3.connection_from_url(f"{scheme}://{host}", **options)
            self._pools[scheme, host] = found
            if len(self._pools) > _MOST_POOLS:
                del self._pools[next(iter(self._pools))]
        return found

    def _tls(self, host: str) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._settings.may_be_plain(host):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        trusted, shown = self._settings.certificate_files(host)
        try:
            for each in trusted:
                context.load_verify_locations(cafile=each)
            for certificate, key in shown:
                context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            where = f"{self._settings.certificates}/{host}"
            raise HostUnfit(f"a certificate in {where} can't be read: {error}", hint="mend or remove it") from error
        return context

    def _unreachable(self, service: Service, error: Exception | None) -> Unavailable:
        hint = "check its name, and the network between"
        if isinstance(error, urllib3.exceptions.SSLError):
            hint = (
                _help(error)
                or f"put its authority's certificate into {self._settings.certificates}/{service.host}/ca.crt"
            )
        return Unavailable(f"the image registry {service.host} gives no answer: {in_words(error)}", hint=hint)


def _help(error: urllib3.exceptions.SSLError) -> str:
    """Return what helps where it isn't that nobody vouches for a certificate."""
    reason = error.args[0] if error.args else None
    if isinstance(reason, ssl.SSLCertVerificationError) and reason.verify_code in _OF_ANOTHER_TIME:
        return "see whether this host's clock is right, and until when the certificate holds"
    if getattr(reason, "reason", "") in _NO_TLS:
        return "if it speaks plain HTTP, name it among `insecure` of image-registry/distribution"
    return ""


def _path(service: Service, path: str) -> str:
    return path if "://" in path else service.prefix + path


def _drop(response: Answer) -> None:
    """Let go of an answer that isn't read; its connection is used again only where little is left."""
    left = response.length_remaining  # as the connection counts it, whatever headers say
    response.drain_conn() if left is not None and left < _LITTLE_BYTES else response.close()
    response.release_conn()


@contextmanager
def _closing(response: Answer) -> Iterator[None]:
    try:
        yield
    except BaseException:
        response.close()
        raise
    finally:
        _drop(response)
