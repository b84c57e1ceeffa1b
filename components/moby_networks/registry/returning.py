"""What containers of this host have of networks that hosts share, after the others had given this one up."""

import hashlib

from moby.errors import Conflict, Invalid, NotFound
from moby.values import evolve
from moby_networks.registry.context import Context, Failures
from moby_networks.registry.joining import Joining
from moby_networks.registry.records import Joined, Membership
from moby_networks.registry.shared import Shared

__all__ = ["come_back"]


def come_back(context: Context, joining: Joining, shared: Shared) -> None:
    """Tell others all anew, if they had given this host up; what fails is done again by the next call.

    A container whose address another has by now is taken off that network, as is one whose network has gone.
    """
    if not shared.given_up:
        return
    failures = Failures()
    for each in context.records.all_joined():
        failures.run(_regain, context, joining, shared, each.container_id)
    failures.tell()
    shared.come_back()
    context.log.warning("other hosts had given this one up: they are told who is on the networks that all know")


def _regain(context: Context, joining: Joining, shared: Shared, container_id: str) -> None:
    with context.container(container_id):
        joined = context.records.joined(container_id)
        if joined is None:
            return
        found = [_regained(context, shared, joined, each) for each in joined.memberships]
        both = tuple(zip(joined.memberships, found, strict=True))
        lost = [before.endpoint for before, now in both if now is None]
        new = evolve(joined, memberships=tuple(now or before for before, now in both))
        if lost:
            joining.drop(new, [each.network_id for each in lost])
        elif new != joined:
            context.records.put_joined(new)
    for each in lost:
        address = each.ipv4_address or each.ipv6_address
        context.log.warning(
            f"container {joined.config.name or container_id[:12]} is no longer on network {each.network}: "
            f"others had given this host up, and its address {address} is another's, or the network has gone"
        )


def _regained(context: Context, shared: Shared, joined: Joined, membership: Membership) -> Membership | None:
    """Return an endpoint with its addresses still, or again, its own; None for one that is lost."""
    network_id = membership.endpoint.network_id
    known = context.records.network(network_id)
    if known is None:
        return None
    if not context.records.is_shared(network_id) or shared.stands(network_id, joined.container_id, membership.taker):
        return membership
    # Of the one before, so that what was taken by a call that failed then is found again.
    taker = hashlib.sha256(membership.taker.encode()).hexdigest()
    if context.driver(known.network.driver).addressed:
        ipam = context.ipam(known.network.ipam_driver)
        # As others may still be about to; what is taken now is none of theirs.
        ipam.unassign(network_id, membership.taker)
        try:
            ipam.assign(network_id, taker, [each.partition("/")[0] for each in membership.attachment.addresses])
        except (Conflict, Invalid, NotFound):
            return None
    return evolve(membership, claim=taker)
