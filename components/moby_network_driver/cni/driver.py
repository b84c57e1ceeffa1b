"""The driver of networks that CNI plugins make."""

import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any

from moby.contracts.ambient import Log, Place
from moby.contracts.network_driver import Attachment, Link, Segment
from moby.contracts.types import Fd
from moby.errors import HostUnfit, Invalid, MobyError, NotFound
from moby.host import network_settings
from moby.host.elsewhere import in_namespace
from moby.host.netlink import Channel
from moby.host.rtnetlink import addresses, links
from moby.values import evolve
from moby_network_driver.cni import lists
from moby_network_driver.cni.config import Config
from moby_network_driver.cni.lists import PluginList
from moby_network_driver.cni.records import Record, Records
from moby_network_driver.cni.results import Result, empty
from moby_network_driver.cni.running import Call, Programs
from moby_network_driver.interfaces import inside, words
from moby_network_driver.interfaces.addressing import mac_of
from moby_network_driver.interfaces.inside import SYSCTLS
from moby_network_driver.interfaces.removal import delete_named
from moby_network_driver.interfaces.unfit import Failures, explained

__all__ = ["CniNetworks"]

_LIST, _ARGS = "conflist", "cni.args"
_PREFIXES = ("com.docker.network.container_iface_prefix", "com.docker.network.container_interface_prefix")
_OF_ENDPOINTS = frozenset({_ARGS, SYSCTLS, "com.docker.network.endpoint.ifname"})
_PORTS, _IPS, _MAC = "portMappings", "ips", "mac"


