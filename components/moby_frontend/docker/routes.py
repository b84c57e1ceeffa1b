"""The routes of the API as data: method, path, the module and function that answers, the version that brought it.

`{name}` takes one part of a path, `{name:*}` as many as there are, as names of images and of links have slashes.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

from moby.values import frozen
from moby_frontend.docker.call import Version

__all__ = ["ROUTES", "Route", "find"]


@frozen
class Route:
    """What answers at a path."""

    method: str
    pattern: str
    handler: str
    """Module below `handlers`, a dot, and its function."""
    since: Version = (1, 24)
    changes: bool = True
    """Whether it changes anything, shows what isn't for everybody, or has the engine call whom its client names."""


def _route(line: str) -> Route:
    method, pattern, handler, *rest = line.split()
    since = next((each for each in rest if each[0].isdigit()), "1.24")
    major, minor = since.split(".")
    return Route(method, pattern, handler, (int(major), int(minor)), "reads" not in rest)


_TABLE = """
HEAD    /_ping                              system.ping                 reads
GET     /_ping                              system.ping                 reads
GET     /version                            system.version              reads
GET     /info                               system.info                 reads
GET     /system/df                          usage.df            1.25    reads
GET     /events                             events.events               reads
POST    /auth                               images_registry.auth

GET     /containers/json                    listing.containers          reads
GET     /containers/ps                      listing.containers          reads
POST    /containers/create                  lifecycle.create
POST    /containers/prune                   lifecycle.prune     1.25
GET     /containers/{name}/json             inspection.inspect          reads
GET     /containers/{name}/top              inspection.top              reads
GET     /containers/{name}/changes          inspection.changes          reads
GET     /containers/{name}/stats            stats.stats                 reads
GET     /containers/{name}/logs             logs.logs                   reads
GET     /containers/{name}/export           archives.export
GET     /containers/{name}/attach/ws        websocket.attach
POST    /containers/{name}/attach           attaching.attach
POST    /containers/{name}/start            lifecycle.start
POST    /containers/{name}/stop             lifecycle.stop
POST    /containers/{name}/restart          lifecycle.restart
POST    /containers/{name}/kill             lifecycle.kill
POST    /containers/{name}/pause            lifecycle.pause
POST    /containers/{name}/unpause          lifecycle.unpause
POST    /containers/{name}/rename           lifecycle.rename
POST    /containers/{name}/update           lifecycle.update
POST    /containers/{name}/resize           lifecycle.resize
POST    /containers/{name}/wait             waiting.wait
POST    /containers/{name}/exec             execs.create
HEAD    /containers/{name}/archive          archives.stat               reads
GET     /containers/{name}/archive          archives.read
PUT     /containers/{name}/archive          archives.write
GET     /containers/{name}/checkpoints      absent.experimental 1.25    reads
POST    /containers/{name}/checkpoints      absent.experimental 1.25
DELETE  /containers/{name}/checkpoints/{id} absent.experimental 1.25
DELETE  /containers/{name:*}                lifecycle.remove
POST    /commit                             lifecycle.commit
GET     /exec/{id}/json                     execs.inspect               reads
POST    /exec/{id}/start                    execs.start
POST    /exec/{id}/resize                   execs.resize

GET     /images/json                        images.listed               reads
GET     /images/search                      searching.search
GET     /images/get                         images.save
POST    /images/load                        images.load
POST    /images/create                      images.create
POST    /images/prune                       images.prune        1.25
GET     /images/{name:*}/get                images.save
GET     /images/{name:*}/json               images.inspect              reads
GET     /images/{name:*}/history            images.history              reads
POST    /images/{name:*}/push               images_registry.push
POST    /images/{name:*}/tag                images.tag
DELETE  /images/{name:*}                    images.remove
GET     /distribution/{name:*}/json         images_registry.distribution 1.30
POST    /build                              builds.build
POST    /build/prune                        cache.prune         1.31
POST    /build/cancel                       builds.cancel       1.31
POST    /session                            building.session    1.39
POST    /grpc                               building.grpc       1.39

GET     /volumes                            volumes.listed              reads
POST    /volumes/create                     volumes.create
POST    /volumes/prune                      volumes.prune       1.25
GET     /volumes/{name}                     volumes.inspect             reads
PUT     /volumes/{name}                     absent.volume_update 1.42
DELETE  /volumes/{name}                     volumes.remove

GET     /networks                           networks.listed             reads
GET     /networks/                          networks.listed             reads
POST    /networks/create                    networks.create
POST    /networks/prune                     networks.prune      1.25
GET     /networks/{name}                    networks.inspect            reads
POST    /networks/{name}/connect            networks.connect
POST    /networks/{name}/disconnect         networks.disconnect
DELETE  /networks/{name}                    networks.remove

GET     /plugins                            absent.plugins      1.25    reads
GET     /plugins/privileges                 absent.no_plugins   1.25    reads
POST    /plugins/pull                       absent.no_plugins   1.25
POST    /plugins/create                     absent.no_plugins   1.25
GET     /plugins/{name:*}/json              absent.plugin       1.25    reads
POST    /plugins/{name:*}/enable            absent.plugin       1.25
POST    /plugins/{name:*}/disable           absent.plugin       1.25
POST    /plugins/{name:*}/upgrade           absent.plugin       1.26
POST    /plugins/{name:*}/push              absent.plugin       1.25
POST    /plugins/{name:*}/set               absent.plugin       1.25
DELETE  /plugins/{name:*}                   absent.plugin       1.25

GET     /swarm                              cluster.inspect
POST    /swarm/init                         cluster.init
POST    /swarm/join                         cluster.join
POST    /swarm/leave                        cluster.leave
POST    /swarm/update                       cluster.update
GET     /swarm/unlockkey                    cluster.unlock_key
POST    /swarm/unlock                       cluster.unlock
GET     /nodes                              nodes.listed                reads
GET     /nodes/{id}                         nodes.inspect               reads
DELETE  /nodes/{id}                         nodes.remove
POST    /nodes/{id}/update                  nodes.update
GET     /services                           services.listed             reads
POST    /services/create                    services.create
GET     /services/{id}                      services.inspect            reads
DELETE  /services/{id}                      services.remove
POST    /services/{id}/update               services.update
GET     /services/{id}/logs                 services.logs       1.25    reads
GET     /tasks                              tasks.listed                reads
GET     /tasks/{id}                         tasks.inspect               reads
GET     /tasks/{id}/logs                    tasks.logs          1.29    reads
GET     /secrets                            secrets.secrets     1.25    reads
POST    /secrets/create                     secrets.create_secret 1.25
GET     /secrets/{id}                       secrets.secret      1.25    reads
DELETE  /secrets/{id}                       secrets.remove_secret 1.25
POST    /secrets/{id}/update                secrets.update_secret 1.25
GET     /configs                            secrets.configs     1.30    reads
POST    /configs/create                     secrets.create_config 1.30
GET     /configs/{id}                       secrets.config      1.30    reads
DELETE  /configs/{id}                       secrets.remove_config 1.30
POST    /configs/{id}/update                secrets.update_config 1.30
"""
ROUTES = tuple(_route(line) for line in _TABLE.splitlines() if line)


@lru_cache(maxsize=1)
def _compiled() -> Mapping[tuple[str, str], tuple[tuple[re.Pattern[str], Route], ...]]:
    """Return the routes by method and first part of the path."""
    found: dict[tuple[str, str], list[tuple[re.Pattern[str], Route]]] = {}
    for each in ROUTES:
        first = each.pattern.split("/")[1]
        found.setdefault((each.method, first), []).append((_expression(each.pattern), each))
    return {key: tuple(routes) for key, routes in found.items()}


def _expression(pattern: str) -> re.Pattern[str]:
    text = re.sub(r"\{(\w+):\*\}", r"(?P<\1>.+)", pattern)
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", text))


def find(method: str, path: str, version: Version) -> tuple[Route, dict[str, str]] | None:
    """Return what answers at a path and what its pattern took, None where nothing does."""
    first = path.split("/", 2)[1] if path.startswith("/") else ""
    for expression, route in _compiled().get((method, first), ()):
        match = expression.fullmatch(path)
        if match and version >= route.since:
            return route, match.groupdict()
    return None
