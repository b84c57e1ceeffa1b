"""Folders over fsutil's protocol: taken from the client, and given to it."""

import stat as modes
from collections import deque
from collections.abc import Iterator

from moby.contracts.builder import Entry, Folder, Receiver
from moby.errors import Invalid, Unavailable
from moby_frontend.docker.buildkit.grpc import Exchange
from moby_frontend.docker.buildkit.protocol.lending import DATA, END, ERROR, REQUEST, STAT, Packet, Stat
from moby_frontend.docker.modes import go_mode, mode_of

__all__ = ["entry_of", "give", "take"]

_MOST_ENTRIES = 4_000_000
_CHUNK = 1 << 20


def take(exchange: Exchange, receiver: Receiver) -> None:
    """Take a folder that the client sends; Invalid where what it sends can't be a folder."""
    arrival = _Arrival(receiver)
    for packets in exchange.batches(Packet):
        wanted = [each for each in map(arrival.packet, _joined(packets)) if each is not None]
        if arrival.complete and not arrival.told:
            arrival.told = True
            exchange.send(*wanted, Packet(END), end=True)
        elif wanted:
            exchange.send(*wanted)
    if not arrival.told:
        raise Unavailable("the client ended a transfer of files before it was complete")


def _joined(packets: list[Packet]) -> Iterator[Packet]:
    """Yield packets, with pieces of one file that came together as one: fewer steps for large files."""
    at = 0
    while at < len(packets):
        first, end = packets[at], at + 1
        if first.type == DATA and first.data:
            while end < len(packets) and _goes_on(packets[end], first.id):
                end += 1
        if end - at > 1:
            first = Packet(DATA, None, first.id, b"".join(each.data for each in packets[at:end]))
        yield first
        at = end


def _goes_on(packet: Packet, number: int) -> bool:
    return packet.type == DATA and packet.id == number and bool(packet.data)


class _Arrival:
    """A folder on its way here."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._order = _Order()
        self._count = 0
        self._open: dict[int, str] = {}
        """Paths of files whose content is on its way, by their place in the list."""
        self._listed = False
        self.told = False
        """Whether the client knows that nothing more is wanted."""

    @property
    def complete(self) -> bool:
        return self._listed and not self._open

    def packet(self, packet: Packet) -> Packet | None:
        """Take a packet; return what is to be asked for."""
        if packet.type == STAT:
            return self._stat(packet.stat)
        if packet.type == DATA:
            path = self._open.get(packet.id)
            if path is None:
                raise Invalid(f"the client sent a file's content that nobody asked for ({packet.id})")
            self._receiver.content(path, packet.data)
            if not packet.data:
                del self._open[packet.id]
        elif packet.type == ERROR:
            raise Unavailable(f"error from sender: {packet.data[:1000].decode('utf-8', 'replace')}")
        elif packet.type != END:
            raise Invalid(f"the client sent a packet of the unknown type {packet.type}")
        return None

    def _stat(self, stat: Stat | None) -> Packet | None:
        if stat is None:
            self._listed = True
            return None
        if self._listed or self._count >= _MOST_ENTRIES:
            raise Invalid("the client lists files without end")
        number = self._count
        self._count += 1
        entry = entry_of(stat)
        self._order.check(entry)
        if not (self._receiver.entry(entry) and modes.S_ISREG(entry.mode) and not entry.link):
            return None
        self._open[number] = entry.path
        return Packet(REQUEST, None, number)


class _Order:
    """Proves that entries are a tree: folders before what is in them, names in byte order, links to what was there."""

    def __init__(self) -> None:
        self._folders: list[tuple[str, bytes]] = [("", b"")]
        """Folders down to where the list is, and the last name in each."""
        self._files: set[str] = set()

    def check(self, entry: Entry) -> None:
        """Take the next entry; Invalid names what is wrong with it."""
        path = entry.path
        parent, _, name = path.rpartition("/")
        if name in {"", ".", ".."} or path[0] == "/" or "\0" in path:
            raise Invalid(f"the client sent a file with the name {path[:200]!r}")
        folders = self._folders
        while folders and folders[-1][0] != parent:
            folders.pop()
        key = name.encode("utf-8", "surrogateescape")
        if not folders:
            raise Invalid(f"the client sent {path[:200]!r} without the folder that it is in")
        if key <= folders[-1][1]:
            raise Invalid(f"the client sent {path[:200]!r} out of order")
        folders[-1] = (parent, key)
        if modes.S_ISDIR(entry.mode):
            folders.append((path, b""))
        elif modes.S_ISREG(entry.mode):
            if entry.link and entry.link not in self._files:
                raise Invalid(f"the client sent {path[:200]!r} as a link to {entry.link[:200]!r}, which isn't there")
            self._files.add(path)


def entry_of(stat: Stat) -> Entry:
    """Return a file as the client describes it; Invalid for one that can't be."""
    mode = mode_of(stat.mode)
    link = stat.link
    if modes.S_ISREG(mode):
        link = link.removeprefix("/")
    if stat.size < 0 or not (0 <= stat.uid < 1 << 32 and 0 <= stat.gid < 1 << 32) or "\0" in link:
        raise Invalid(f"the client sent {stat.path[:200]!r} with a size, an owner or a link that can't be")
    if not (0 <= stat.major < 1 << 32 and 0 <= stat.minor < 1 << 32):
        raise Invalid(f"the client sent {stat.path[:200]!r} with a device that can't be")
    return Entry(
        stat.path, mode, stat.uid, stat.gid, stat.size, stat.time_ns, link, (stat.major, stat.minor), stat.xattrs
    )


# Giving -------------------------------------------------------------------------------------------------------------


def give(exchange: Exchange, folder: Folder) -> None:
    """Send a folder to the client, as much of it as it wants."""
    files: dict[int, str] = {}
    wanted: deque[Packet] = deque()
    for number, entry in enumerate(folder.entries()):
        if modes.S_ISREG(entry.mode):
            files[number] = entry.path
        exchange.send(Packet(STAT, _stat_of(entry)))
        wanted.extend(exchange.waiting(Packet))
    exchange.send(Packet(STAT))
    for packet in _packets(exchange, wanted):
        if packet.type == REQUEST:
            path = files.pop(packet.id, None)
            if path is None:
                raise Invalid(f"the client asked for a file that isn't there ({packet.id})")
            _give_file(exchange, folder, packet.id, path)
        elif packet.type == ERROR:
            raise Unavailable(f"error from receiver: {packet.data[:1000].decode('utf-8', 'replace')}")
        elif packet.type == END:
            exchange.send(Packet(END), end=True)
            exchange.finish()
            return
    raise Unavailable("the client ended a transfer of files before it was complete")


def _packets(exchange: Exchange, first: deque[Packet]) -> Iterator[Packet]:
    yield from first
    for batch in exchange.batches(Packet):
        yield from batch


def _give_file(exchange: Exchange, folder: Folder, number: int, path: str) -> None:
    with folder.open(path) as file:
        while chunk := file.read(_CHUNK):
            exchange.send(Packet(DATA, None, number, chunk))
    exchange.send(Packet(DATA, None, number))


def _stat_of(entry: Entry) -> Stat:
    return Stat(
        entry.path, go_mode(entry.mode), entry.uid, entry.gid, entry.size_bytes, entry.time_ns, entry.link,
        *entry.device, dict(entry.xattrs),
    )  # fmt: skip
