"""The command line of `compose`: which verbs there are and what they take."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["parse"]

_Add = Callable[..., Any]


class Parser(argparse.ArgumentParser):
    """A command line; wrong usage ends with 2."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "allow_abbrev": False})


def parse(prefix: str, arguments: Sequence[str]) -> argparse.Namespace:
    """Return what was asked for; SystemExit for wrong usage, and for help."""
    parser = Parser(prog=prefix, description="Run applications as compose files describe them.")
    parser.add_argument(
        "-f", "--file", action="append", default=[], help="a compose file; later ones override earlier ones"
    )
    parser.add_argument("-p", "--project-name", default="", help="the project's name")
    parser.add_argument("--project-directory", default="", help="folder that relative paths start from")
    parser.add_argument("--profile", action="append", default=[], help="profile to enable")
    parser.add_argument("--env-file", action="append", default=[], help="file with environment variables")
    parser.add_argument("--progress", choices=("auto", "tty", "plain", "quiet"), default="auto")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, (text, build) in _VERBS.items():
        build(verbs.add_parser(name, help=text, description=text).add_argument)
    return parser.parse_args(arguments)


def _services(add: _Add) -> None:
    add("services", nargs="*", metavar="SERVICE")


def _timeout(add: _Add) -> None:
    add("-t", "--timeout", type=int, default=None, help="seconds to wait before killing containers that don't stop")


def _creating(add: _Add) -> None:
    add("--build", action="store_true", help="build images first")
    add("--no-build", action="store_true", help="build nothing, even if an image is missing")
    add("--force-recreate", action="store_true", help="recreate all containers")
    add("--no-recreate", action="store_true", help="recreate no container")
    add("--pull", choices=("always", "missing", "never", "policy"), default="policy")
    add("--remove-orphans", action="store_true", help="remove containers of services that no compose file defines")
    add("--scale", action="append", default=[], metavar="SERVICE=NUMBER")


def _up(add: _Add) -> None:
    _creating(add)
    _timeout(add)
    add("-d", "--detach", action="store_true", help="run containers in the background")
    add("--no-deps", action="store_true", help="don't start linked services")
    add("--no-start", action="store_true", help="create containers without starting them")
    add("--always-recreate-deps", action="store_true", help="also recreate the services they depend on")
    add(
        "-V",
        "--renew-anon-volumes",
        action="store_true",
        help="recreate anonymous volumes instead of keeping their data",
    )
    add("--wait", action="store_true", help="wait until all are running or healthy")
    add("--abort-on-container-exit", action="store_true", help="stop all containers when one exits")
    add("--exit-code-from", default="", metavar="SERVICE", help="exit with the exit code of this service's container")
    add("--no-log-prefix", action="store_true")
    _services(add)


def _create(add: _Add) -> None:
    _creating(add)
    _services(add)


def _down(add: _Add) -> None:
    _timeout(add)
    add("-v", "--volumes", action="store_true", help="also remove volumes")
    add("--rmi", choices=("all", "local"), default="", help="also remove images")
    add("--remove-orphans", action="store_true", help="remove containers of services that no compose file defines")
    _services(add)


def _stop(add: _Add) -> None:
    _timeout(add)
    _services(add)


def _restart(add: _Add) -> None:
    add("--no-deps", action="store_true")
    _stop(add)


def _kill(add: _Add) -> None:
    add("-s", "--signal", default="SIGKILL")
    add("--remove-orphans", action="store_true")
    _services(add)


def _rm(add: _Add) -> None:
    add("-f", "--force", action="store_true", help="don't ask for confirmation")
    add("-s", "--stop", action="store_true", help="stop them first")
    add("-v", "--volumes", action="store_true", help="remove their anonymous volumes")
    _services(add)


def _ps(add: _Add) -> None:
    add("-a", "--all", action="store_true", help="include stopped containers")
    add("-q", "--quiet", action="store_true", help="print only ids")
    add("--services", dest="names", action="store_true", help="print only the names of services")
    add("--format", choices=("table", "json"), default="table")
    _services(add)


def _logs(add: _Add) -> None:
    add("-f", "--follow", action="store_true")
    add("-n", "--tail", default="all")
    add("-t", "--timestamps", action="store_true")
    add("--since", default="")
    add("--until", default="")
    add("--no-log-prefix", action="store_true")
    _services(add)


def _inside(add: _Add) -> None:
    add("-T", "--no-TTY", dest="plain", action="store_true", help="allocate no terminal")
    add("-e", "--env", action="append", default=[])
    add("-u", "--user", default="")
    add("-w", "--workdir", default="")
    add("-d", "--detach", action="store_true")


def _exec(add: _Add) -> None:
    _inside(add)
    add("--index", type=int, default=0, help="index of the container, if the service has several")
    add("--privileged", action="store_true")
    add("service", metavar="SERVICE")
    add("command", nargs="...", metavar="COMMAND")