class CniNetworks:
    """A network driver; see the contract.

    What it made for whom is in files of this boot, since plugins' interfaces carry no mark.
    """

    name = "cni"
    scope = "local"
    predefined = ""
    predefined_options: Mapping[str, str] = MappingProxyType({})
    creatable = True
    shares_host = False
    addressed = True

    def __init__(self, config: Config, place: Place, log: Log) -> None:
        self.publishes = config.ports
        self._lists = Path(config.lists)
        self._programs = Programs(config.programs, config.timeout_s)
        self._records = Records(place.run / "cni")
        self._log = log
        self._lock = threading.RLock()
        """Held while plugins run, so that what comes up on the host meanwhile is theirs."""

    def check(self, options: Mapping[str, str]) -> None:
        """Refuse options of a network; see the contract."""
        words.known(options, {_LIST, *_PREFIXES}, "cni")
        for each in _PREFIXES:
            words.interface_name(options, each, "")

    def _found(self, segment: Segment) -> PluginList:
        """Return a network's list: that of the option, else of its own name."""
        self.check(segment.options)
        found = lists.found(self._lists, segment.options.get(_LIST, "") or segment.name)
        if segment.internal:
            text = f"network {segment.name} can't be internal: what it reaches, its plugins say"
            raise Invalid(text, hint="leave --internal out, and write the list so")
        if segment.pools and not found.of_capability(_IPS):
            raise Invalid(
                f"the plugins of {found.name} hand out addresses of their own",
                hint='create it with --ipam-driver null, or give one of them `"capabilities": {"ips": true}`',
            )
        self._programs.need(found)
        return found

    def make(self, segment: Segment) -> None:
        """See that a network can be made: plugins make it when the first container comes."""
        found = self._found(segment)
        if found.collects:  # from 1.1.0 on they can be asked
            self._programs.status(found)

    def unmake(self, segment: Segment) -> None:
        """Remove all endpoints on a network, and what came with them; see the contract."""
        failures = Failures()
        with self._lock, explained(f"network {segment.name}"):
            for each in self._records.all().values():
                if each.network_id == segment.id:
                    self._undo(each, failures)
        failures.tell()

    def attach(self, segment: Segment, attachment: Attachment, namespace: Fd) -> Link:
        """Put a container on a network; see the contract."""
        plugins = self._found(segment)
        words.known(attachment.options, _OF_ENDPOINTS, "endpoints on cni")
        settings = inside.settings_of(attachment.options, attachment.interface)
        what = f"interface {attachment.interface} on network {segment.name}"
        path = _path(namespace)
        with explained(what), self._lock, ExitStack() as undo:
            inside.absent(namespace, attachment.interface)
            call = Call(
                attachment.container_id, attachment.interface, path, attachment.options.get(_ARGS, ""),
                self._values(segment, attachment, plugins),
            )  # fmt: skip
            self._clear(attachment.id)
            record = Record(attachment.id, segment.id, call, plugins, Result(empty(plugins.version)))
            self._records.put(record)  # first, so that what is killed half-way is undone
            undo.callback(self._clear, attachment.id, path)
            record = self._added(evolve(record, ports=attachment.ports))
            if plugins.checks:
                self._programs.check(plugins, call, record.result)
            in_namespace(namespace, lambda: _settle(attachment, settings))
            undo.pop_all()
        return self._link(attachment, record.result, namespace)

    def _added(self, record: Record) -> Record:
        """Have the plugins make an endpoint, record the result and return it."""
        before = _host_devices()
        for each in record.plugins.plugins:
            result = self._programs.add_one(record.plugins, each, record.call, record.result)
            new = tuple(name for name in result.devices if name not in before)
            record = evolve(record, result=result, devices=new)
            self._records.put(record)
        return record

    def _values(self, segment: Segment, attachment: Attachment, plugins: PluginList) -> dict[str, Any]:
        """Return what plugins are told by their capabilities."""
        if attachment.ports and not plugins.of_capability(_PORTS):
            raise Invalid(
                f"none of the plugins of {plugins.name} publishes ports",
                hint='add portmap to the list, with `"capabilities": {"portMappings": true}`',
            )
        if attachment.mac_address and not plugins.of_capability(_MAC):
            raise Invalid(
                f"none of the plugins of {plugins.name} takes a MAC address",
                hint='give one of them `"capabilities": {"mac": true}`',
            )
        ports = [
            {
                "hostPort": each.host_port, "containerPort": each.container_port, "protocol": each.protocol,
                "hostIP": each.host_address,
            }
            for each in attachment.ports
            if each.host_port  # else it is none of the host's
        ]  # fmt: skip
        return {_IPS: list(attachment.addresses), _MAC: mac_of(segment, attachment), _PORTS: ports}

    def _link(self, attachment: Attachment, result: Result, namespace: Fd) -> Link:
        """Return what came of an attachment; what the plugins didn't say is looked up."""
        with in_namespace(namespace, Channel) as channel:
            found = links.get(channel, attachment.interface)
        return Link(attachment.interface, result.mac or found.mac, result.addresses, result.gateways)

    def publish(self, segment: Segment, attachment: Attachment) -> None:
        """Have plugins that publish ports do so anew; see the contract."""
        with self._lock, explained(f"ports on network {segment.name}"):
            record = self._records.get(attachment.id)
            if record is None:
                raise NotFound(f"container {attachment.container_id} is not on network {segment.name}")
            if record.ports == attachment.ports:
                return
            values = self._values(segment, attachment, record.plugins)
            new = evolve(record, ports=attachment.ports, call=evolve(record.call, values=values))
            for each in record.plugins.of_capability(_PORTS):
                if record.ports:
                    self._programs.delete_one(record.plugins, each, record.call, record.result)
                if new.ports:
                    self._programs.add_one(record.plugins, each, new.call, record.result)
            self._records.put(new)

    def detach(self, segment: Segment, attachment: Attachment, namespace: Fd | None = None) -> None:
        """Undo `attach`; see the contract."""
        failures = Failures()
        with self._lock, explained(f"interface {attachment.interface} on network {segment.name}"):
            record = self._records.get(attachment.id)
            if record is None:
                return
            self._undo(record.at(_path(namespace)), failures)
        failures.tell()

    def _clear(self, endpoint_id: str, path: str = "") -> None:
        """Undo what an attachment that was interrupted left, or one that fails."""
        left = self._records.get(endpoint_id)
        failures = Failures()
        if left is not None:
            self._undo(left.at(path), failures)
        try:
            failures.tell()
        except MobyError as error:
            self._log.warning("what CNI plugins made can't be undone", reason=str(error))

    def _undo(self, record: Record, failures: Failures) -> None:
        """Undo all of an endpoint, even if some of it fails; what came with it goes with the last that uses it."""
        for each in reversed(record.plugins.plugins):
            with failures.collected(f"CNI plugin {each['type']}"):
                self._programs.delete_one(record.plugins, each, record.call, record.result)
        others = [each for each in self._records.all().values() if each.id != record.id]
        with failures.collected("interfaces of CNI plugins"), Channel() as channel:
            for name in record.devices:
                heir = next((each for each in others if name in each.result.devices), None)
                if heir is None:
                    delete_named(channel, name)
                else:
                    self._records.put(evolve(heir, devices=tuple(dict.fromkeys((*heir.devices, name)))))
                    others = [each for each in self._records.all().values() if each.id != record.id]
        self._records.remove(record.id)

    def keep(self, held: Sequence[tuple[Segment, Sequence[Attachment]]]) -> None:
        """Undo what was made for others; see the contract."""
        kept = {each.id for _, attachments in held for each in attachments}
        failures = Failures()
        with self._lock, explained("cni networks"):
            there = self._records.all()
            for each in there.values():
                if each.id not in kept:
                    self._undo(each.at(""), failures)
            for segment, attachments in held:
                with failures.collected(f"network {segment.name}"):
                    self._collect(segment, [there[each.id].call for each in attachments if each.id in there])
        failures.tell()

    def _collect(self, segment: Segment, calls: Sequence[Call]) -> None:
        plugins = self._found(segment)
        if plugins.collects:
            self._programs.collect(plugins, calls)

    def reclaim(self) -> None:
        """Remove all that an engine left on the host."""
        self.keep(())


def _path(namespace: Fd | None) -> str:
    """Return a path of a namespace, as long as the descriptor is open; empty for none."""
    return "" if namespace is None else f"/proc/{os.getpid()}/fd/{namespace}"


def _host_devices() -> set[str]:
    with Channel() as channel:
        return {each.name for each in links.dump(channel)}


def _settle(attachment: Attachment, settings: Mapping[tuple[str, ...], str]) -> None:
    """Give an interface what plugins know nothing of."""
    more = [f"{each}/{64 if ':' in each else 16}" for each in attachment.link_local]
    with Channel() as channel:
        found = links.look_up(channel, attachment.interface)
        if found is None:
            text = f"the plugins made no interface {attachment.interface} in the container"
            raise HostUnfit(text, hint="the first of a list makes one")
        channel.run(*(addresses.add(found.index, each) for each in more))
    for parts, value in settings.items():
        network_settings.set_to(value, *parts)
