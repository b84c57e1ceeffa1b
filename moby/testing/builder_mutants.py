"""Mutants of a builder that has all of the contract: each breaks one promise that its suite must see."""

import io
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from attrs import field, frozen

from moby.contracts.builder import (
    Build,
    BuildFailed,
    CacheEntry,
    CacheExport,
    Entry,
    Event,
    Export,
    Exported,
    ExportType,
    Folder,
    Keep,
    Log,
    Receiver,
    Reclaimed,
    Request,
    Result,
    Selection,
    Session,
    Target,
    Vertex,
)  # fmt: skip
from moby.contracts.images import Image, ImageConfig
from moby.contracts.types import ImageReference, Platform
from moby.errors import Conflict, MobyError, NotFound, Unavailable
from moby.oci.reference import parse
from moby.testing.builder import WRONG, Workshop
from moby.values import evolve

__all__ = ["MUTANTS", "Mutant"]

Tell = Callable[[Event], None]


class _Lent:
    """A session that passes everything on; its subclasses change what is lent."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)


class _Work:
    """A build that passes everything on; its subclasses break one promise each."""

    def __init__(self, build: Build) -> None:
        self.build = build

    def __getattr__(self, name: str) -> Any:
        return getattr(self.build, name)


class _Broken:
    """A builder that passes everything on."""

    def __init__(self, workshop: Workshop) -> None:
        self.builder = workshop.builder
        self.images = workshop.images

    def __getattr__(self, name: str) -> Any:
        return getattr(self.builder, name)


def _asks(change: Callable[[Request], Request]) -> Callable[[Workshop], Any]:
    """Return a mutant that builds something else than was asked for."""

    class Work(_Work):
        def solve(self, request: Request) -> Result:
            return self.build.solve(change(request))

    class Mutated(_Broken):
        def open(self, session: Session, tell: Tell) -> Any:
            return Work(self.builder.open(session, tell))

    return Mutated


def _works(work: type[_Work]) -> Callable[[Workshop], Any]:
    """Return a mutant whose builds are these."""

    class Mutated(_Broken):
        def open(self, session: Session, tell: Tell) -> Any:
            return work(self.builder.open(session, tell))

    return Mutated


def _lends(lent: type[_Lent]) -> Callable[[Workshop], Any]:
    """Return a mutant that is lent something else."""

    class Mutated(_Broken):
        def open(self, session: Session, tell: Tell) -> Any:
            changed: Any = lent(session)
            return self.builder.open(changed, tell)

    return Mutated


def _tells(change: Callable[[Event], Event | None]) -> Callable[[Workshop], Any]:
    """Return a mutant that tells something else."""

    class Mutated(_Broken):
        def open(self, session: Session, tell: Tell) -> Any:
            def changed(event: Event) -> None:
                told = change(event)
                if told is not None:
                    tell(told)

            return self.builder.open(session, changed)

    return Mutated


def _configs(change: Callable[[ImageConfig], ImageConfig]) -> Callable[[Workshop], Any]:
    """Return a mutant whose images want to be run otherwise, and have no history."""

    class Mutated(_Broken):
        def open(self, session: Session, tell: Tell) -> Any:
            images = self.images

            class Work(_Work):
                def export(
                    self, result: Result, exports: Sequence[Export], caches: Sequence[CacheExport] = ()
                ) -> tuple[Exported, ...]:
                    [told] = self.build.export(result, exports, caches)
                    image = images.get(str(told.image))
                    layers = list(images.export_layers(image))
                    other = images.add(image.references[0], layers, change(image.config))
                    for each in layers:
                        each.close()
                    return (evolve(told, image=other.id),)

            return Work(self.builder.open(session, tell))

    return Mutated


def _without(name: str) -> Callable[[ImageConfig], ImageConfig]:
    return lambda config: evolve(config, **{name: getattr(ImageConfig(), name)})


class _OneNameOnly(_Work):
    def export(
        self, result: Result, exports: Sequence[Export], caches: Sequence[CacheExport] = ()
    ) -> tuple[Exported, ...]:
        return self.build.export(result, [evolve(each, names=each.names[:1]) for each in exports], caches)


class _NamesNothing(_Work):
    def export(
        self, result: Result, exports: Sequence[Export], caches: Sequence[CacheExport] = ()
    ) -> tuple[Exported, ...]:
        return tuple(evolve(each, names=()) for each in self.build.export(result, exports, caches))


class _ForgetsIgnored(_Lent):
    def folder(self, name: str, selection: Selection, receiver: Any) -> None:
        self.session.folder(name, evolve(selection, exclude=()), receiver)


class _TakesOneAtATime(_Lent):
    def folder(self, name: str, selection: Selection, receiver: Receiver) -> None:
        self.session.folder(name, selection, _OneFile(receiver))


class _OneFile:
    """A receiver for which a file is over once another one begins."""

    def __init__(self, receiver: Receiver) -> None:
        self.entry = receiver.entry
        self._content, self._last, self._over = receiver.content, "", set[str]()

    def content(self, path: str, chunk: bytes) -> None:
        if path != self._last:
            self._over.add(self._last)
        self._last = path
        if not chunk or path not in self._over:
            self._content(path, chunk)


class _NeedsNoSecret(_Lent):
    def secret(self, name: str) -> bytes:
        try:
            return self.session.secret(name)
        except MobyError:
            return b""


class _ForgetsCode(_Work):
    def solve(self, request: Request) -> Result:
        try:
            return self.build.solve(request)
        except BuildFailed as error:
            raise BuildFailed(error.message, ranges=error.ranges) from error


class _ForgetsLines(_Work):
    def solve(self, request: Request) -> Result:
        try:
            return self.build.solve(request)
        except BuildFailed as error:
            raise BuildFailed(error.message, code=error.code) from error


class _SaysNothing(_Work):
    def solve(self, request: Request) -> Result:
        try:
            return self.build.solve(request)
        except MobyError as error:
            raise BuildFailed("it failed") from error


class _WrongLine(_Work):
    def solve(self, request: Request) -> Result:
        try:
            return self.build.solve(request)
        except BuildFailed as error:
            raise BuildFailed(
                error.message, code=error.code, ranges=[evolve(each, first=1) for each in error.ranges]
            ) from error


class _GoesOnWithout(_Work):
    """Builds something where what was asked for isn't there."""

    def solve(self, request: Request) -> Result:
        try:
            return self.build.solve(request)
        except MobyError:
            return Result()


