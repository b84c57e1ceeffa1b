"""Addresses of services on this machine: each service that has one has a sandbox, which is its tasks' front.

What reaches it, by its address on a network or by a published port, goes to the tasks in turn. Tasks of services that
share a network don't take that way: what they send to a service's address leaves their own namespaces for one of its
tasks, which so sees whom it comes from.
"""

import errno
import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence

from moby.contracts.discovery import PortRequest
from moby.contracts.networks import OTHERS, Endpoint, EndpointConfig, Networks, Sandbox, SandboxConfig
from moby.contracts.orchestrator import EndpointMode, PublishMode, Service, Task, TaskState
from moby.errors import MobyError, NotFound
from moby.host import network_settings
from moby.host.elsewhere import in_namespace
from moby.host.nft_balance import balance
from moby.host.nftables import Nftables, Refused
from moby.values import evolve, field, frozen
from moby_orchestrator.reconciling.tasks import WANTED, works
from moby_orchestrator.swarm.containering import INGRESS, is_ingress
from moby_orchestrator.swarm.parts import Parts
from moby_orchestrator.swarm.store import Store
from moby_orchestrator.swarm.world import World

__all__ = ["Balancing", "clear_fronts"]

_FIRST = 100
"""Priority of the network that publishes: the one that the way out leads through."""
_RETRY_S = 2.0
_LONGEST_PAUSE_S = 1.0
_Targets = Mapping[str, Sequence[str]]
"""Addresses of services, and those of the tasks behind each."""


@frozen
class _Front:
    """What a service's sandbox is to be."""

    places: Mapping[str, EndpointConfig]
    ports: tuple[PortRequest, ...] = ()
    behind: Mapping[str, tuple[str, ...]] = field(factory=dict)
    """Addresses of tasks that work, by the network's id."""


class Balancing:
    """A thread that follows the world."""

    def __init__(self, parts: Parts, store: Store, node_id: str) -> None:
        self._parts, self._store, self._node_id = parts, store, node_id
        self._world = World()
        self._made: dict[str, tuple[_Front, Sandbox]] = {}
        self._led: dict[str, _Targets] = {}
        """Where services' addresses lead to in the namespaces of tasks, by task."""
        self._failing: dict[str, str] = {}
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="swarm-balance", daemon=True)

    def start(self, world: World) -> None:
        """Begin; sandboxes of earlier processes are taken up, or removed where nobody needs them."""
        self._world = world
        self._thread.start()
        self._wake.set()

    def stop(self) -> None:
        """End; what stands stays."""
        self._ended.set()
        self._wake.set()
        self._thread.join()

    def see(self, world: World) -> None:
        """Have things be as a world wants them."""
        if world is not self._world:
            self._world = world
            self._wake.set()

    def _run(self) -> None:
        self._quietly("sandboxes of services", self._take_over)
        while not self._ended.is_set():
            self._wake.wait(_RETRY_S if self._failing else None)
            self._wake.clear()
            if not self._ended.is_set():
                try:
                    self._work(self._world)
                except Exception as error:  # a bug of ours, which shall not end all else
                    self._parts.log.error("addresses of services can't be made", error=repr(error))

    def _quietly(self, what: str, call: object, *given: object) -> bool:
        """Call something; tell why it can't be done, once, and return whether it was."""
        try:
            call(*given)  # type: ignore[operator]  # a function, by its callers
        except (MobyError, OSError) as error:
            if self._failing.get(what) != str(error):
                self._parts.log.warning("a service's address or port can't be made", service=what, error=str(error))
            self._failing[what] = str(error)
            return False
        self._failing.pop(what, None)
        return True

    def _take_over(self) -> None:
        wanted = {_id(each) for each in _with_front(self._world)}
        there = {id for network in self._parts.networks.list() for id in network.containers if id.startswith(OTHERS)}  # noqa: A001
        for each in sorted(there - wanted):
            self._parts.networks.leave(each)

    def _work(self, world: World) -> None:
        services = {each.id: each for each in _with_front(world)}
        known = services.keys() | self._made.keys()
        known |= world.tasks.keys()
        self._failing = {what: why for what, why in self._failing.items() if what in known}
        for service_id in [each for each in self._made if each not in services]:
            if self._quietly(service_id, self._parts.networks.leave, f"{OTHERS}{service_id}"):
                del self._made[service_id]
        tasks: dict[str, list[Task]] = {each: [] for each in services}
        for task in world.tasks.values():
            if task.service_id in tasks and task.desired in WANTED and works(task):
                tasks[task.service_id].append(task)
        for service in services.values():
            self._quietly(service.id, self._settle, service, tasks[service.id])
        began_s = time.monotonic()
        self._lead_tasks(world)
        # Where many change often, they are told of several changes at once.
        self._ended.wait(min(_LONGEST_PAUSE_S, time.monotonic() - began_s))

    def _lead_tasks(self, world: World) -> None:
        """Have each task of this node find the services of its networks by itself."""
        there = {}
        for task in world.tasks.values():
            if task.node_id == self._node_id and task.status.state is TaskState.RUNNING and task.endpoints:
                there[task.id] = self._targets_of(task)
        for task_id in [each for each in self._led if each not in there]:
            del self._led[task_id]
        for task_id, targets in there.items():
            if targets != (before := self._led.get(task_id, {})):
                self._quietly(task_id, self._lead_task, world.tasks[task_id], targets, _has_ipv6(before))

    def _targets_of(self, task: Task) -> _Targets:
        mine = {each.network_id for each in task.endpoints if each.network != INGRESS}
        found: dict[str, Sequence[str]] = {}
        for front, sandbox in self._made.values():
            there = [each for each in sandbox.endpoints if each.network_id in mine]
            found |= {address: behind for address, behind in _led_by(there, front.behind).items() if behind}
        return found

    def _lead_task(self, task: Task, targets: _Targets, before_ipv6: bool) -> None:
        try:
            namespace = self._parts.containers.get(task.status.container_id).sandbox
        except NotFound:
            namespace = ""
        if namespace and _in(namespace, targets, passing=False, ipv6=before_ipv6):
            self._led[task.id] = targets

    def _settle(self, service: Service, tasks: Sequence[Task]) -> None:
        front = _front(service, tasks)
        before = self._made.get(service.id)
        if before is not None and before[0] == front:
            return
        if before is None or (before[0].places, before[0].ports) != (front.places, front.ports):
            config = SandboxConfig(name=f"{OTHERS}{service.spec.name}", ports=front.ports)
            sandbox = self._parts.networks.join(_id(service), front.places, config)
            self._tell(service.id, sandbox)
        else:
            sandbox = before[1]
        _lead(sandbox, front.behind)
        self._made[service.id] = front, sandbox

    def _tell(self, service_id: str, sandbox: Sandbox) -> None:
        """Have the store know a service's addresses."""
        found = {
            each.network_id: f"{each.ipv4_address}/{each.ipv4_prefix}"
            if each.ipv4_address
            else f"{each.ipv6_address}/{each.ipv6_prefix}"
            for each in sandbox.endpoints
        }
        with self._store.change() as draft:
            service = draft.services.get(service_id)
            if service is not None and service.addresses != found:
                draft.services[service_id] = evolve(service, addresses=found)


