"""Mutants of network drivers: each breaks one promise, and names the test of the suite that sees it."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from moby.contracts.network_driver import Attachment, Link, Segment
from moby.errors import Conflict, MobyError, NotFound
from moby.host.elsewhere import in_namespace
from moby.host.netlink import Channel
from moby.host.rtnetlink import addresses, links
from moby.testing.mutants import Broken, Mutant
from moby.values import evolve

__all__ = ["MAKING_MUTANTS", "MUTANTS", "OPENING_MUTANTS", "PUBLISHING_MUTANTS"]

_Broken = Broken[Any]

Held = Sequence[tuple[Segment, Sequence[Attachment]]]


class _Nameless(_Broken):
    name = ""


class _Planet(_Broken):
    scope = "planet"


class _NoNetworkAtAll(_Broken):
    predefined = ""
    creatable = False


class _ManyHosts(_Broken):
    shares_host = True
    creatable = True


class _PublishesNowhere(_Broken):
    publishes = True
    addressed = False


class _TakesAnyOption(_Broken):
    def check(self, options: Mapping[str, str]) -> None:
        return


class _OptionsOfChance(_Broken):
    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.predefined_options = {"com.docker.network.driver.mtu": str(1300 + secrets.randbelow(1 << 15))}

    def check(self, options: Mapping[str, str]) -> None:
        return


class _OptionsOfOthers(_Broken):
    predefined_options: Mapping[str, str] = {"nonesuch": "1"}


def _there(namespace: int, change: Callable[[Channel], object]) -> None:
    """Do something in a namespace."""
    with in_namespace(namespace, Channel) as channel:
        change(channel)


class _Attaching(_Broken):
    """Does something more once it is attached."""

    def attach(self, segment: Segment, attachment: Attachment, namespace: int) -> Link:
        link: Link = self.inner.attach(segment, attachment, namespace)
        return self.more(segment, link, namespace)

    def more(self, segment: Segment, link: Link, namespace: int) -> Link:
        """Return what is answered then."""
        return link


class _SaysEth0(_Attaching):
    def more(self, segment: Segment, link: Link, namespace: int) -> Link:
        return evolve(link, interface="eth0")


class _LeavesItDown(_Attaching):
    def more(self, segment: Segment, link: Link, namespace: int) -> Link:
        _there(namespace, lambda it: it.run(links.change(links.index_of(it, link.interface), up=False)))
        return link


class _TouchesLoopback(_Attaching):
    def more(self, segment: Segment, link: Link, namespace: int) -> Link:
        _there(namespace, lambda it: it.run(addresses.add(links.index_of(it, "lo"), "127.9.9.9/8")))
        return link


class _TakesAnAddress(_Attaching):
    def more(self, segment: Segment, link: Link, namespace: int) -> Link:
        _there(namespace, lambda it: it.run(addresses.remove(links.index_of(it, link.interface), link.addresses[0])))
        return link


class _SaysNoAddress(_Attaching):
    def more(self, segment: Segment, link: Link, namespace: int) -> Link:
        return evolve(link, addresses=())


class _SaysAnyMac(_Attaching):
    def more(self, segment: Segment, link: Link, namespace: int) -> Link:
        return evolve(link, mac_address=f"02:{secrets.token_bytes(5).hex(':')}")


class _OwnMac(_Broken):
    def attach(self, segment: Segment, attachment: Attachment, namespace: int) -> Link:
        link: Link = self.inner.attach(segment, evolve(attachment, mac_address=""), namespace)
        return link


class _MacOfChance(_Broken):
    def attach(self, segment: Segment, attachment: Attachment, namespace: int) -> Link:
        mac = attachment.mac_address or f"02:{secrets.token_bytes(5).hex(':')}"
        link: Link = self.inner.attach(segment, evolve(attachment, mac_address=mac), namespace)
        return link


class _NoFurtherAddress(_Broken):
    def attach(self, segment: Segment, attachment: Attachment, namespace: int) -> Link:
        link: Link = self.inner.attach(segment, evolve(attachment, link_local=()), namespace)
        return link


class _SaysAllAddresses(_Broken):
    def attach(self, segment: Segment, attachment: Attachment, namespace: int) -> Link:
        link: Link = self.inner.attach(segment, attachment, namespace)
        return evolve(link, addresses=(*link.addresses, *attachment.link_local))


class _NoWayOut(_Attaching):
    def more(self, segment: Segment, link: Link, namespace: int) -> Link:
        return evolve(link, gateways=(), routed_directly=False)


class _AlwaysAWayOut(_Attaching):
    def more(self, segment: Segment, link: Link, namespace: int) -> Link:
        return evolve(link, gateways=tuple(each.gateway for each in segment.pools))


class _OneFamily(_Attaching):
    def more(self, segment: Segment, link: Link, namespace: int) -> Link:
        def remove(channel: Channel) -> None:
            channel.run(addresses.remove(links.index_of(channel, link.interface), link.addresses[-1]))

        _there(namespace, remove)
        return link


class _TakesTheInterface(_Broken):
    def attach(self, segment: Segment, attachment: Attachment, namespace: int) -> Link:
        try:
            link: Link = self.inner.attach(segment, attachment, namespace)
        except Conflict:
            _there(namespace, lambda it: it.run(links.delete(links.index_of(it, attachment.interface))))
            raise
        return link


class _LeavesSomething(_Broken):
    def attach(self, segment: Segment, attachment: Attachment, namespace: int) -> Link:
        try:
            link: Link = self.inner.attach(segment, attachment, namespace)
        except Conflict:
            with Channel() as channel:
                channel.run(links.bridge("left"))
            raise
        return link


class _StaysAttached(_Broken):
    def detach(self, segment: Segment, attachment: Attachment, namespace: int | None = None) -> None:
        return


class _DetachesAll(_Broken):
    def detach(self, segment: Segment, attachment: Attachment, namespace: int | None = None) -> None:
        if namespace is not None:

            def remove(channel: Channel) -> None:
                for each in links.dump(channel):
                    if not each.loopback:
                        channel.run(links.delete(each.index))

            _there(namespace, remove)


class _MustBeAttached(_Broken):
    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.attached: set[str] = set()

    def attach(self, segment: Segment, attachment: Attachment, namespace: int) -> Link:
        self.attached.add(attachment.id)
        link: Link = self.inner.attach(segment, attachment, namespace)
        return link

    def detach(self, segment: Segment, attachment: Attachment, namespace: int | None = None) -> None:
        if attachment.id not in self.attached:
            raise NotFound(attachment.id)
        self.attached.discard(attachment.id)
        self.inner.detach(segment, attachment, namespace)


class _NeedsTheNamespace(_Broken):
    def detach(self, segment: Segment, attachment: Attachment, namespace: int | None = None) -> None:
        if namespace is None:
            raise Conflict("where is it?")
        self.inner.detach(segment, attachment, namespace)


class _StaysMade(_Broken):
    def unmake(self, segment: Segment) -> None:
        return


class _UnmakesOnce(_Broken):
    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.gone: set[str] = set()

    def unmake(self, segment: Segment) -> None:
        if segment.id in self.gone:
            raise NotFound(segment.name)
        self.gone.add(segment.id)
        self.inner.unmake(segment)


class _MakesOnce(_Broken):
    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.made: set[str] = set()

    def make(self, segment: Segment) -> None:
        if segment.id in self.made:
            raise Conflict(segment.name)
        self.made.add(segment.id)
        self.inner.make(segment)


class _RepairsNothing(_MakesOnce):
    def make(self, segment: Segment) -> None:
        if segment.id not in self.made:
            super().make(segment)

    def attach(self, segment: Segment, attachment: Attachment, namespace: int) -> Link:
        with Channel() as channel:
            if not any(each.kind == "bridge" for each in links.dump(channel)):
                raise NotFound(segment.name)
        link: Link = self.inner.attach(segment, attachment, namespace)
        return link


class _KeepsNothing(_Broken):
    def keep(self, held: Held) -> None:
        self.inner.keep([])


class _KeepsAll(_Broken):
    def keep(self, held: Held) -> None:
        return


class _KeepsAllPlaces(_Broken):
    def keep(self, held: Held) -> None:
        if not held:
            self.inner.keep(held)


class _MakesPlaces(_Broken):
    def keep(self, held: Held) -> None:
        self.inner.keep(held)
        for each in held:
            raise Conflict(f"nobody is on {each[0].name}")


class _NotPublished(_Broken):
    def attach(self, segment: Segment, attachment: Attachment, namespace: int) -> Link:
        link: Link = self.inner.attach(segment, evolve(attachment, ports=()), namespace)
        return link


class _StaysPublished(_Broken):
    def detach(self, segment: Segment, attachment: Attachment, namespace: int | None = None) -> None:
        self.inner.detach(segment, evolve(attachment, id="0" * 64), namespace)


class _PublishesToo(_Broken):
    """Keeps what was published before."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.ports: tuple[Any, ...] = ()

    def attach(self, segment: Segment, attachment: Attachment, namespace: int) -> Link:
        self.ports += attachment.ports
        link: Link = self.inner.attach(segment, attachment, namespace)
        return link

    def publish(self, segment: Segment, attachment: Attachment) -> None:
        self.ports += attachment.ports
        self.inner.publish(segment, evolve(attachment, ports=tuple(set(self.ports))))


