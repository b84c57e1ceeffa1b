"""Which services are asked for a repository, how, and with which certificates."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from attrs import field, frozen

from moby.errors import Invalid
from moby.oci.reference import DEFAULT_DOMAIN

__all__ = ["Service", "Settings"]

HUB = "registry-1.docker.io"
_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d{1,5})?|\[[0-9A-Fa-f:]+\](:\d{1,5})?")
_URL = re.compile(r"(https?)://([^/?#@\s]+)(/[A-Za-z0-9._/-]*)?")


@frozen
class Service:
    """One place to ask: an image registry, or a mirror of one."""

    host: str
    schemes: tuple[str, ...]
    """Which to try, in order."""
    prefix: str = ""
    """What comes before `/v2/`."""
    mirror: bool = False


@frozen
class Settings:
    """What an administrator says of image registries."""

    insecure: tuple[str, ...] = ()
    mirrors: Mapping[str, tuple[str, ...]] = field(factory=dict)
    certificates: str = ""
    attempts: int = 5
    stall_s: float = 60.0

    def services(self, domain: str) -> Iterator[Service]:
        """Yield the mirrors of a domain, then itself; Invalid for a mirror that is no URL of a service."""
        for url in self.mirrors.get(domain, ()):
            found = _URL.fullmatch(url.rstrip("/"))
            if not found or not _HOST.fullmatch(found[2]):
                raise Invalid(f"mirror {url!r} of {domain} is no URL of an image registry", hint="write https://HOST")
            if found[1] == "http" and not self.may_be_plain(found[2]):
                raise Invalid(f"mirror {url!r} of {domain} is plain HTTP", hint=f"name {found[2]} insecure as well")
            yield Service(found[2], (found[1],), (found[3] or "").removesuffix("/v2"), mirror=True)
        yield self.origin(domain)

    def origin(self, domain: str) -> Service:
        """Return the service that a domain itself is."""
        if domain == DEFAULT_DOMAIN:
            return Service(HUB, ("https",))
        return Service(domain, ("https", "http") if self.may_be_plain(domain) else ("https",))

    def may_be_plain(self, host: str) -> bool:
        """Whether a host may be asked over plain HTTP, and its certificate be anybody's."""
        name, address = _place(host)
        return name == "localhost" or (address is not None and address.is_loopback) or self._is_named(host)

    def may_lead(self, source: str, url: str) -> bool:
        """Whether a host may send to a URL: by TLS, or to one that may be plain; a foreign one not to what is local."""
        try:
            parts = urlsplit(url)
            known = bool(parts.hostname) and parts.port != 0  # which reads the port
        except ValueError:
            return False
        if parts.scheme != "http":
            return parts.scheme == "https" and known
        return known and self.may_be_plain(parts.netloc) and (self._is_named(parts.netloc) or self.may_be_plain(source))

    def _is_named(self, host: str) -> bool:
        name, address = _place(host)
        named = host in self.insecure or name in self.insecure
        return named or (address is not None and any(address in each for each in self._networks()))

    def _networks(self) -> Iterator["ipaddress.IPv4Network | ipaddress.IPv6Network"]:
        for each in self.insecure:
            if "/" in each:
                try:
                    yield ipaddress.ip_network(each)
                except ValueError as error:
                    raise Invalid(f"insecure image registries: {each!r} is no network: {error}") from error

    def certificate_files(self, host: str) -> tuple[list[Path], list[tuple[Path, Path]]]:
        """Return files of authorities to trust for a host, and pairs of certificate and key to show it."""
        folder = Path(self.certificates, host)
        if not self.certificates or not folder.is_dir():
            return [], []
        trusted = sorted(folder.glob("*.crt"))
        shown = []
        for certificate in sorted(folder.glob("*.cert")):
            key = certificate.with_suffix(".key")
            if not key.exists():
                raise Invalid(f"{certificate} has no key beside it", hint=f"put it at {key}")
            shown.append((certificate, key))
        return trusted, shown


def _place(host: str) -> "tuple[str, ipaddress.IPv4Address | ipaddress.IPv6Address | None]":
    """Return a host's name without its port, and the address that this is, if it is one."""
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    try:
        return name, ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return name, None
