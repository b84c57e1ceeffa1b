"""The verb `image` and its subcommands: parses, calls one method of the images, prints."""

import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from moby.contracts.image_registry import ImageRegistry
from moby.contracts.images import Image, Images
from moby.contracts.types import Platform
from moby.errors import HostUnfit, Invalid, MobyError
from moby.oci import reference as references
from moby_images.command import show
from moby_images.command.parser import DEFAULT_NAME, VERBS, parser
from moby_images.command.transfer import Transfer

__all__ = ["DEFAULT_NAME", "DockerVerb", "ImageCommand"]

_HEADERS = ("REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE")
_DIGEST_HEADERS = ("REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE")
_WARNING = "WARNING! This will remove all {} images.\nAre you sure you want to continue? [y/N] "


class ImageCommand:
    """The verb; see the contract of commands."""

    def __init__(self, images: Images, image_registry: ImageRegistry | None = None) -> None:
        self._images = images
        self._transfer = Transfer(images, image_registry)

    def run(self, arguments: Sequence[str], program: str = "") -> int:
        """Do it with the process's own standard streams, and return the exit code."""
        try:
            parsed = parser(program or f"{Path(sys.argv[0]).name or 'engine'} image").parse_args(list(arguments))
        except SystemExit as ended:
            return ended.code if isinstance(ended.code, int) else 2
        verbs: dict[str, Callable[[Namespace], int]] = {
            "from-host": self._from_host, "ls": self._list, "inspect": self._inspect, "tag": self._tag,
            "rm": self._remove, "history": self._history, "prune": self._prune, "load": self._load,
            "save": self._save, "import": self._import, "push": self._transfer.push, "login": self._transfer.login,
            "logout": self._transfer.logout,
            "pull": lambda parsed: self._transfer.pull(parsed, _platform(parsed.platform)),
        }  # fmt: skip
        return verbs[parsed.verb](parsed)

    def _from_host(self, parsed: Namespace) -> int:
        from moby.oci import layer
        from moby_images.command.fromhost import build

        reference = references.parse(parsed.tag)
        built = build(parsed.binary, [_added(each) for each in parsed.add])
        with layer.write(built.files.layer()) as tar:
            image = self._images.add(reference, [tar], built.config)
        _emit(show.listed(image)) if parsed.json else _print(str(image.id))
        return 0

    def _list(self, parsed: Namespace) -> int:
        found = self._images.list(_filters(parsed.filter), all=parsed.all)
        images = [each for each in found if _matches(each, parsed.repository)]
        if parsed.json:
            _emit([show.listed(each) for each in images])
            return 0
        rows = show.rows(images, whole=parsed.no_trunc, now=datetime.now(UTC), digests=parsed.digests)
        if parsed.quiet:
            for each in dict.fromkeys(row[-3] for row in rows):
                _print(each)
        else:
            _print(show.table(_DIGEST_HEADERS if parsed.digests else _HEADERS, rows))
        return 0

    def _inspect(self, parsed: Namespace) -> int:
        found, failed = [], 0
        for name in parsed.image:
            try:
                found.append(show.inspected(self._images.get(name)))
            except MobyError as error:
                failed = failed or error.exit_code
                print(error, file=sys.stderr)  # noqa: T201  # a command's output
        _emit(found)
        return failed

    def _history(self, parsed: Namespace) -> int:
        steps = self._images.history(parsed.image)
        if parsed.json:
            _emit([show.step(each) for each in steps])
        elif parsed.quiet:
            for each in steps:
                _print(show.step_id(each, whole=parsed.no_trunc))
        else:
            _print(show.history(steps, whole=parsed.no_trunc, now=datetime.now(UTC)))
        return 0

    def _tag(self, parsed: Namespace) -> int:
        self._images.tag(parsed.source, references.parse(parsed.target))
        return 0

    def _remove(self, parsed: Namespace) -> int:
        failed = 0
        for name in parsed.image:
            try:
                for each in self._images.remove(name, force=parsed.force, prune=not parsed.no_prune):
                    _print(str(each))
            except MobyError as error:
                failed = failed or error.exit_code
                print(error, file=sys.stderr)  # noqa: T201  # a command's output
        return failed

    def _prune(self, parsed: Namespace) -> int:
        if not parsed.force:
            sys.stdout.write(_WARNING.format("unused" if parsed.all else "dangling"))
            sys.stdout.flush()
            if sys.stdin.readline().strip().lower() not in ("y", "yes"):
                return 1
        filters = _filters(parsed.filter) | ({"dangling": ["false"]} if parsed.all else {})
        pruned = self._images.prune(filters)
        if pruned.removals:
            _print("Deleted Images:")
            for each in pruned.removals:
                _print(str(each)[:1].lower() + str(each)[1:])
            _print("")
        _print(f"Total reclaimed space: {show.human_size(pruned.reclaimed_bytes)}")
        return 0

    def _load(self, parsed: Namespace) -> int:
        if parsed.input is None and sys.stdin.isatty():
            raise Invalid("requested load from stdin, but stdin is empty", hint="name a file with --input")
        with _source(parsed.input or "-") as stream:
            for each in self._images.load(stream, platform=_platform(parsed.platform)):
                if each.text:
                    _print(each.text)
        return 0

    def _save(self, parsed: Namespace) -> int:
        if parsed.output is None and sys.stdout.isatty():
            raise Invalid("cowardly refusing to save to a terminal", hint="name a file with --output, or redirect")
        chunks = self._images.save(parsed.image)
        if parsed.output is None:
            for chunk in chunks:
                sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
            return 0
        target = Path(parsed.output)
        half = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with half.open("wb") as file:
                for chunk in chunks:
                    file.write(chunk)
            half.replace(target)
        except OSError as error:
            raise HostUnfit(f"can't write {target}: {error.strerror}", hint="name a file that you may write") from error
        finally:
            half.unlink(missing_ok=True)
        return 0

    def _import(self, parsed: Namespace) -> int:
        reference = references.parse(parsed.repository) if parsed.repository else None
        message = parsed.message or f"Imported from {parsed.file}"
        with _source(parsed.file) as stream:
            image = self._images.import_(
                stream, reference, changes=parsed.change, message=message, platform=_platform(parsed.platform)
            )
        _print(str(image.id))
        return 0