def _run(add: _Add) -> None:
    _inside(add)
    add("--rm", action="store_true", help="remove the container when it exits")
    add("--name", default="")
    add("--entrypoint", default=None)
    add("--no-deps", action="store_true")
    add("-P", "--service-ports", action="store_true", help="publish the service's ports")
    add("-v", "--volume", action="append", default=[])
    add("-l", "--label", action="append", default=[])
    add("--use-aliases", action="store_true")
    add("service", metavar="SERVICE")
    add("command", nargs="...", metavar="COMMAND")


def _config(add: _Add) -> None:
    add("--format", choices=("yaml", "json"), default="yaml")
    add("-q", "--quiet", action="store_true", help="only validate; print nothing but errors")
    add("--hash", default="", metavar="SERVICES", help="print the config hash of these services; `*` for all")
    add("-o", "--output", default="", help="a file to write it to")
    for name in ("services", "volumes", "images", "profiles"):
        add(f"--{name}", dest="listed", action="store_const", const=name, help=f"print the {name}, a line each")
    add("services", nargs="*", metavar="SERVICE")


def _build(add: _Add) -> None:
    add("--no-cache", action="store_true")
    add("--pull", action="store_true")
    add("-q", "--quiet", action="store_true")
    add("--build-arg", action="append", default=[])
    _services(add)


def _pull(add: _Add) -> None:
    add("--ignore-pull-failures", action="store_true")
    add("--ignore-buildable", action="store_true")
    _services(add)


def _port(add: _Add) -> None:
    add("--protocol", default="tcp")
    add("--index", type=int, default=0)
    add("service", metavar="SERVICE")
    add("port", type=int, metavar="PORT")


def _ls(add: _Add) -> None:
    add("-a", "--all", action="store_true")
    add("-q", "--quiet", action="store_true")
    add("--format", choices=("table", "json"), default="table")


def _images(add: _Add) -> None:
    add("-q", "--quiet", action="store_true")
    add("--format", choices=("table", "json"), default="table")
    _services(add)


def _scale(add: _Add) -> None:
    add("--no-deps", action="store_true")
    add("scale", nargs="+", metavar="SERVICE=NUMBER")


def _wait(add: _Add) -> None:
    add("--down-project", action="store_true")
    add("services", nargs="+", metavar="SERVICE")


def _cp(add: _Add) -> None:
    add("--index", type=int, default=0)
    add("-a", "--archive", action="store_true")
    add("-L", "--follow-link", action="store_true")
    add("source", metavar="[SERVICE:]SOURCE")
    add("target", metavar="[SERVICE:]TARGET")


def _events(add: _Add) -> None:
    add("--json", action="store_true")
    _services(add)


def _attach(add: _Add) -> None:
    add("--index", type=int, default=0, help="index of the container, if the service has several")
    add("--detach-keys", default="", help="keys that detach from the container")
    add("--no-stdin", action="store_true", help="don't attach standard input")
    add("--sig-proxy", choices=("true", "false"), default="true", help="pass signals on to the container")
    add("service", metavar="SERVICE")


def _stats(add: _Add) -> None:
    add("-a", "--all", action="store_true", help="include stopped containers")
    add("--format", default="")
    add("--no-stream", action="store_true", help="print one sample and exit")
    add("--no-trunc", action="store_true")
    add("service", nargs="?", default="", metavar="SERVICE")


def _watch(add: _Add) -> None:
    add("--no-up", action="store_true", help="watch without starting the services first")
    _services(add)


def _version(add: _Add) -> None:
    add("--short", action="store_true")


_VERBS: dict[str, tuple[str, Callable[[_Add], None]]] = {
    "attach": ("be attached to a service's container", _attach),
    "build": ("build services' images", _build),
    "config": ("print the files as one", _config),
    "cp": ("copy files into and out of a service's container", _cp),
    "create": ("make containers, and start none", _create),
    "down": ("remove containers and networks", _down),
    "events": ("print what happens", _events),
    "exec": ("run a command in a running container", _exec),
    "images": ("list containers' images", _images),
    "kill": ("send containers a signal", _kill),
    "logs": ("print what containers said", _logs),
    "ls": ("list projects", _ls),
    "pause": ("pause containers", _services),
    "port": ("print where a port is published", _port),
    "ps": ("list containers", _ps),
    "pull": ("pull services' images", _pull),
    "push": ("push services' images", _services),
    "restart": ("stop containers and start them again", _restart),
    "rm": ("remove containers that have ended", _rm),
    "run": ("run a command in a container of its own", _run),
    "scale": ("change how many containers services have", _scale),
    "start": ("start containers", _services),
    "stats": ("show what containers use", _stats),
    "stop": ("stop containers", _stop),
    "top": ("list containers' processes", _services),
    "unpause": ("let containers go on", _services),
    "up": ("make and start containers", _up),
    "version": ("print the version", _version),
    "wait": ("wait until a service's container ends", _wait),
    "watch": ("copy what changes into containers, or build them anew", _watch),
}
