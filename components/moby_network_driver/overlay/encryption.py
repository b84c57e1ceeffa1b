"""What hosts of encrypted networks send each other is encrypted by the kernel (IPsec, ESP), each way with own keys.

A port is for these networks alone, and the kernel lets nothing through there that isn't encrypted: neither out, where
a key isn't there yet, nor in, whoever sent it.
"""

import errno
import hashlib
import hmac
from collections.abc import Collection, Mapping

from moby.contracts.ambient import Clock
from moby.errors import HostUnfit
from moby.host import xfrm
from moby.host.netlink import Channel
from moby.host.xfrm import Association
from moby_network_driver.overlay.directory import Directory, Host, Key

__all__ = ["Encryption"]

_NOTICE_NS = 60 * 10**9
"""How long all hosts have for reading a new key before it is used."""
_LOOK_NS = 10 * 10**9
_RESERVED_SPIS = 256


class Encryption:
    """The associations of this host with all others; the kernel is asked from the first need of it on."""

    def __init__(self, directory: Directory, owner: int, port: int, clock: Clock, lifetime_ns: int) -> None:
        self._directory = directory
        self._owner, self._port = owner, port
        self._clock = clock
        self._lifetime_ns = lifetime_ns
        self._opened: Channel | None = None
        self._settled_ns = 0
        self._stood: Collection[Association] = ()
        """What this process has made stand."""

    @property
    def _channel(self) -> Channel:
        if self._opened is None:
            self._opened = Channel(xfrm.PROTOCOL)
        return self._opened

    def close(self) -> None:
        """Let go of the kernel; what stands stays."""
        if self._opened:
            self._opened.close()
            self._opened = None

    def stands(self) -> bool:
        """Whether this host has associations, of this process or one before it."""
        return bool(xfrm.associations(self._channel, self._owner))

    def due(self) -> bool:
        """Whether it is time to look at the keys again."""
        return self._clock.now_ns() >= self._settled_ns + _LOOK_NS

    def begin(self, local: str) -> None:
        """Have the port be for what is encrypted; HostUnfit where the kernel can't, and then nothing has changed."""
        probe = Association(local, local, _RESERVED_SPIS + 1, self._owner)
        try:
            if probe not in xfrm.associations(self._channel, self._owner):
                self._channel.run(xfrm.add(probe, bytes(xfrm.KEY_BYTES)))
            self._channel.run(xfrm.remove(probe))
            if xfrm.policies(self._channel).count(self._port) < len(xfrm.unrequire(self._port)):
                self._channel.run(*xfrm.require(self._port, self._owner))
        except OSError as error:
            raise HostUnfit(
                f"this kernel doesn't encrypt: {error.strerror}",
                hint="load esp4, esp6 and gcm (modprobe), or leave out --opt encrypted",
            ) from error

    def settle(self, own: Host, others: Collection[Host]) -> bool:
        """Have the associations be those with these hosts; return whether some were lost, so that all take new keys."""
        now = self._settled_ns = self._clock.now_ns()
        keys = self._directory.renew_keys(now, self._lifetime_ns, _NOTICE_NS)
        wanted = self._wanted(own, others, keys, now)
        there = set(xfrm.associations(self._channel, self._owner))
        new = {each: key for each, key in wanted.items() if each not in there}
        self._channel.run(*(xfrm.add(each, key) for each, key in new.items()))
        self._channel.run(*(xfrm.remove(each) for each in there if each not in wanted))
        lost = any(each in self._stood and each.source == own.address for each in new)
        self._stood = frozenset(wanted)
        return lost

    def _wanted(
        self, own: Host, others: Collection[Host], keys: Collection[Key], now_ns: int
    ) -> Mapping[Association, bytes]:
        """Return what is to be sent with the newest key whose time has come, and understood with each."""
        used = [each for each in keys if each.from_ns <= now_ns][-1:] or list(keys)[:1]
        found: dict[Association, bytes] = {}
        for each in others:
            if each.address == own.address:
                continue
            found |= dict([*(self._one(each, own, key) for key in keys), *(self._one(own, each, key) for key in used)])
        return found

    def _one(self, source: Host, destination: Host, key: Key) -> tuple[Association, bytes]:
        """Return what goes one way, and its key: no two ever have the same, since their packets count from 1."""
        text = f"{source.id} {source.boot} {destination.id} {key.number}".encode()
        first, second = (hmac.digest(bytes.fromhex(key.secret), text + each, hashlib.sha256) for each in (b" 1", b" 2"))
        spi = max(int.from_bytes(second[-4:], "big"), _RESERVED_SPIS + 2)
        return Association(source.address, destination.address, spi, self._owner), first + second[:4]

    def end(self) -> None:
        """Take it all back; nothing where there is nothing, or the kernel has none of it."""
        try:
            there = xfrm.associations(self._channel, self._owner)
        except OSError as error:
            if error.errno not in (errno.EPROTONOSUPPORT, errno.EOPNOTSUPP):
                raise
            return
        self._channel.run(*(xfrm.remove(each) for each in there))
        if self._port in xfrm.policies(self._channel):
            self._channel.run(*xfrm.unrequire(self._port))