class DockerVerb:
    """One of Docker's verbs beside `image`: `images`, `load`, `rmi` and so on."""

    def __init__(self, images: Images, verb: str, image_registry: ImageRegistry | None = None) -> None:
        self._command = ImageCommand(images, image_registry)
        self._verb = verb

    def run(self, arguments: Sequence[str]) -> int:
        """Do it with the process's own standard streams, and return the exit code."""
        return self._command.run([VERBS[self._verb], *arguments])


@contextmanager
def _source(name: str) -> Iterator[BinaryIO]:
    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        file = Path(name).open("rb", buffering=0)  # noqa: SIM115  # closed below
    except OSError as error:
        raise Invalid(f"can't open {name}: {error.strerror}", hint="name a file that is there") from error
    with file:
        yield file


def _filters(texts: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in texts:
        key, equals, value = each.partition("=")
        if not equals:
            raise Invalid(f"invalid argument {each[:80]!r} for --filter: bad format of filter (expected name=value)")
        found.setdefault(key.strip().lower(), []).append(value.strip())
    return found


def _platform(text: str | None) -> Platform | None:
    if not text:
        return None
    parts = text.split("/")
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise Invalid(f"{text[:80]!r} is no platform", hint="write it as linux/arm64 or linux/arm/v7")
    return Platform(*parts)


def _added(text: str) -> tuple[Path, str]:
    """Read PATH[:DEST]; a colon that no absolute path follows is part of the name."""
    path, _, target = text.rpartition(":")
    if path and target.startswith("/"):
        return Path(path), target
    return Path(text), str(Path(text).absolute())


def _matches(image: Image, wanted: str | None) -> bool:
    if wanted is None:
        return True
    asked = references.parse(wanted, default_tag=False)
    return any(
        (each.domain, each.path) == (asked.domain, asked.path) and asked.tag in ("", each.tag)
        for each in image.references
    )


def _emit(data: Any) -> None:
    _print(json.dumps(data, indent=2, ensure_ascii=False))


def _print(text: str) -> None:
    print(text)  # noqa: T201  # a command's output
