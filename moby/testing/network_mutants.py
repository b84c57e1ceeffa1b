"""Mutants of what knows networks: each breaks one promise, and names the test that sees it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from moby.contracts.networks import EndpointConfig, Network, Sandbox
from moby.errors import Conflict, Denied, Invalid, MobyError, NotFound, Unsupported
from moby.testing.mutants import Broken, Mutant
from moby.values import evolve

__all__ = ["MUTANTS"]

_Broken = Broken[Any]

_PLAIN = EndpointConfig()


class _Unsorted(_Broken):
    def list(self) -> tuple[Network, ...]:
        found: tuple[Network, ...] = self.inner.list()
        return found[::-1]


class _NewIds(_Broken):
    """Has other ids in each process."""

    def list(self) -> tuple[Network, ...]:
        return tuple(evolve(each, id=f"{id(self):064x}") for each in self.inner.list())


class _OwnNames(_Broken):
    def get(self, name: str) -> Network:
        found: Network = self.inner.get(name)
        return evolve(found, driver="none")


class _NamesAlone(_Broken):
    def get(self, name: str) -> Network:
        for each in self.inner.list():
            if each.name == name:
                found: Network = each
                return found
        raise NotFound(f"network {name} not found")


class _AnyBeginning(_Broken):
    def get(self, name: str) -> Network:
        for each in self.inner.list():
            if each.name.startswith(name) or each.id.startswith(name):
                found: Network = each
                return found
        raise NotFound(f"network {name} not found")


class _NoNameIsKept(_Broken):
    def create(self, network: Network) -> tuple[Network, tuple[str, ...]]:
        try:
            made: tuple[Network, tuple[str, ...]] = self.inner.create(network)
        except Denied as error:
            if "predefined" not in str(error):
                raise
            return network, ()
        return made


class _MakesAny(_Broken):
    def create(self, network: Network) -> tuple[Network, tuple[str, ...]]:
        try:
            made: tuple[Network, tuple[str, ...]] = self.inner.create(network)
        except Denied as error:
            if "instance" not in str(error):
                raise
            return network, ()
        return made


class _AnyName(_Broken):
    def create(self, network: Network) -> tuple[Network, tuple[str, ...]]:
        try:
            made: tuple[Network, tuple[str, ...]] = self.inner.create(network)
        except Invalid:
            return network, ()
        return made


class _JoinsConfigurations(_Broken):
    def join(self, container_id: str, wanted: Mapping[str, EndpointConfig], *more: Any) -> Sandbox:
        try:
            found: Sandbox = self.inner.join(container_id, wanted, *more)
        except Denied:
            return Sandbox("")
        return found


class _OwnConfigurations(_Broken):
    """Lets a network say what it is made from says."""

    def create(self, network: Network) -> tuple[Network, tuple[str, ...]]:
        try:
            made: tuple[Network, tuple[str, ...]] = self.inner.create(network)
        except Denied:
            return network, ()
        return made


class _RemovesAny(_Broken):
    def remove(self, name: str) -> None:
        try:
            self.inner.remove(name)
        except Denied:
            return


class _HidesContainers(_Broken):
    def get(self, name: str) -> Network:
        found: Network = evolve(self.inner.get(name), containers={})
        return found


class _StaysThere(_Broken):
    def leave(self, container_id: str) -> None:
        return


class _OwnNamespace(_Broken):
    def join(self, container_id: str, wanted: Mapping[str, EndpointConfig], *more: Any) -> Sandbox:
        found: Sandbox = evolve(self.inner.join(container_id, wanted, *more), namespace="")
        return found


class _HostForAll(_Broken):
    def join(self, container_id: str, wanted: Mapping[str, EndpointConfig], *more: Any) -> Sandbox:
        found: Sandbox = evolve(self.inner.join(container_id, wanted, *more), namespace="host")
        return found


class _JoinsAnew(_Broken):
    def join(self, container_id: str, wanted: Mapping[str, EndpointConfig], *more: Any) -> Sandbox:
        self.inner.leave(container_id)
        found: Sandbox = self.inner.join(container_id, wanted, *more)
        return found


class _LeavesByBeginning(_Broken):
    def leave(self, container_id: str) -> None:
        for each in self.inner.get("none").containers:
            if each.startswith(container_id):
                self.inner.leave(each)


class _MustBeThere(_Broken):
    def leave(self, container_id: str) -> None:
        if container_id not in self.inner.get("none").containers:
            raise NotFound(container_id)
        self.inner.leave(container_id)


class _AnyAddress(_Broken):
    def join(self, container_id: str, wanted: Mapping[str, EndpointConfig], *more: Any) -> Sandbox:
        plain = {each: evolve(config, ipv4_address="", ipv6_address="") for each, config in wanted.items()}
        found: Sandbox = self.inner.join(container_id, plain, *more)
        return found


class _ForgetsAddresses(_Broken):
    """Gives others in place of those that a container had."""

    def join(self, container_id: str, wanted: Mapping[str, EndpointConfig], *more: Any) -> Sandbox:
        plain = {each: evolve(config, earlier_addresses=()) for each, config in wanted.items()}
        found: Sandbox = self.inner.join(container_id, plain, *more)
        return found


class _DemandsAddresses(_Broken):
    """Refuses whoever can't have again what it had."""

    def join(self, container_id: str, wanted: Mapping[str, EndpointConfig], *more: Any) -> Sandbox:
        asked = {
            each: evolve(config, ipv4_address=config.ipv4_address or next(iter(config.earlier_addresses), ""))
            for each, config in wanted.items()
        }
        found: Sandbox = self.inner.join(container_id, asked, *more)
        return found