class _NeverGivesUp(_Work):
    def cancel(self) -> None:
        pass


class _GivesUpOnce(_Work):
    def __init__(self, build: Build) -> None:
        super().__init__(build)
        self.canceled = False

    def cancel(self) -> None:
        if self.canceled:
            raise Conflict("it is canceled already")
        self.canceled = True
        self.build.cancel()


class _GivesUpWithAnotherError(_Work):
    def solve(self, request: Request) -> Result:
        try:
            return self.build.solve(request)
        except Unavailable as error:
            raise BuildFailed(error.message) from error


class _ClosesOnce(_Work):
    closed = False

    def close(self) -> None:
        if self.closed:
            raise Conflict("it is closed already")
        self.closed = True
        self.build.close()


class _StaysOpen(_Work):
    closed = False

    def close(self) -> None:
        if self.closed:
            self.build.close()
        self.closed = True


class _FlatFolder(_Lent):
    def deliver_folder(self, number: int, folder: Folder) -> None:
        self.session.deliver_folder(number, _Flat(folder))


@frozen
class _Flat:
    folder: Folder

    def entries(self) -> Iterator[Entry]:
        return (each for each in self.folder.entries() if "/" not in each.path)

    def open(self, path: str) -> BinaryIO:
        return self.folder.open(path)


class _EmptyArchive(_Lent):
    def deliver_stream(self, number: int) -> BinaryIO:
        stream = self.session.deliver_stream(number)
        with tarfile.open(fileobj=stream, mode="w"):
            pass
        stream.close()
        return io.BytesIO()


class _OtherOrder(_Work):
    def export(
        self, result: Result, exports: Sequence[Export], caches: Sequence[CacheExport] = ()
    ) -> tuple[Exported, ...]:
        return self.build.export(result, exports, caches)[::-1]


class _ExportsOnce(_Work):
    done = False

    def export(
        self, result: Result, exports: Sequence[Export], caches: Sequence[CacheExport] = ()
    ) -> tuple[Exported, ...]:
        if self.done:
            raise Conflict("that is exported already")
        self.done = True
        return self.build.export(result, exports, caches)


class _NamelessArchive(_Work):
    def export(
        self, result: Result, exports: Sequence[Export], caches: Sequence[CacheExport] = ()
    ) -> tuple[Exported, ...]:
        bare = [evolve(each, names=()) if each.type is not ExportType.IMAGE else each for each in exports]
        return self.build.export(result, bare, caches)


class _LendsAbove(_Work):
    @contextmanager
    def files(self, target: Target) -> Iterator[Path]:
        with self.build.files(target) as root:
            yield root.parent


