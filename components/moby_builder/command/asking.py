"""What the options of `build` come to: a request, where its result goes, and what it is lent."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from attrs import frozen

from moby.contracts.builder import CacheExport, CacheSource, Export, ExportType, Request
from moby.contracts.types import Limits
from moby.errors import Invalid, NotFound
from moby.values import evolve
from moby_builder.command import fields, lending
from moby_builder.command.agents import agents
from moby_builder.command.contexts import Context, context
from moby_builder.command.layouts import find
from moby_builder.command.lending import Lending
from moby_builder.command.outputs import outputs

__all__ = ["Asked", "ask"]

_EPOCH = "SOURCE_DATE_EPOCH"
_CALLS = {"": "", "build": "", "check": "lint", "lint": "lint", "outline": "outline", "targets": "targets"}
_STORE = "local:"
_PERIOD_US = 100_000


@frozen
class Asked:
    """A build that is asked for."""

    request: Request
    exports: tuple[Export, ...]
    caches: tuple[CacheExport, ...]
    lent: Lending
    answer: str = ""
    """The answer that is wanted where it is no image: `result.txt`, `result.json`."""


def ask(asked: Namespace, stdin: BinaryIO, environment: Mapping[str, str]) -> Asked:
    """Return what is asked for; Invalid or NotFound for what can't be. Its `lent` is the caller's to close."""
    with ExitStack() as held:
        found = context(asked, stdin, held)
        wanted = outputs(asked)
        caches = fields.cache_exports(asked.cache_to)
        sources, stores = _local_caches(fields.cache_sources(asked.cache_from), caches)
        lent = Lending(
            found.key, found.folders, found.streams, lending.secrets(asked.secret, environment),
            agents(asked.ssh, environment), {**stores, **found.stores, **wanted.stores}, wanted.places,
        )  # fmt: skip
        call, answer = _call(asked)
        request = _request(asked, found, environment)
        lent.held = held.pop_all()
    layers = any(each.type not in (ExportType.TAR, ExportType.LOCAL) for each in wanted.exports)
    request = evolve(request, request=call, cache_from=sources, layers=layers)
    return Asked(request, wanted.exports, caches, lent, answer)


def _request(asked: Namespace, found: Context, environment: Mapping[str, str]) -> Request:
    arguments = fields.variables(asked.build_arg, environment)
    if _EPOCH in environment:
        arguments.setdefault(_EPOCH, environment[_EPOCH])
    host = asked.network == "host"  # who may say so here may do so
    return Request(
        context=found.url,
        dockerfile=found.dockerfile,
        target=asked.target,
        arguments=arguments,
        labels=dict(_pair(each) for each in asked.label),
        platforms=fields.platforms(asked.platform),
        contexts=found.named,
        no_cache=asked.no_cache,
        no_cache_stages=tuple(name for each in asked.no_cache_filter for name in each.split(",")),
        pull=asked.pull,
        network="" if asked.network == "default" else asked.network,
        hosts=fields.hosts(asked.add_host),
        shm_bytes=asked.shm_size,
        ulimits=fields.ulimits(asked.ulimit),
        cgroup_parent=asked.cgroup_parent,
        limits=Limits(
            asked.memory,
            asked.cpu_quota / (asked.cpu_period or _PERIOD_US),
            memory_swap_bytes=asked.memory_swap,
            cpu_shares=asked.cpu_shares,
            cpuset_cpus=asked.cpuset_cpus,
            cpuset_mems=asked.cpuset_mems,
        ),
        allow=frozenset([*asked.allow, *(["network.host"] if host else [])]),
        attestations=fields.attestations(asked.sbom, asked.provenance, asked.attest),
    )


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _call(asked: Namespace) -> tuple[str, str]:
    """Return what else than an image is wanted, and in which form."""
    name, _, rest = asked.call.partition(",")
    name = "check" if asked.check else name
    form = fields.pairs(rest).get("format", "") if rest else ""
    if name not in _CALLS or form not in ("", "json"):
        raise Invalid(f"unknown call {asked.call!r}", hint=f"one of {', '.join(filter(None, _CALLS))}; format=json")
    return _CALLS[name], f"result.{form or 'txt'}" if _CALLS[name] else ""


def _local_caches(
    sources: Sequence[CacheSource], exports: Sequence[CacheExport]
) -> tuple[tuple[CacheSource, ...], dict[str, Path]]:
    """Return sources with the digests that their layouts name, and the layouts of all caches by their stores' names.

    A folder that has no cache yet is passed over, as the first build of a machine has none.
    """
    found, stores = [], {}
    for each in sources:
        folder = each.attributes.get("src", "")
        if each.type == "local" and folder:
            try:
                digest = each.attributes.get("digest") or find(Path(folder), each.attributes.get("tag", "latest"))
            except NotFound:
                continue
            stores[_STORE + folder] = Path(folder)
            each = evolve(each, attributes={**each.attributes, "digest": str(digest)})  # noqa: PLW2901
        found.append(each)
    places = (each.attributes.get("dest", "") for each in exports if each.type == "local")
    return tuple(found), {**stores, **{_STORE + each: Path(each) for each in places if each}}