class _KeepsWishes(_Broken):
    """Shows what a container had as part of what it has joined."""

    def join(self, container_id: str, wanted: Mapping[str, EndpointConfig], *more: Any) -> Sandbox:
        found: Sandbox = self.inner.join(container_id, wanted, *more)
        shown = [evolve(each, config=wanted.get(each.network, each.config)) for each in found.endpoints]
        return evolve(found, endpoints=tuple(shown))


class _JoinsFirst(_Broken):
    def join(self, container_id: str, wanted: Mapping[str, EndpointConfig], *more: Any) -> Sandbox:
        found: Sandbox = self.inner.join(container_id, dict(list(wanted.items())[:1]), *more)
        return found


class _ConnectsAny(_Broken):
    def connect(self, network: str, container_id: str, config: EndpointConfig, *, running: bool, **more: Any) -> Any:
        try:
            return self.inner.connect(network, container_id, config, running=running, **more)
        except Unsupported:
            return None


class _DisconnectsAny(_Broken):
    def disconnect(self, network: str, container_id: str, *, force: bool = False) -> None:
        try:
            self.inner.disconnect(network, container_id, force=force)
        except MobyError:
            return


class _DisconnectsNothing(_Broken):
    def disconnect(self, network: str, container_id: str, *, force: bool = False) -> None:
        if container_id not in self.inner.get(network).containers:
            self.inner.disconnect(network, container_id, force=force)


class _TellsAlways(_Broken):
    def join(self, container_id: str, wanted: Mapping[str, EndpointConfig], *more: Any) -> Sandbox:
        self.inner.leave(container_id)
        found: Sandbox = self.inner.join(container_id, wanted, *more)
        return found


class _NoNamespace(_Broken):
    def join(self, container_id: str, wanted: Mapping[str, EndpointConfig], *more: Any) -> Sandbox:
        found: Sandbox = evolve(self.inner.join(container_id, wanted, *more), namespace="")
        return found


class _ForgetsSandboxes(_Broken):
    def sandbox(self, container_id: str) -> Sandbox:
        raise NotFound(container_id)


class _InventsSandboxes(_Broken):
    def sandbox(self, container_id: str) -> Sandbox:
        try:
            found: Sandbox = self.inner.sandbox(container_id)
        except NotFound:
            return Sandbox("")
        return found


class _ChecksNothing(_Broken):
    def check(self, wanted: Mapping[str, EndpointConfig]) -> None:
        return


class _ChecksNames(_Broken):
    def check(self, wanted: Mapping[str, EndpointConfig]) -> None:
        for each in wanted:
            self.inner.get(each)
        self.inner.check(wanted)


class _RecoversNobody(_Broken):
    def recover(self, running: Collection[str]) -> Sequence[str]:
        found: Sequence[str] = self.inner.recover(())
        return found


class _LeavesAll(_Broken):
    def recover(self, running: Collection[str]) -> Sequence[str]:
        return ()


class _RenamesWhoIsThere(_Broken):
    def rename(self, container_id: str, name: str) -> None:
        self.inner.sandbox(container_id)
        self.inner.rename(container_id, name)


class _KeepsIds(_Broken):
    def create(self, network: Network) -> tuple[Network, tuple[str, ...]]:
        made, warnings = self.inner.create(network)
        return evolve(made, id=network.id), warnings


class _ForgetsLabels(_Broken):
    def create(self, network: Network) -> tuple[Network, tuple[str, ...]]:
        made: tuple[Network, tuple[str, ...]] = self.inner.create(evolve(network, labels={}))
        return made


