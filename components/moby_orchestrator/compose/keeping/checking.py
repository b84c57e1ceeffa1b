"""What is refused before anything is begun."""

import re
from collections.abc import Callable, Iterable, Iterator

from moby.contracts.orchestrator import Application, Mode, SecretSpec, ServiceSpec
from moby.errors import Conflict, Invalid, MobyError, NotFound, Problem, Unsupported
from moby.oci import reference as references
from moby_orchestrator.compose.keeping.values import Kept
from moby_orchestrator.reconciling import bounds, constraints
from moby_orchestrator.reconciling.dependencies import order

__all__ = ["application", "lacking", "networks", "ports", "service"]

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_PORTS = 65535
_SECRET, _CONFIG = 500 * 1024, 1000 * 1024


def service(spec: ServiceSpec) -> None:
    """Refuse a service that can't be: Invalid, or Unsupported for what this doesn't do."""
    if wrong := next(_wrong(spec), ""):
        raise Invalid(f"service {spec.name}: {wrong}")
    lacking(spec)


def _wrong(spec: ServiceSpec) -> Iterator[str]:
    if not _NAME.fullmatch(spec.name):
        yield f"the name {spec.name!r} isn't letters, digits and `_.-`"
    if spec.replicas < 0:
        yield f"replicas must be 0 or more, not {spec.replicas}"
    if not spec.container.image:
        yield "the image has no name"
    else:
        yield from _says(references.parse, spec.container.image)
    for text in spec.placement.constraints:
        yield from _says(constraints.parse, text)
    for port in spec.ports:
        if not 0 < port.target <= _PORTS or not 0 <= port.published <= _PORTS:
            yield f"the port {port.published}:{port.target} is none"
        if port.published and spec.replicas > 1:
            yield f"{spec.replicas} tasks can't all have the host's port {port.published}"
    yield from bounds.problems(spec)


def _says(parse: Callable[[str], object], text: str) -> Iterator[str]:
    try:
        parse(text)
    except Invalid as error:
        yield error.message


def lacking(spec: ServiceSpec) -> None:
    """Refuse what one machine's orchestrator doesn't do, by its name."""
    if spec.mode is not Mode.REPLICATED:
        raise Unsupported(f"service {spec.name}: the mode {spec.mode} isn't supported", hint="use replicated")
    most = spec.placement.max_replicas_per_node
    if most and spec.replicas > most:
        words = f"service {spec.name}: max_replicas_per_node is {most}, and there is one node for {spec.replicas}"
        raise Unsupported(words, hint="allow more, or have fewer replicas")
    if named := next(iter(spec.reservations.generic), ""):
        raise Unsupported(
            f"service {spec.name}: named resources, as {named}, aren't supported", hint="don't reserve any"
        )


def application(given: Application) -> None:
    """Refuse an application that can't be, with every problem."""
    if not _NAME.fullmatch(given.name):
        raise Invalid(f"the name {given.name!r} of an application isn't letters, digits and `_.-`")
    found = [f"service {each.name}: {next(_wrong(each))}" for each in given.services if any(_wrong(each))]
    found += [
        f"service {each.name} is of the application {each.application!r}, not {given.name!r}"
        for each in given.services
        if each.application != given.name
    ]
    twice = {each.name for each in given.services if sum(one.name == each.name for one in given.services) > 1}
    found += [f"service {each} is there more than once" for each in sorted(twice)]
    found += _data(given)
    if found:
        text = "; ".join(found)
        raise Invalid(text, problems=tuple(map(Problem, found)))
    order(given.services)
    for each in given.services:
        lacking(each)


def _data(given: Application) -> Iterator[str]:
    for kind, most, specs in (("secret", _SECRET, given.secrets), ("config", _CONFIG, given.configs)):
        for each in specs:
            if not _NAME.fullmatch(each.name):
                yield f"{kind}: the name {each.name!r} isn't letters, digits and `_.-`"
            if len(each.data) > most:
                yield f"{kind} {each.name} has more than {most // 1024} KiB"
            driver = each.driver if isinstance(each, SecretSpec) else ""
            if each.external or driver or each.templating:
                yield f"{kind} {each.name}: external ones, drivers and templates need a swarm"


def networks(spec: ServiceSpec, known: Iterable[str], there: Callable[[str], object]) -> None:
    """Refuse networks that aren't there, with NotFound; `there` raises it."""
    for name in spec.networks:
        if name not in known:
            there(name)


def references_of(spec: ServiceSpec, secrets: Iterable[str], configs: Iterable[str]) -> None:
    """Refuse secrets and configs that an application doesn't have, with NotFound."""
    for kind, given, known in (("secret", spec.secrets, secrets), ("config", spec.configs, configs)):
        for each in given:
            if each.source not in known:
                raise NotFound(f"{kind} {each.source} not found", hint="it is to be the application's own")


def ports(spec: ServiceSpec, others: Iterable[Kept]) -> None:
    """Refuse a port that another service has, with Conflict."""
    mine = {(each.protocol, each.published, each.host_address) for each in spec.ports if each.published}
    for other in others:
        for each in other.spec.ports:
            if (each.protocol, each.published, each.host_address) in mine:
                raise Conflict(f"port {each.published}/{each.protocol} is already in use by service {other.spec.name}")


def unique(error: type[MobyError], text: str, found: Iterable[Kept]) -> Kept:
    """Return the only one of several; `error` for none, Invalid for more."""
    there = tuple(found)
    if not there:
        raise error(text)
    if len(there) > 1:
        raise Invalid(f"{text}: there is more than one: {', '.join(each.id for each in there)}")
    return there[0]