class _PublishesNothingNew(_Broken):
    def publish(self, segment: Segment, attachment: Attachment) -> None:
        return


class _PublishesForAnybody(_Broken):
    def publish(self, segment: Segment, attachment: Attachment) -> None:
        try:
            self.inner.publish(segment, attachment)
        except MobyError:
            return


class _ForgetsPorts(_Broken):
    def keep(self, held: Held) -> None:
        self.inner.keep([(segment, [evolve(each, ports=()) for each in places]) for segment, places in held])


class _OpensNothing(_Broken):
    """Passes over what is none of the host's."""

    def attach(self, segment: Segment, attachment: Attachment, namespace: int) -> Link:
        ports = tuple(each for each in attachment.ports if each.host_port)
        link: Link = self.inner.attach(segment, evolve(attachment, ports=ports), namespace)
        return link


class _TakesThePort(_Broken):
    """Has the same port of the host's be the container's."""

    def publish(self, segment: Segment, attachment: Attachment) -> None:
        ports = tuple(evolve(each, host_port=each.host_port or each.container_port) for each in attachment.ports)
        self.inner.publish(segment, evolve(attachment, ports=ports))


MUTANTS = (
    Mutant(_Nameless, "test_what_people_see"),
    Mutant(_Planet, "test_what_people_see"),
    Mutant(_NoNetworkAtAll, "test_there_is_a_network_of_it"),
    Mutant(_ManyHosts, "test_who_shares_the_host_is_made_once"),
    Mutant(_PublishesNowhere, "test_who_publishes_has_addresses"),
    Mutant(_TakesAnyOption, "test_options"),
    Mutant(_OptionsOfChance, "test_options_of_the_network_that_is_there"),
    Mutant(_OptionsOfOthers, "test_options_of_the_network_that_is_there"),
)
"""Of any driver."""

