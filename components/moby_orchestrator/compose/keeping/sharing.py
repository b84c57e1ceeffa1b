"""What an application's services share: its networks and volumes, found again by docker compose's labels."""

from contextlib import suppress

from moby.contracts.networks import Network
from moby.contracts.orchestrator import Application, Change, Outcome
from moby.contracts.volumes import Volume
from moby.errors import Conflict, Denied, NotFound
from moby.values import evolve
from moby_orchestrator.compose import names
from moby_orchestrator.compose.keeping.parts import Parts
from moby_orchestrator.compose.keeping.values import key_of

__all__ = ["Sharing"]


class Sharing:
    """Makes and removes networks and volumes of applications; callers take turns."""

    def __init__(self, parts: Parts) -> None:
        self._networks, self._volumes = parts.networks, parts.volumes

    def refuse(self, application: Application) -> None:
        """Refuse external things that aren't there, with NotFound, and names of others', with Conflict."""
        for network in application.networks:
            there = self._network(network.network.name)
            if network.external and there is None:
                name = network.network.name
                raise NotFound(f"network {name} declared as external, but could not be found", hint="make it first")
            if there is not None and not network.external and _foreign(application, there):
                raise Conflict(
                    f"the network {there.name} exists and belongs to something else",
                    hint="declare it with `external: true`, or rename it",
                )
        for volume in application.volumes:
            found = self._volume(volume.name)
            if volume.external and found is None:
                raise NotFound(f'external volume "{volume.name}" not found', hint="make it first")
            if found is not None and not volume.external and _foreign(application, found):
                raise Conflict(
                    f"the volume {volume.name} exists and belongs to something else",
                    hint="declare it with `external: true`, or rename it",
                )

    def make(self, application: Application) -> list[Change]:
        """Make what isn't there; return what became of each of its own."""
        changes = []
        for network in application.networks:
            name = network.network.name
            if network.external:
                continue
            there = self._network(name)
            if there is None:
                own = _labels(application.name, names.NETWORK, name)
                given = network.network
                self._networks.create(evolve(given, labels={**given.labels, **own}))
            changes.append(Change("network", name, Outcome.UNCHANGED if there else Outcome.CREATED))
        for volume in application.volumes:
            if volume.external:
                continue
            found = self._volume(volume.name)
            if found is None:
                own = _labels(application.name, names.VOLUME, volume.name)
                self._volumes.create(volume.name, volume.driver, volume.options, {**volume.labels, **own})
            changes.append(Change("volume", volume.name, Outcome.UNCHANGED if found else Outcome.CREATED))
        return changes

    def own(self, application: str, *, volumes: bool) -> list[Change]:
        """Return what an application has of its own, as it is told when that goes."""
        networks = [each for each in self._networks.list() if each.labels.get(names.PROJECT) == application]
        found = [Change("network", each.name, Outcome.REMOVED) for each in networks]
        others = [each for each in self._volumes.list() if each.labels.get(names.PROJECT) == application]
        return found + [Change("volume", each.name, Outcome.REMOVED) for each in others if volumes]

    def remove(self, application: str, *, volumes: bool) -> None:
        """Remove what is an application's own; what somebody else uses stays."""
        for each in self.own(application, volumes=volumes):
            with suppress(Denied, Conflict, NotFound):
                (self._networks if each.type == "network" else self._volumes).remove(each.name)

    def _network(self, name: str) -> Network | None:
        with suppress(NotFound):
            return self._networks.get(name)
        return None

    def _volume(self, name: str) -> Volume | None:
        with suppress(NotFound):
            return self._volumes.get(name)
        return None


def _foreign(application: Application, found: Network | Volume) -> bool:
    return found.labels.get(names.PROJECT) != application.name


def _labels(application: str, key: str, name: str) -> dict[str, str]:
    return {key: key_of(application, name), names.PROJECT: application, f"{names.PREFIX}version": names.VERSION}
