"""How what stands is made what running containers have joined, whatever an engine that was killed left half-way."""

from collections.abc import Collection, Sequence

from moby.contracts.network_driver import Attachment
from moby.contracts.networks import OTHERS
from moby.errors import HostUnfit, MobyError
from moby_networks.registry.context import Context, Failures
from moby_networks.registry.joining import Joining
from moby_networks.registry.records import Joined, Known, Membership
from moby_networks.registry.returning import come_back

__all__ = ["recover"]


def recover(
    context: Context, joining: Joining, running: Collection[str], *, everything: bool = False, far: Collection[str] = ()
) -> Sequence[str]:
    """Have all others leave, and make good what these have; return what couldn't be, in words.

    Sandboxes that aren't containers' stay, unless it is `everything`; `far` are those of other hosts that are
    found here.
    """
    failures = Failures()
    for each in context.records.strangers():
        stays = each in running or (each.startswith(OTHERS) and not everything)
        if not stays or context.records.joined(each) is None:
            _forget(context, joining, each, failures)
    kept, known = context.records.all_joined(), context.records.networks()
    networks = [each for each in known if context.has_driver(each.network.driver)]
    for ipam in context.ipams.values():
        # Those whose driver isn't here now, as a plugin that is away, have their addresses still.
        mine = [each for each in known if each.network.ipam_driver == ipam.name]
        failures.run(ipam.keep, {each.network.id: _endpoints(each, kept) for each in mine})
    if context.records.shared:
        places = [(of.endpoint.network_id, each.container_id) for each in kept for of in each.memberships]
        failures.run(context.records.shared.keep, places)
        failures.run(context.records.shared.count_on)
        failures.run(come_back, context, joining, context.records.shared)
        kept = context.records.all_joined()
    failures.run(context.discovery.keep, [*(each.container_id for each in kept if each.discovered), *far])
    for name in context.driver_names():
        held = [(each.segment, _attachments(each, kept)) for each in networks if each.network.driver == name]
        failures.run(context.driver(name).keep, held)
    failures.run(context.namespaces.keep, {each.container_id for each in kept})
    for joined in kept:
        joining.repair(joined, failures)
    return [_told(each) for each in failures.errors]


def _told(error: Exception) -> str:
    if not isinstance(error, MobyError):
        return str(error)
    return f"{error.message} ({error.hint})" if error.hint and isinstance(error, HostUnfit) else error.message


def _forget(context: Context, joining: Joining, container_id: str, failures: Failures) -> None:
    with context.container(container_id):
        joined = context.records.joined(container_id)
        if joined is None:  # of another boot
            context.records.delete_joined(container_id)
        else:
            failures.run(joining.leave, joined)


def _endpoints(known: Known, kept: Sequence[Joined]) -> list[str]:
    return [each.taker for each in _memberships(known, kept)]


def _attachments(known: Known, kept: Sequence[Joined]) -> list[Attachment]:
    return [each.attachment for each in _memberships(known, kept)]


def _memberships(known: Known, kept: Sequence[Joined]) -> list[Membership]:
    memberships = (each.membership(known.network.id) for each in kept)
    return [each for each in memberships if each is not None]