class _NamesAgain(_Broken):
    def create(self, network: Network) -> tuple[Network, tuple[str, ...]]:
        try:
            made: tuple[Network, tuple[str, ...]] = self.inner.create(network)
        except Conflict:
            return network, ()
        return made


class _MakesTwice(_Broken):
    def create(self, network: Network) -> tuple[Network, tuple[str, ...]]:
        made, _ = self.inner.create(network)
        self.inner.remove(made.id)
        again: tuple[Network, tuple[str, ...]] = self.inner.create(network)
        return again


class _TakesThemOff(_Broken):
    """Removes networks that containers are on."""

    def remove(self, name: str) -> None:
        for each in self.inner.get(name).containers:
            self.inner.leave(each)
        self.inner.remove(name)


class _AsAsked(_Broken):
    """Has interfaces in the order in which networks are named."""

    def join(self, container_id: str, wanted: Mapping[str, EndpointConfig], *more: Any) -> Sandbox:
        found: Sandbox = self.inner.join(container_id, wanted, *more)
        names = [self.inner.get(each).name for each in wanted]
        return evolve(found, endpoints=tuple(sorted(found.endpoints, key=lambda each: names.index(each.network))))


class _ByName(_Broken):
    """Has interfaces in the order of their networks' names."""

    def join(self, container_id: str, wanted: Mapping[str, EndpointConfig], *more: Any) -> Sandbox:
        found: Sandbox = self.inner.join(container_id, wanted, *more)
        return evolve(found, endpoints=tuple(sorted(found.endpoints, key=lambda each: each.network)))


class _JoinsMore(_Broken):
    """Keeps what a container had joined before."""

    def join(self, container_id: str, wanted: Mapping[str, EndpointConfig], *more: Any) -> Sandbox:
        before = {each.name: _PLAIN for each in self.inner.list() if container_id in each.containers}
        names = {self.inner.get(each).name: config for each, config in wanted.items()}
        found: Sandbox = self.inner.join(container_id, {**before, **names}, *more)
        return found


class _JoinsByName(_Broken):
    def join(self, container_id: str, wanted: Mapping[str, EndpointConfig], *more: Any) -> Sandbox:
        for name in wanted.keys() - {each.name for each in self.inner.list()}:
            raise NotFound(f"network {name} not found")
        found: Sandbox = self.inner.join(container_id, wanted, *more)
        return found


class _JoinsHalf(_Broken):
    """Leaves a container on the networks that it could be on."""

    def join(self, container_id: str, wanted: Mapping[str, EndpointConfig], *more: Any) -> Sandbox:
        try:
            found: Sandbox = self.inner.join(container_id, wanted, *more)
        except Conflict:
            self.inner.join(container_id, dict(list(wanted.items())[:1]), *more)
            raise
        return found


class _ConnectsLater(_Broken):
    def connect(self, network: str, container_id: str, config: EndpointConfig, *, running: bool, **more: Any) -> Any:
        return self.inner.connect(network, container_id, config, running=False, **more)


class _ConnectsSooner(_Broken):
    """Has those on a network that don't run."""

    def connect(self, network: str, container_id: str, config: EndpointConfig, *, running: bool, **more: Any) -> Any:
        found = self.inner.connect(network, container_id, config, running=running, **more)
        if not running:
            self.inner.join(container_id, {network: config}, *more.values())
        return found


class _ConnectsAgain(_Broken):
    def connect(self, network: str, container_id: str, config: EndpointConfig, *, running: bool, **more: Any) -> Any:
        try:
            return self.inner.connect(network, container_id, config, running=running, **more)
        except Conflict:
            return None


class _ConnectsNobody(_Broken):
    """Doesn't care what one that doesn't run is called."""

    def connect(self, network: str, container_id: str, config: EndpointConfig, *, running: bool, **more: Any) -> Any:
        return self.inner.connect(network, container_id, config, running=running)


class _ConnectsNoNamespace(_Broken):
    """Passes over where the namespace is that a runtime made."""

    def connect(self, network: str, container_id: str, config: EndpointConfig, *, running: bool, **more: Any) -> Any:
        return self.inner.connect(network, container_id, config, running=running, **{**more, "namespace": ""})


class _ConnectsApart(_Broken):
    """Says that who began on none is where it isn't."""

    def connect(self, network: str, container_id: str, config: EndpointConfig, *, running: bool, **more: Any) -> Any:
        if more.get("namespace"):
            self.inner.join(container_id, {network: config})
            return self.inner.sandbox(container_id).endpoints[0]
        return self.inner.connect(network, container_id, config, running=running, **more)


