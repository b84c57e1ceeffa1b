"""Mutants of an IPAM: each breaks one promise of the contract, and names the test that must see it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from moby.contracts.ipam import Ipam, Pool
from moby.errors import Conflict, Invalid, NotFound
from moby.testing.mutants import Broken, Mutant
from moby.values import evolve

__all__ = ["MUTANTS"]

_Broken = Broken[Ipam]


class _IgnoresOccupied(_Broken):
    def take(self, network_id: str, wanted: Sequence[Pool], **more: Any) -> tuple[Pool, ...]:
        return self.inner.take(network_id, wanted, **(more | {"occupied": ()}))


class _ForgetsGateway(_Broken):
    def take(self, network_id: str, wanted: Sequence[Pool], **more: Any) -> tuple[Pool, ...]:
        return tuple(evolve(each, gateway="") for each in self.inner.take(network_id, wanted, **more))


class _ForgetsRange(_Broken):
    def take(self, network_id: str, wanted: Sequence[Pool], **more: Any) -> tuple[Pool, ...]:
        return self.inner.take(network_id, [evolve(each, ip_range="") for each in wanted], **more)


class _NeverSix(_Broken):
    def take(self, network_id: str, wanted: Sequence[Pool], **more: Any) -> tuple[Pool, ...]:
        return self.inner.take(network_id, wanted, **(more | {"ipv6": False}))


class _TakesAnew(_Broken):
    def take(self, network_id: str, wanted: Sequence[Pool], **more: Any) -> tuple[Pool, ...]:
        self.inner.give_back(network_id)
        return self.inner.take(network_id, wanted, **more)


class _ShiftsOverlaps(_Broken):
    def take(self, network_id: str, wanted: Sequence[Pool], **more: Any) -> tuple[Pool, ...]:
        try:
            return self.inner.take(network_id, wanted, **more)
        except Conflict:
            return self.inner.take(network_id, [], **more)


class _TakesNonsense(_Broken):
    def take(self, network_id: str, wanted: Sequence[Pool], **more: Any) -> tuple[Pool, ...]:
        try:
            return self.inner.take(network_id, wanted, **more)
        except Invalid:
            return self.inner.take(network_id, [], **more)


class _ForgetsReserved(_Broken):
    def take(self, network_id: str, wanted: Sequence[Pool], **more: Any) -> tuple[Pool, ...]:
        return self.inner.take(network_id, [evolve(each, reserved={}) for each in wanted], **more)


class _AlwaysTheFirst(_Broken):
    def assign(self, network_id: str, endpoint_id: str, wanted: Sequence[str] = ()) -> tuple[str, ...]:
        found = self.inner.assign(network_id, endpoint_id, wanted)
        first = self.inner.assign(network_id, "e1")
        return first if not wanted else found


class _ReusesAtOnce(_Broken):
    def __init__(self, ipam: Ipam) -> None:
        super().__init__(ipam)
        self.last: tuple[str, ...] = ()

    def assign(self, network_id: str, endpoint_id: str, wanted: Sequence[str] = ()) -> tuple[str, ...]:
        if self.last and not wanted:
            wanted = [each.partition("/")[0] for each in self.last]
        return self.inner.assign(network_id, endpoint_id, wanted)

    def unassign(self, network_id: str, endpoint_id: str) -> None:
        self.last = self.inner.assign(network_id, endpoint_id)
        self.inner.unassign(network_id, endpoint_id)


class _AssignsAnew(_Broken):
    def assign(self, network_id: str, endpoint_id: str, wanted: Sequence[str] = ()) -> tuple[str, ...]:
        self.inner.unassign(network_id, endpoint_id)
        return self.inner.assign(network_id, endpoint_id, wanted)


class _IgnoresWishes(_Broken):
    def assign(self, network_id: str, endpoint_id: str, wanted: Sequence[str] = ()) -> tuple[str, ...]:
        return self.inner.assign(network_id, endpoint_id)


class _GivesWhatIsTaken(_Broken):
    def assign(self, network_id: str, endpoint_id: str, wanted: Sequence[str] = ()) -> tuple[str, ...]:
        try:
            return self.inner.assign(network_id, endpoint_id, wanted)
        except Conflict:
            return tuple(f"{each}/24" for each in wanted)


class _InventsNetworks(_Broken):
    def assign(self, network_id: str, endpoint_id: str, wanted: Sequence[str] = ()) -> tuple[str, ...]:
        try:
            return self.inner.assign(network_id, endpoint_id, wanted)
        except NotFound:
            return ()


class _ForgetsPrefix(_Broken):
    def assign(self, network_id: str, endpoint_id: str, wanted: Sequence[str] = ()) -> tuple[str, ...]:
        return tuple(each.partition("/")[0] for each in self.inner.assign(network_id, endpoint_id, wanted))


class _TakesTwoOfAFamily(_Broken):
    def assign(self, network_id: str, endpoint_id: str, wanted: Sequence[str] = ()) -> tuple[str, ...]:
        return self.inner.assign(network_id, endpoint_id, wanted[:1])


class _KeepsAddresses(_Broken):
    def unassign(self, network_id: str, endpoint_id: str) -> None:
        pass


class _KeepsSubnets(_Broken):
    def give_back(self, network_id: str) -> None:
        pass


class _KeepsAll(_Broken):
    def keep(self, endpoints: Mapping[str, Collection[str]]) -> None:
        pass


class _KeepsNothing(_Broken):
    def keep(self, endpoints: Mapping[str, Collection[str]]) -> None:
        self.inner.keep({})


MUTANTS = (
    Mutant(_IgnoresOccupied, "test_what_is_occupied"),
    Mutant(_ForgetsGateway, "test_subnets_that_are_chosen"),
    Mutant(_ForgetsRange, "test_wishes"),
    Mutant(_ForgetsReserved, "test_handing_out_leaps_over_what_is_wanted"),
    Mutant(_ForgetsReserved, "test_reserved_twice"),
    Mutant(_NeverSix, "test_both_families"),
    Mutant(_TakesAnew, "test_taking_again"),
    Mutant(_ShiftsOverlaps, "test_overlapping_wishes"),
    Mutant(_TakesNonsense, "test_nonsense"),
    Mutant(_TakesTwoOfAFamily, "test_one_of_a_family"),
    Mutant(_AlwaysTheFirst, "test_addresses_in_order"),
    Mutant(_ReusesAtOnce, "test_one_that_was_given_back_waits_for_its_turn"),
    Mutant(_AssignsAnew, "test_assigning_again"),
    Mutant(_IgnoresWishes, "test_wanted_addresses"),
    Mutant(_GivesWhatIsTaken, "test_wanted_addresses"),
    Mutant(_InventsNetworks, "test_giving_back"),
    Mutant(_ForgetsPrefix, "test_addresses_in_order"),
    Mutant(_KeepsAddresses, "test_giving_back"),
    Mutant(_KeepsSubnets, "test_giving_back"),
    Mutant(_KeepsAll, "test_keeping"),
    Mutant(_KeepsNothing, "test_keeping"),
)
