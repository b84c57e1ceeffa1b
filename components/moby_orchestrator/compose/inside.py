"""The verbs that go into a container: each is the distribution's own verb, once it is known which container."""

import secrets
import signal
import subprocess
import sys
from collections.abc import Sequence

from moby.errors import Invalid, NotFound
from moby_orchestrator.compose import imaging, names, shared
from moby_orchestrator.compose.converging import Convergence, Wishes, inject
from moby_orchestrator.compose.converging import start as start_all
from moby_orchestrator.compose.files.fields import Record, Spoken
from moby_orchestrator.compose.files.project import Project, image_of
from moby_orchestrator.compose.files.words import split
from moby_orchestrator.compose.observed import containers, the_one
from moby_orchestrator.compose.specs import container
from moby_orchestrator.compose.verb import Call

__all__ = ["attach", "cp", "exec", "run", "stats"]


def _own(call: Call, *words: str) -> int:
    """Run another verb of the distribution at our own streams, and return its code; signals are its own to take."""
    before = {each: signal.signal(each, signal.SIG_IGN) for each in (signal.SIGINT, signal.SIGQUIT)}
    try:
        return subprocess.run([*call.own, *words], check=False).returncode
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _terminal(call: Call) -> bool:
    return not call.asked.plain and not call.asked.detach and sys.stdin.isatty() and sys.stdout.isatty()


def exec(call: Call) -> int:  # noqa: A001  # the verb's name
    """Run a command in a running container."""
    asked = call.asked
    if not asked.command:
        raise Invalid("no command", hint="name one after the service")
    project = call.found()
    running = [each for each in containers(call.engine, project.name) if each.state == "running"]
    there = the_one(running, asked.service, asked.index)
    words = ["--interactive", *(["--tty"] if _terminal(call) else [])]
    words += ["--detach"] if asked.detach else []
    words += ["--privileged"] if asked.privileged else []
    words += ["--user", asked.user] if asked.user else []
    words += ["--workdir", asked.workdir] if asked.workdir else []
    for each in asked.env:
        words += ["--env", each]
    return _own(call, "exec", *words, there.id, *asked.command)


def attach(call: Call) -> int:
    """Be attached to a service's running container, and return its code."""
    asked = call.asked
    running = [each for each in containers(call.engine, call.found().name) if each.state == "running"]
    there = the_one(running, asked.service, asked.index)
    words = ["--no-stdin"] if asked.no_stdin else []
    words += ["--detach-keys", asked.detach_keys] if asked.detach_keys else []
    return _own(call, "attach", *words, "--sig-proxy", asked.sig_proxy, there.id)


def stats(call: Call) -> int:
    """Show what containers use."""
    asked = call.asked
    there = containers(call.engine, call.found().name)
    if asked.service:
        there = [each for each in there if each.service == asked.service]
        if not there:
            raise NotFound(f"no such service: {asked.service}", hint="`ps --all` lists containers")
    found = [each.id if asked.no_trunc else each.id[:12] for each in there if asked.all or each.state == "running"]
    if not found:
        raise NotFound("no container runs", hint="start one, or say --all")
    words = [word for word in ("--all", "--no-stream", "--no-trunc") if getattr(asked, word[2:].replace("-", "_"))]
    words += ["--format", asked.format] if asked.format else []
    return _own(call, "stats", *words, *found)


def run(call: Call) -> int:
    """Run a command in a container of its own, and return its code."""
    asked = call.asked
    project = call.project(services=[asked.service])
    project.service(asked.service)
    whole = project.selected([asked.service]).used()
    imaging.ensure(call, whole, pull="policy", build=False, may_build=True)
    others = [] if asked.no_deps else [name for name in whole.services if name != asked.service]
    shared.make_networks(call.engine, whole, call.progress)
    shared.make_volumes(call.engine, whole, call.progress)
    if others:
        below = whole.selected(others)
        Convergence(call.engine, below, call.progress, Wishes()).create()
        start_all(call.engine, below, call.progress)
    id = _once(call, whole, asked.service)  # noqa: A001  # of a container
    if asked.detach:
        call.engine.post("containers", id, "start")
        print(asked.name or id)  # noqa: T201  # a command's output
        return 0
    code = _own(call, "start", "--attach", "--interactive", id)
    if asked.rm:
        call.engine.delete("containers", id, force=True, v=True)
    return code


def _once(call: Call, project: Project, name: str) -> str:
    """Make a container of a service that is there for one command, and return its id."""
    asked = call.asked
    service = _changed(call, project.services[name])
    slug = secrets.token_hex(6)
    title = asked.name or f"{project.name}-{name}-run-{slug}"
    images = shared.image_ids(call.engine, project)
    labels = names.container_labels(project, name, service, 1, images.get(image_of(project.name, name, service), ""))
    labels |= {names.ONEOFF: "True", names.SLUG: slug, **dict(each.partition("=")[::2] for each in asked.label)}
    service = service.having(container_name=title)
    body = container(project, name, service, 1, labels, aliases=asked.use_aliases)
    interactive = not asked.detach
    body |= {"AttachStdin": interactive, "OpenStdin": interactive, "StdinOnce": interactive, "Tty": _terminal(call)}
    body["HostConfig"].setdefault("Binds", []).extend(asked.volume)
    found: str = call.engine.post("containers", "create", body=body, name=title)["Id"]
    inject(call.engine, project, service, found)
    return found


def _changed(call: Call, service: Record) -> Record:
    """Return the service as the command line wants it for once."""
    asked = call.asked
    found = service.without("restart", "healthcheck", *(() if asked.service_ports else ("ports",)))
    if deploy := found.get("deploy"):
        found = found.having(deploy=deploy.without("restart_policy"))
    if asked.command:
        found = found.having(command=list(asked.command))
    if asked.entrypoint is not None:
        found = found.having(entrypoint=split(asked.entrypoint))
        found = found if asked.command else found.having(command=[])
    for key, value in (("user", asked.user), ("working_dir", asked.workdir)):
        found = found.having(**{key: value}) if value else found
    if asked.env:
        own = {**(found.get("environment") or {}), **_variables(asked.env)}
        found = found.having(environment=Spoken(own))
    return found


def _variables(given: Sequence[str]) -> dict[str, str | None]:
    import os

    parts = [each.partition("=") for each in given]
    return {key: value if equals else os.environ.get(key) for key, equals, value in parts}


def cp(call: Call) -> int:
    """Copy files between a service's container and here."""
    asked = call.asked
    project = call.found()
    there = containers(call.engine, project.name)

    def end(text: str) -> str:
        service, colon, path = text.partition(":")
        if not colon or service.startswith((".", "/")):
            return text
        return f"{the_one(there, service, asked.index).id}:{path}"

    source, target = end(asked.source), end(asked.target)
    if (source == asked.source) == (target == asked.target):
        raise Invalid("one of both is SERVICE:PATH", hint="write it as web:/etc/file")
    words = [*(["--archive"] if asked.archive else []), *(["--follow-link"] if asked.follow_link else [])]
    return _own(call, "cp", *words, source, target)
