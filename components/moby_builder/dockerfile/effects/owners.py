"""Owners: whom `--chown` gives files to, by the passwd and group files of the root that they are in."""

from pathlib import Path

from moby.errors import NotFound
from moby.oci.user import resolve_groups, resolve_user
from moby_builder.dockerfile.operations import Owner
from moby_builder.dockerfile.solver.effects import Watch

__all__ = ["owner_in"]


def owner_in(root: Path, owner: Owner | None, watch: Watch) -> tuple[int, int] | None:
    """Return user and group in numbers; None where owners are kept. A number without a group is its group's as well.

    A user whom the root doesn't have is taken for root, and such a group for none, as BuildKit does; that is told.
    """
    if owner is None:
        return None
    user = owner.user or "0"
    if _is_number(user):
        uid = gid = int(user)
    else:
        try:
            found = resolve_user(root, user)
            uid, gid = found.uid, found.gid
        except NotFound as error:
            watch.log(2, f"{error.message}: taken for root\n".encode())
            uid = gid = 0
    if not owner.group:
        return uid, gid
    if _is_number(owner.group):
        return uid, int(owner.group)
    try:
        return uid, resolve_groups(root, (owner.group,))[0]
    except NotFound as error:
        watch.log(2, f"{error.message}: the group stays {gid}\n".encode())
        return uid, gid


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
