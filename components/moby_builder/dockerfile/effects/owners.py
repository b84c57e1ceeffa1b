"""Owners: whom `--chown` gives files to, by the passwd and group files of the root that they are in."""

from pathlib import Path

from moby.contracts.builder import BuildFailed
from moby.errors import NotFound
from moby.oci.user import resolve_groups, resolve_user
from moby_builder.dockerfile.operations import Owner

__all__ = ["owner_in"]


def owner_in(root: Path, owner: Owner | None) -> tuple[int, int] | None:
    """Return user and group in numbers; None where owners are kept. A number without a group is its group's as well."""
    if owner is None:
        return None
    user = owner.user or "0"
    try:
        if user.isascii() and user.isdigit():
            uid = gid = int(user)
        else:
            found = resolve_user(root, user)
            uid, gid = found.uid, found.gid
    except NotFound as error:
        raise BuildFailed(f"unable to convert uid/gid chown string to host mapping: can't find uid for user {user}:"
                          f" no such user: {user}") from error  # fmt: skip
    if owner.group:
        if owner.group.isascii() and owner.group.isdigit():
            return uid, int(owner.group)
        try:
            (gid,) = resolve_groups(root, (owner.group,))
        except NotFound as error:
            raise BuildFailed(
                f"unable to convert uid/gid chown string to host mapping: can't find gid for group {owner.group}:"
                f" no such group: {owner.group}"
            ) from error
    return uid, gid