class _LendsAnything(_Work):
    @contextmanager
    def files(self, target: Target) -> Iterator[Path]:
        try:
            with self.build.files(target) as root:
                yield root
        except NotFound:
            yield Path("/")


class _LendsOwnOnly(_Work):
    """Has forgotten what other builds were solved to."""

    def __init__(self, build: Build) -> None:
        super().__init__(build)
        self.solved: tuple[Target, ...] = ()

    def solve(self, request: Request) -> Result:
        found = self.build.solve(request)
        self.solved = found.targets
        return found

    def files(self, target: Target) -> AbstractContextManager[Path]:
        if target not in self.solved:
            raise NotFound("it is another build's")
        return self.build.files(target)


class _FindsAnotherImage(_Work):
    def image(self, reference: ImageReference, platform: Platform, *, pull: bool = False) -> Image:
        found = self.build.image(reference, platform, pull=pull)
        return evolve(found, id=found.layers[0])


class _FindsNoConfig(_Work):
    def image(self, reference: ImageReference, platform: Platform, *, pull: bool = False) -> Image:
        return evolve(self.build.image(reference, platform, pull=pull), raw_config={"config": {}})


class _FindsAlways(_Work):
    def image(self, reference: ImageReference, platform: Platform, *, pull: bool = False) -> Image:
        try:
            return self.build.image(reference, platform, pull=pull)
        except MobyError:
            return self.build.image(parse("box"), platform)


class _OneAtATime(_Broken):
    """Has no time for a second build."""

    def __init__(self, workshop: Workshop) -> None:
        super().__init__(workshop)
        self.count = 0

    def open(self, session: Session, tell: Tell) -> Any:
        if self.count:
            raise Conflict("another build goes on")
        self.count += 1
        owner = self

        class Work(_Work):
            def close(self) -> None:
                owner.count = 0
                self.build.close()

        return Work(self.builder.open(session, tell))


class _ListsBackwards(_Broken):
    def usage(self) -> tuple[CacheEntry, ...]:
        return self.builder.usage()[::-1]


class _ListsNothing(_Broken):
    def usage(self) -> tuple[CacheEntry, ...]:
        return ()


class _PrunesNothing(_Broken):
    def prune(self, keep: Keep) -> Reclaimed:
        return Reclaimed()


class _PrunesStrangers(_Broken):
    def prune(self, keep: Keep) -> Reclaimed:
        done = self.builder.prune(keep)
        return evolve(done, entries=(*done.entries, *(evolve(each, id=f"{each.id}x") for each in done.entries[:1])))


class _HeedsNoFilter(_Broken):
    def prune(self, keep: Keep) -> Reclaimed:
        return self.builder.prune(evolve(keep, filters={}))


class _PrunesDespiteAnError(_Broken):
    def prune(self, keep: Keep) -> Reclaimed:
        if keep.filters:
            self.builder.prune(Keep(all=True))
        return self.builder.prune(keep)


def _unfinished(event: Event) -> Event | None:
    return evolve(event, completed_ns=0) if isinstance(event, Vertex) else event


def _timeless(event: Event) -> Event | None:
    return evolve(event, started_ns=0) if isinstance(event, Vertex) else event


def _silent(event: Event) -> Event | None:
    return None if isinstance(event, Log) else event


def _nameless(event: Event) -> Event | None:
    return evolve(event, name="step") if isinstance(event, Vertex) else event


def _faultless(event: Event) -> Event | None:
    return evolve(event, error="") if isinstance(event, Vertex) else event


@frozen
class Mutant:
    """A broken builder, and the test that must see it."""

    test: str
    wrap: Callable[[Workshop], Any]
    given: tuple[Any, ...] = ()
    """What the test is given besides the workshop."""
    name: str = field(default="")


def _request(**changes: Any) -> Callable[[Workshop], Any]:
    return _asks(lambda request: evolve(request, **changes))


_UNTOLD = ("environment", "user", "working_directory", "stop_signal", "entrypoint", "command", "exposed_ports",
           "volumes", "labels", "healthcheck")  # fmt: skip
_FAILING = "test_a_step_that_fails"
_WRONG = "test_a_file_that_is_wrong"