class _DisconnectsFromAll(_Broken):
    def disconnect(self, network: str, container_id: str, *, force: bool = False) -> None:
        self.inner.disconnect(network, container_id, force=force)
        self.inner.leave(container_id)


MUTANTS = (
    Mutant(_KeepsIds, "test_making_one"),
    Mutant(_ForgetsLabels, "test_making_one"),
    Mutant(_NamesAgain, "test_making_one"),
    Mutant(_RemovesAny, "test_removing_one"),
    Mutant(_TakesThemOff, "test_removing_one"),
    Mutant(_RemovesAny, "test_removing_what_another_is_made_from"),
    Mutant(_ForgetsLabels, "test_removing_what_another_is_made_from"),
    Mutant(_AsAsked, "test_the_order_of_interfaces"),
    Mutant(_ByName, "test_the_order_of_interfaces"),
    Mutant(_JoinsMore, "test_joining_otherwise"),
    Mutant(_JoinsByName, "test_joining_otherwise"),
    Mutant(_AnyAddress, "test_an_address_that_is_taken"),
    Mutant(_JoinsHalf, "test_an_address_that_is_taken"),
    Mutant(_StaysThere, "test_an_address_that_is_taken"),
    Mutant(_ForgetsAddresses, "test_addresses_that_one_had"),
    Mutant(_DemandsAddresses, "test_addresses_that_one_had"),
    Mutant(_KeepsWishes, "test_addresses_that_one_had"),
    Mutant(_ConnectsLater, "test_one_network_more"),
    Mutant(_ConnectsAgain, "test_one_network_more"),
    Mutant(_DisconnectsNothing, "test_one_network_more"),
    Mutant(_DisconnectsFromAll, "test_one_network_more"),
    Mutant(_ConnectsSooner, "test_one_network_more_for_one_that_doesn_t_run"),
    Mutant(_ConnectsNobody, "test_one_network_more_for_one_that_doesn_t_run"),
    Mutant(_ConnectsNoNamespace, "test_who_began_on_none"),
    Mutant(_ConnectsApart, "test_who_began_on_none"),
    Mutant(_MakesTwice, "test_events_of_those_that_are_made"),
    Mutant(_DisconnectsNothing, "test_events_of_those_that_are_made"),
    Mutant(_NoNamespace, "test_joining_nothing"),
    Mutant(_ForgetsSandboxes, "test_what_was_joined"),
    Mutant(_InventsSandboxes, "test_what_was_joined"),
    Mutant(_ChecksNothing, "test_checking"),
    Mutant(_ChecksNames, "test_checking"),
    Mutant(_RecoversNobody, "test_recovering"),
    Mutant(_LeavesAll, "test_recovering"),
    Mutant(_RenamesWhoIsThere, "test_renaming"),
    Mutant(_Unsorted, "test_networks_that_are_there_from_the_start"),
    Mutant(_NewIds, "test_networks_that_are_there_from_the_start"),
    Mutant(_OwnNames, "test_none_is_as_docker_shows_it"),
    Mutant(_NamesAlone, "test_finding_one"),
    Mutant(_AnyBeginning, "test_finding_one"),
    Mutant(_NoNameIsKept, "test_names_that_are_kept"),
    Mutant(_MakesAny, "test_networks_of_which_users_make_none"),
    Mutant(_AnyName, "test_networks_of_which_users_make_none"),
    Mutant(_JoinsConfigurations, "test_what_others_are_made_from"),
    Mutant(_OwnConfigurations, "test_what_others_are_made_from"),
    Mutant(_RemovesAny, "test_removing"),
    Mutant(_HidesContainers, "test_joining_none"),
    Mutant(_StaysThere, "test_joining_none"),
    Mutant(_HostForAll, "test_joining_none"),
    Mutant(_OwnNamespace, "test_joining_host"),
    Mutant(_JoinsAnew, "test_joining_again"),
    Mutant(_StaysThere, "test_joining_again"),
    Mutant(_LeavesByBeginning, "test_leaving_what_one_isnt_on"),
    Mutant(_MustBeThere, "test_leaving_what_one_isnt_on"),
    Mutant(_AnyAddress, "test_what_can_t_be_joined"),
    Mutant(_JoinsFirst, "test_none_and_another"),
    Mutant(_ConnectsAny, "test_connecting_later"),
    Mutant(_ConnectsAgain, "test_connecting_to_none_later"),
    Mutant(_ConnectsLater, "test_connecting_to_none_later"),
    Mutant(_DisconnectsAny, "test_disconnecting"),
    Mutant(_DisconnectsNothing, "test_disconnecting"),
    Mutant(_TellsAlways, "test_events"),
)
