"""Which files `moby push` sends: a manifest with what it extends, or a distribution's folder."""

from pathlib import Path

from moby import manifest, sharing
from moby.distribution import output
from moby.errors import Invalid, NotFound
from moby.manifest.sources import OCI, shipped_folder
from moby.sharing import Shared

__all__ = ["push"]


def push(file: str, where: str) -> Shared:
    """Send a manifest, or a folder that assembling made, to an image registry, under a reference with a tag.

    Invalid where the manifest has problems, or extends a file that lies outside its folder; NotFound a folder that
    isn't whole; the errors of `sharing.send`.
    """
    path = Path(file)
    if path.is_dir():
        return sharing.send(_distribution(path), sharing.DISTRIBUTION, where)
    return sharing.send(_assembly(file), sharing.ASSEMBLY, where)


def _distribution(folder: Path) -> dict[str, Path]:
    if not output.is_whole(folder):
        raise NotFound(f"{folder} is no folder that assembling made, or isn't whole", hint="moby assemble")
    return {name: folder / name for name in sorted([output.SUMS, *output.listed(folder)])}


def _assembly(file: str) -> dict[str, Path]:
    """Return a manifest's files, those that it extends first; shipped and fetched ones are everybody's."""
    found = manifest.load(file, fetch=sharing.fetched).files
    if not found:
        raise NotFound(f"{file} is no manifest")
    main = Path(found[-1]).absolute()
    own = [Path(each).absolute() for each in found if not each.startswith(OCI)]
    shipped = shipped_folder().absolute()
    files = {}
    for path in own:
        if path != main and path.parent == shipped:
            continue
        if not path.is_relative_to(main.parent):
            raise Invalid(f"{file} extends {path}, which lies outside its folder", hint="move it beside the manifest")
        files[path.relative_to(main.parent).as_posix()] = path
    return files