MUTANTS = (
    Mutant("test_its_names", _works(_OneNameOnly), name="one"),
    Mutant("test_its_names", _works(_NamesNothing), name="untold"),
    *(Mutant("test_its_config", _configs(_without(each)), name=each) for each in _UNTOLD),
    Mutant("test_an_entry_point_takes_the_command_of_the_base_away",
           _configs(lambda config: evolve(config, command=("sh",))), name="keeps"),
    Mutant("test_an_entry_point_takes_the_command_of_the_base_away", _configs(_without("command")), name="loses"),
    Mutant("test_its_history", _configs(lambda config: config)),
    Mutant("test_a_target", _request(target="")),
    Mutant("test_arguments", _request(arguments={})),
    Mutant("test_arguments", _configs(lambda config: evolve(config, environment=(*config.environment, "A=given"))),
           name="stay"),
    Mutant("test_labels", _request(labels={})),
    Mutant("test_what_is_ignored", _lends(_ForgetsIgnored)),
    Mutant("test_another_file", _request(dockerfile="Dockerfile")),
    Mutant("test_a_secret", _configs(lambda config: evolve(config, labels={"key": "hush-hush"}))),
    Mutant("test_what_was_built_is_not_built_again", _request(no_cache=True)),
    Mutant("test_without_the_cache", _request(no_cache=False)),
    Mutant("test_what_changed_is_built_again", _request(no_cache=True)),
    Mutant("test_an_argument_that_changed", _request(arguments={})),
    Mutant("test_what_is_kept", _ListsBackwards, name="backwards"),
    Mutant("test_what_is_kept", _ListsNothing, name="nothing"),
    Mutant("test_what_is_kept", _PrunesNothing, name="stays"),
    Mutant("test_what_is_kept", _PrunesStrangers, name="strangers"),
    Mutant("test_a_filter_that_nobody_knows", _HeedsNoFilter, name="heeds none"),
    Mutant("test_a_filter_that_nobody_knows", _PrunesDespiteAnError, name="prunes"),
    Mutant(_FAILING, _works(_ForgetsCode), name="code"),
    Mutant(_FAILING, _works(_ForgetsLines), name="lines"),
    Mutant(_FAILING, _works(_SaysNothing), name="words"),
    Mutant(_FAILING, _works(_GoesOnWithout), name="goes on"),
    Mutant(_FAILING, _tells(_silent), name="silent"),
    *(Mutant(_WRONG, _works(_SaysNothing), given, name=f"words-{number}") for number, given in enumerate(WRONG)),
    Mutant(_WRONG, _works(_WrongLine), WRONG[0], name="line"),
    Mutant("test_no_file", _request(dockerfile="Dockerfile")),
    Mutant("test_no_such_target", _request(target="")),
    Mutant("test_no_such_image", _works(_GoesOnWithout)),
    Mutant("test_a_secret_that_nobody_lends", _lends(_NeedsNoSecret)),
    Mutant("test_giving_up", _works(_NeverGivesUp), name="never"),
    Mutant("test_giving_up", _works(_GivesUpOnce), name="once"),
    Mutant("test_giving_up", _works(_GivesUpWithAnotherError), name="another error"),
    Mutant("test_closing", _works(_ClosesOnce), name="once"),
    Mutant("test_closing", _works(_StaysOpen), name="stays open"),
    Mutant("test_a_folder", _lends(_FlatFolder)),
    Mutant("test_an_archive", _lends(_EmptyArchive)),
    *(Mutant("test_an_archive_of_an_image", _works(_NamelessArchive), (each,), name=str(each))
      for each in (ExportType.OCI, ExportType.DOCKER)),
    Mutant("test_several_at_once", _works(_OtherOrder), name="order"),
    Mutant("test_several_at_once", _works(_ExportsOnce), name="once"),
    Mutant("test_its_files", _works(_LendsAbove), name="above"),
    Mutant("test_its_files", _works(_LendsAnything), name="anything"),
    Mutant("test_its_files", _works(_LendsOwnOnly), name="own only"),
    Mutant("test_what_it_would_begin_with", _works(_FindsAnotherImage), name="another"),
    Mutant("test_what_it_would_begin_with", _works(_FindsNoConfig), name="no config"),
    Mutant("test_what_it_would_begin_with", _works(_FindsAlways), name="always"),
    Mutant("test_what_is_told", _tells(_unfinished), name="unfinished"),
    Mutant("test_what_is_told", _tells(_timeless), name="timeless"),
    Mutant("test_what_is_told", _tells(_silent), name="silent"),
    Mutant("test_what_is_told", _tells(_nameless), name="nameless"),
    Mutant("test_what_is_told_of_a_failure", _tells(_faultless)),
    Mutant("test_side_by_side", _OneAtATime),
    Mutant("test_files_that_come_side_by_side", _lends(_TakesOneAtATime)),
    Mutant("test_a_folder_that_is_not_lent", _works(_GoesOnWithout)),
)  # fmt: skip
