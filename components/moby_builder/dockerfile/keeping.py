"""What effects keep for themselves, as a prune sees it."""

from collections.abc import Sequence

from moby.contracts.builder import CacheEntry
from moby.values import frozen
from moby_builder.dockerfile.effects.cache_mounts import CacheMounts
from moby_builder.dockerfile.effects.local import KeptFolders
from moby_builder.dockerfile.effects.repositories import Repositories
from moby_builder.dockerfile.effects.workspace import PREFIX

__all__ = ["KeptCheckouts", "KeptContexts", "KeptMounts"]

_MOUNTS = f"{PREFIX}cache/"


@frozen
class KeptMounts:
    """Cache mounts."""

    mounts: CacheMounts

    def entries(self) -> Sequence[CacheEntry]:
        """Return all cache mounts."""
        return [
            CacheEntry(
                each.key.removeprefix(_MOUNTS), "exec.cachemount", each.description, self.mounts.size_bytes(each.key),
                each.created_ns, each.used_ns, each.uses, in_use=self.mounts.in_use(each.key),
            )
            for each in self.mounts.list()
        ]  # fmt: skip

    def remove(self, entry_id: str) -> None:
        """Remove one; Conflict where a build has it."""
        self.mounts.remove(_MOUNTS + entry_id)


@frozen
class KeptContexts:
    """Folders that sessions lent."""

    folders: KeptFolders

    def entries(self) -> Sequence[CacheEntry]:
        """Return all folders that are kept."""
        return [
            CacheEntry(
                each.key, "source.local", each.description, each.size_bytes, each.created_ns, each.used_ns,
                max(each.uses - 1, 0), in_use=self.folders.in_use(each.key),
            )
            for each in self.folders.list()
        ]  # fmt: skip

    def remove(self, entry_id: str) -> None:
        """Remove one; Conflict where a build has it."""
        self.folders.remove(entry_id)


@frozen
class KeptCheckouts:
    """Repositories that checkouts were made of."""

    repositories: Repositories

    def entries(self) -> Sequence[CacheEntry]:
        """Return all repositories that are kept."""
        return [
            CacheEntry(
                each.key, "source.git.checkout", f"git repository {each.remote}", each.size_bytes, each.created_ns,
                each.used_ns, in_use=self.repositories.in_use(each.key),
            )
            for each in self.repositories.list()
        ]  # fmt: skip

    def remove(self, entry_id: str) -> None:
        """Remove one; Conflict where a build has it."""
        self.repositories.remove(entry_id)
