"""Verbs of the engine as a whole: what is below `system`."""

from collections.abc import Sequence

from moby.errors import Invalid
from moby_containers.command import dialing, streams, usage, words
from moby_containers.command.below import below, confirmed
from moby_containers.command.client import Client, query
from moby_containers.command.looking import events, filters, info
from moby_containers.command.verb import Parser, say

__all__ = ["system"]

_VERBS = {"df": usage.df, "events": events, "info": info}


def system(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Do something with the engine as a whole."""
    verb, rest = below(parser, arguments, (*_VERBS, "dial-stdio", "prune"))
    if verb == "dial-stdio":
        return _dial(client, parser, rest)
    return _prune(client, parser, rest) if verb == "prune" else _VERBS[verb](client, parser, rest)


def _dial(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Be a connection to the engine, at standard input and output."""
    parser.parse_args(arguments)
    streams.flush()
    return 0 if dialing.relay(client.connection()) else 1


def _prune(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Remove what nobody uses."""
    parser.add_argument("-a", "--all", action="store_true")
    parser.add_argument("-f", "--force", action="store_true")
    parser.add_argument("--volumes", action="store_true")
    parser.add_argument("--filter", action="append", default=[])
    asked = parser.parse_args(arguments)
    chosen = filters(asked.filter)
    if asked.volumes and "until" in chosen:
        raise Invalid('ERROR: The "until" filter is not supported with "--volumes"')
    if not asked.force and not confirmed(_warning(sorted(asked.filter), every=asked.all, volumes=asked.volumes)):
        return 0
    images = {**chosen, "dangling": ["false" if asked.all else "true"]}
    calls = [
        ("containers", chosen, "Deleted Containers:", "ContainersDeleted"),
        ("networks", chosen, "Deleted Networks:", "NetworksDeleted"),
        *([("volumes", chosen, "Deleted Volumes:", "VolumesDeleted")] if asked.volumes else []),
        ("images", images, "Deleted Images:", "ImagesDeleted"),
        ("build", chosen, "Deleted build cache objects:", "CachesDeleted"),
    ]
    reclaimed = 0
    for what, which, title, key in calls:
        more = query(filters=which, all=asked.all and what == "build")
        done = client.post(f"/{what}/prune{more}")
        reclaimed += done.get("SpaceReclaimed") or 0
        if done.get(key):
            say("\n".join([title, *(_word(each) for each in done[key]), ""]))
    say(f"Total reclaimed space: {words.size(reclaimed, 4)}")
    return 0


def _word(deleted: str | dict[str, str]) -> str:
    """Return what was removed; of an image its name or an id, each said as what it is."""
    if isinstance(deleted, str):
        return deleted
    return f"untagged: {deleted['Untagged']}" if deleted.get("Untagged") else f"deleted: {deleted['Deleted']}"


def _warning(given: Sequence[str], *, every: bool, volumes: bool) -> str:
    unused = "not used by at least one container"
    lines = [
        "WARNING! This will remove:",
        "  - all stopped containers",
        f"  - all networks {unused}",
        *([f"  - all anonymous volumes {unused}"] if volumes else []),
        "  - all images without at least one container associated to them" if every else "  - all dangling images",
        "  - all build cache" if every else "  - unused build cache",
        "",
        *(["  Items to be pruned will be filtered with:", *(f"  - {each}" for each in given), ""] if given else []),
    ]
    return "\n".join(lines)