MAKING_MUTANTS = (
    Mutant(_SaysEth0, "test_attaching"),
    Mutant(_LeavesItDown, "test_attaching"),
    Mutant(_TouchesLoopback, "test_attaching"),
    Mutant(_TakesAnAddress, "test_attaching"),
    Mutant(_SaysNoAddress, "test_attaching"),
    Mutant(_SaysAnyMac, "test_attaching"),
    Mutant(_OwnMac, "test_hardware_addresses"),
    Mutant(_MacOfChance, "test_hardware_addresses"),
    Mutant(_NoFurtherAddress, "test_further_addresses"),
    Mutant(_SaysAllAddresses, "test_further_addresses"),
    Mutant(_NoWayOut, "test_the_way_out"),
    Mutant(_AlwaysAWayOut, "test_the_way_out"),
    Mutant(_OneFamily, "test_containers_reach_each_other", (False,)),
    Mutant(_LeavesItDown, "test_containers_reach_each_other", (True,)),
    Mutant(_TakesTheInterface, "test_an_interface_that_is_there"),
    Mutant(_LeavesSomething, "test_an_interface_that_is_there"),
    Mutant(_StaysAttached, "test_detaching"),
    Mutant(_DetachesAll, "test_detaching"),
    Mutant(_MustBeAttached, "test_detaching"),
    Mutant(_NeedsTheNamespace, "test_a_namespace_that_goes"),
    Mutant(_MustBeAttached, "test_a_namespace_that_goes"),
    Mutant(_StaysMade, "test_unmaking"),
    Mutant(_UnmakesOnce, "test_unmaking"),
    Mutant(_MakesOnce, "test_making_again"),
    Mutant(_RepairsNothing, "test_making_again"),
    Mutant(_KeepsNothing, "test_the_next_process"),
    Mutant(_KeepsAll, "test_keeping"),
    Mutant(_KeepsAllPlaces, "test_keeping"),
    Mutant(_KeepsNothing, "test_keeping"),
    Mutant(_MakesPlaces, "test_keeping_repairs"),
)
"""Of a driver that makes bridges, and interfaces with addresses."""

PUBLISHING_MUTANTS = (
    Mutant(_NotPublished, "test_publishing"),
    Mutant(_StaysPublished, "test_publishing"),
    Mutant(_TakesThePort, "test_a_port_that_is_none_of_the_host_s"),
    Mutant(_PublishesToo, "test_publishing_anew"),
    Mutant(_PublishesNothingNew, "test_publishing_anew"),
    Mutant(_PublishesForAnybody, "test_publishing_anew"),
    Mutant(_ForgetsPorts, "test_publishing_anew"),
)
"""Of a driver that publishes too."""

OPENING_MUTANTS = (Mutant(_OpensNothing, "test_a_port_that_is_none_of_the_host_s"),)
"""Of one that keeps others away from all that isn't published."""