def clear_fronts(networks: Networks) -> None:
    """Remove all sandboxes of services; once nobody makes any."""
    for network in networks.list():
        for each in network.containers:
            if each.startswith(OTHERS):
                networks.leave(each)


def _id(service: Service) -> str:
    return f"{OTHERS}{service.id}"


def _with_front(world: World) -> list[Service]:
    """Return the services that have an address or a published port."""
    return [
        each
        for each in world.services.values()
        if not each.removing
        and ((each.spec.networks and each.spec.endpoint_mode is EndpointMode.VIP) or is_ingress(each.spec))
    ]


def _front(service: Service, tasks: Sequence[Task]) -> _Front:
    spec = service.spec
    places: dict[str, EndpointConfig] = {}
    ports: tuple[PortRequest, ...] = ()
    if is_ingress(spec):
        places[INGRESS] = EndpointConfig(gateway_priority=_FIRST, service=True)
        ports = tuple(
            PortRequest(each.protocol, each.target, each.host_address, each.published, each.published)
            for each in service.ports
            if each.mode is PublishMode.INGRESS
        )
    if spec.endpoint_mode is EndpointMode.VIP:
        for network, config in spec.networks.items():
            places[network] = EndpointConfig(aliases=(spec.name, *config.aliases), service=True)
    behind: dict[str, list[str]] = {}
    for task in sorted(tasks, key=lambda each: each.id):
        for endpoint in task.endpoints:
            addresses = [each for each in (endpoint.ipv4_address, endpoint.ipv6_address) if each]
            behind.setdefault(endpoint.network_id, []).extend(addresses)
    return _Front(places, ports, {network: tuple(each) for network, each in behind.items()})


def _lead(sandbox: Sandbox, behind: Mapping[str, Sequence[str]]) -> None:
    if not _in(sandbox.namespace, _led_by(sandbox.endpoints, behind), passing=True):
        raise NotFound(f"the sandbox {sandbox.namespace} is gone")


def _led_by(endpoints: Iterable[Endpoint], behind: Mapping[str, Sequence[str]]) -> _Targets:
    """Return what a service's addresses stand for, each for those of its own sort."""
    return {
        address: tuple(task for task in behind.get(each.network_id, ()) if (":" in task) == (":" in address))
        for each in endpoints
        for address in (each.ipv4_address, each.ipv6_address)
        if address
    }


def _has_ipv6(targets: _Targets) -> bool:
    return any(":" in each for each in targets)


def _in(namespace: str, targets: _Targets, *, passing: bool, ipv6: bool = False) -> bool:
    """Have a namespace lead to these; False where it is gone. With `ipv6` it led to such before."""
    ipv6 = ipv6 or _has_ipv6(targets)

    def work() -> None:
        if passing:
            network_settings.set_to("1", "ipv4", "ip_forward")
            if ipv6:
                network_settings.set_to("1", "ipv6", "conf", "all", "forwarding")
        with Nftables() as nftables:
            balance(nftables, targets, passing=passing, ipv6=ipv6)

    try:
        descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        in_namespace(descriptor, work)
    except OSError as error:
        if error.errno == errno.EINVAL and not isinstance(error, Refused):  # what is left of one that has gone
            return False
        raise
    finally:
        os.close(descriptor)
    return True
