"""Taking names and images away, with Docker's rules and words (moby, daemon/images/image_delete.go)."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from moby.contracts.images import Filters, Pruned, Removal
from moby.contracts.types import Digest, ImageReference
from moby.errors import Conflict, Corrupt
from moby.oci import reference as references
from moby_images.store.catalog import chain_ids
from moby_images.store.filters import PRUNED, dangling_of, predicate
from moby_images.store.parts import Shared

__all__ = ["Removing"]


class Removing:
    """Removes images."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._catalog = shared.catalog

    def remove(self, name: str, *, force: bool, prune: bool, running: Collection[str]) -> tuple[Removal, ...]:
        """Take a name away, and with the last one the image."""
        removals: list[Removal] = []
        with self._catalog.metadata.transaction():
            identity, reference = self._catalog.find(name)
            labels = self._labels(identity)
            by_name = reference is not None and (reference.digest is None or reference in self._catalog.names(identity))
            if by_name and reference is not None:
                self._untag(identity, name, reference, force, removals)
                left = self._catalog.names(identity)
                if left:
                    return self._done(removals, identity, labels)
                why = self._reason(identity, running, hard_only=force)
                if why:
                    return self._done(removals, identity, labels)  # the name is gone; the image stays for who uses it
            else:
                self._untag_all(identity, force, running, removals)
            self._delete(identity, prune, removals)
        return self._done(removals, identity, labels)

    def _labels(self, identity: Digest) -> Mapping[str, str]:
        with suppress(Corrupt):  # which keeps nobody from taking a name away
            return self._catalog.config(self._catalog.record(identity)).config.labels
        return {}

    def _done(self, removals: list[Removal], identity: Digest, labels: Mapping[str, str]) -> tuple[Removal, ...]:
        for each in removals:
            if not each.deleted:
                self._shared.tell("untag", identity, labels=labels)  # not of which name, as docker has it
            elif self._shared.catalog.has(identity) is False and each.name == str(identity):
                self._shared.tell("delete", identity)
        return tuple(removals)

    def _untag(
        self, identity: Digest, name: str, reference: ImageReference, force: bool, removals: list[Removal]
    ) -> None:
        names = self._catalog.names(identity)
        users = self._users(identity)
        if users and not force and len([each for each in names if each.tag]) <= 1:
            raise Conflict(
                f'conflict: unable to remove repository reference "{name}" (must force)'
                f" - container {users[0][:12]} is using its referenced image {identity.hex[:12]}",
                hint="remove the container first, or force it",
            )
        self._take(reference, removals)
        same = [each for each in names if (each.domain, each.path) == (reference.domain, reference.path)]
        if reference.tag and not [each for each in same if each.tag and each != reference]:
            for each in same:
                if each.digest:  # a repository's digests go with its last tag
                    self._take(each, removals)

    def _untag_all(self, identity: Digest, force: bool, running: Collection[str], removals: list[Removal]) -> None:
        names = self._catalog.names(identity)
        repositories = {(each.domain, each.path) for each in names}
        tags = [each for each in names if each.tag]
        why, hint = self._reason(identity, running, hard_only=True), "remove what uses it first"
        forcible = not why and not force
        if forcible and len(repositories) > 1 and len(tags) > 1:
            shown = ", ".join(references.familiar(each) for each in names)
            why, hint = "image is referenced in multiple repositories", f"remove it by each of its names: {shown}"
        elif forcible:
            why = self._reason(identity, running, hard_only=False)
        if why:
            raise self._conflict(identity, why, forcible=forcible, hint=hint)
        for each in names:
            self._take(each, removals)

    def _take(self, reference: ImageReference, removals: list[Removal]) -> None:
        self._catalog.unname(reference)
        removals.append(Removal(references.familiar(reference)))

    def _reason(self, identity: Digest, running: Collection[str], *, hard_only: bool) -> str:
        """Return why an image can't be deleted; empty where it can."""
        if self._catalog.children(identity):
            return "image has dependent child images"
        users = self._users(identity)
        for each in users:
            if each in running:
                return f"image is being used by running container {each[:12]}"
        if users and not hard_only:
            return f"image is being used by stopped container {users[0][:12]}"
        return ""

    def _conflict(self, identity: Digest, why: str, *, forcible: bool, hint: str) -> Conflict:
        how = "must be forced" if forcible else "cannot be forced"
        return Conflict(f"conflict: unable to delete {identity.hex[:12]} ({how}) - {why}", hint=hint)

    def _users(self, identity: Digest) -> list[str]:
        return sorted(key for key, hold in self._catalog.holds().items() if hold.image == identity)

    def _delete(self, identity: Digest, prune: bool, removals: list[Removal]) -> None:
        """Delete an image, its layers that no other has, and then nameless ones that it was made on."""
        before = self._chains()
        record = self._catalog.record(identity)
        self._catalog.drop(identity)
        removals.append(Removal(str(identity), deleted=True))
        after = set(self._chains())
        if self._users(identity):  # which keep its layers
            after |= set(map(str, chain_ids(self._catalog.config(record).diff_ids)))
        removals += [Removal(each, deleted=True) for each in before if each not in after]
        parent = record.parent
        if not prune or parent is None or not self._catalog.has(parent):
            return
        if not self._catalog.names(parent) and not self._reason(parent, (), hard_only=False):
            self._delete(parent, prune, removals)

    def _chains(self) -> list[str]:
        """Return the chain ids of all images' layers, the topmost of each first."""
        found: dict[str, None] = {}
        for record in self._catalog.records().values():
            for chain in reversed(chain_ids(self._catalog.config(record).diff_ids)):
                found.setdefault(str(chain))
        return list(found)

    def prune(self, filters: Filters) -> Pruned:
        """Remove images that nothing uses; those with names only where `dangling` is false."""
        named = dangling_of(filters) is False
        passes = predicate(filters, PRUNED, lambda name: self._catalog.image(self._catalog.find(name)[0]), _now())
        removals: list[Removal] = []
        for each in self._catalog.images():
            if (each.references and not named) or not passes(each):
                continue
            with self._catalog.metadata.transaction():
                if not self._catalog.has(each.id) or self._reason(each.id, (), hard_only=False):
                    continue
                gone: list[Removal] = []
                for reference in self._catalog.names(each.id):
                    self._take(reference, gone)
                self._delete(each.id, True, gone)
            removals += self._done(gone, each.id, each.config.labels)
        return Pruned(tuple(removals), self._shared.collect())


def _now() -> datetime:
    return datetime.now(UTC)
