"""COPY, ADD and WORKDIR, as operations."""

import re
from posixpath import basename, join, normpath

from attrs import evolve, field, frozen

from moby.contracts.builder import BuildFailed
from moby.oci import digest as digests
from moby_builder.dockerfile.frontend import gitrefs
from moby_builder.dockerfile.frontend.contexts import is_url, url_filename
from moby_builder.dockerfile.frontend.inputs import Inputs
from moby_builder.dockerfile.frontend.naming import counted, shown
from moby_builder.dockerfile.frontend.settings import workdir_of
from moby_builder.dockerfile.frontend.stages import Site, Task
from moby_builder.dockerfile.frontend.surroundings import Surroundings
from moby_builder.dockerfile.language.instructions import Add, Heredoc, Workdir
from moby_builder.dockerfile.language.instructions import Copy as CopyInstruction
from moby_builder.dockerfile.operations import (
    Copy,
    CopySource,
    EmptySource,
    HttpSource,
    MakeFolder,
    Node,
    Owner,
    Placed,
    Stack,
    Write,
)

__all__ = ["add", "copy", "workdir"]

_OCTAL = re.compile("[0-7]+")
_SYMBOLIC = re.compile(r"[ugoa]*(?:[-+=](?:[rwxXst]*|[ugo]))+(?:,[ugoa]*(?:[-+=](?:[rwxXst]*|[ugo]))+)*")
_MOST_MODE = 0o7777


@frozen
class _Wish:
    """What COPY and ADD have in common, and what becomes of their sources."""

    instruction: CopyInstruction | Add
    keyword: str
    name: str
    """Of the step."""
    sources: tuple[CopySource, ...] = field(default=())


def copy(site: Site, task: Task, instruction: CopyInstruction, around: Surroundings) -> Node:
    """Add what a COPY does to its stage."""
    inputs = Inputs(site, empty=_linked(instruction))
    other = task.sites.get(instruction.origin) if instruction.origin else None
    if other is not None and not other.done:
        raise BuildFailed(
            f'cannot copy from stage "{instruction.origin}", it needs to be defined before current stage "{site.label}"'
        )
    folder = around.contexts.folder if other is None else other.folder
    sources = []
    for path in instruction.sources:
        repository = gitrefs.parse(path)
        if repository is not None and not repository.bare:
            raise BuildFailed("source can't be a git ref for COPY")
        if is_url(path):
            raise BuildFailed("source can't be a URL for COPY")
        if folder is not None:
            folder.use(path)
        number = inputs.add(around.contexts.main() if other is None else other.root)
        sources.append(CopySource(number, _path(path, parents=instruction.parents), instruction.exclude))
    wish = _Wish(instruction, "COPY", _name(site, instruction, around), tuple(sources))
    return _finish(site, wish, inputs, around)


def add(site: Site, instruction: Add, around: Surroundings) -> Node:
    """Add what an ADD does to its stage."""
    _check_checksum(instruction)
    inputs = Inputs(site, empty=_linked(instruction))
    wish = _Wish(instruction, "ADD", _name(site, instruction, around))
    sources = tuple(_add_source(path, instruction, inputs, wish.name, around) for path in instruction.sources)
    return _finish(site, evolve(wish, sources=sources), inputs, around)


def workdir(site: Site, instruction: Workdir, around: Surroundings) -> Node | None:
    """Change the working directory of a stage, and make it where it isn't the root."""
    path = workdir_of(site, instruction.path)
    site.draft.config["WorkingDir"] = path
    node = None
    if path != "/":
        user = site.draft.config.get("User") or ""
        name = shown(instruction.written.text, site.environment, around)
        node = Node(
            MakeFolder(path, _owner(user)),
            (site.root,),
            Inputs(site).platform,
            name=counted(site, name, around),
            ranges=(instruction.written.range,),
            epoch_s=around.epoch_s,
        )
        site.root = node
    site.draft.record(f"WORKDIR {path}", layer=node is not None, epoch_s=around.epoch_s)
    return node


def _finish(site: Site, wish: _Wish, inputs: Inputs, around: Surroundings) -> Node:
    """Make the node of a COPY or ADD whose sources are known."""
    instruction = wish.instruction
    target = _target(site, instruction.target)
    owner, mode = _owner(instruction.owner), _mode(instruction.mode)
    operation: Copy | Write
    if instruction.files and not wish.sources:
        operation = Write(tuple(map(_placed, instruction.files)), target, owner, mode)
    else:
        written = [_written(each, inputs, around) for each in instruction.files]
        parents = isinstance(instruction, CopyInstruction) and instruction.parents
        operation = Copy((*wish.sources, *written), target, owner, mode, parents, require=False)
    node = Node(
        operation,
        inputs.nodes,
        inputs.platform,
        name=wish.name,
        ranges=(instruction.written.range,),
        ignore_cache=site.ignore_cache,
        epoch_s=around.epoch_s if isinstance(operation, Write) else None,
    )
    if _linked(instruction):
        node = Node(
            Stack(),
            (site.root, node),
            inputs.platform,
            name=_name(site, instruction, around, link=True),
            ranges=(instruction.written.range,),
            ignore_cache=site.ignore_cache,
        )
    site.root = node
    site.draft.record(_told(wish), layer=True, epoch_s=around.epoch_s)
    return node


def _name(site: Site, instruction: CopyInstruction | Add, around: Surroundings, *, link: bool = False) -> str:
    title = shown(instruction.written.text, site.environment, around)
    return counted(site, f"LINK {title}" if link else title, around, again=link)


def _add_source(path: str, instruction: Add, inputs: Inputs, title: str, around: Surroundings) -> CopySource:
    repository = gitrefs.parse(path)
    if repository is not None and not repository.bare:
        return _git_source(repository, instruction, inputs, title)
    if is_url(path):
        filename = url_filename(path)
        checksum = digests.parse(instruction.checksum) if instruction.checksum else None
        node = Node(HttpSource(path, filename, checksum), platform=inputs.platform, name=title)
        return CopySource(inputs.add(node), f"/{filename}", instruction.exclude, bool(instruction.unpack))
    if around.contexts.folder is not None:
        around.contexts.folder.use(path)
    unpack = instruction.unpack is not False
    return CopySource(inputs.add(around.contexts.main()), _path(path), instruction.exclude, unpack)


def _git_source(repository: gitrefs.GitReference, instruction: Add, inputs: Inputs, title: str) -> CopySource:
    if None not in (said := {repository.keep_git, instruction.keep_git}) and len(said) > 1:
        raise BuildFailed("inconsistent keep-git-dir configuration")
    if instruction.checksum and repository.checksum not in ("", instruction.checksum):
        raise BuildFailed(f'checksum mismatch "{instruction.checksum}" != "{repository.checksum}"')
    repository = evolve(repository, checksum=repository.checksum or instruction.checksum)
    node = Node(repository.source(keep_git=bool(instruction.keep_git)), platform=inputs.platform, name=title)
    return CopySource(inputs.add(node), "/", instruction.exclude)


def _check_checksum(instruction: Add) -> None:
    if not instruction.checksum:
        return
    if len(instruction.sources) != 1:
        raise BuildFailed("checksum can't be specified for multiple sources")
    (path,) = instruction.sources
    repository = gitrefs.parse(path)
    if not is_url(path) and (repository is None or repository.bare):
        raise BuildFailed("checksum requires HTTP(S) or Git sources")


def _written(document: Heredoc, inputs: Inputs, around: Surroundings) -> CopySource:
    """Return a here-document as one of several sources."""
    placed = _placed(document)
    node = Node(
        Write((placed,), "/"),
        (Node(EmptySource(), platform=inputs.platform),),
        inputs.platform,
        name="[internal] preparing inline document",
        epoch_s=around.epoch_s,
    )
    return CopySource(inputs.add(node), f"/{placed.name}")


def _placed(document: Heredoc) -> Placed:
    return Placed(basename(document.name) or document.name, document.text.encode())


def _linked(instruction: CopyInstruction | Add) -> bool:
    """Whether a copy stands by itself; a mode may be relative to what is there already."""
    return instruction.link and not instruction.mode


def _path(path: str, *, parents: bool = False) -> str:
    """Return a source's path from its input's root, cleaned; a pivot stays."""
    before, pivot, after = path.partition("/./") if parents else (path, "", "")
    cleaned = normpath(join("/", before)).replace("//", "/")
    return f"{cleaned.rstrip('/')}/./{normpath(join('/', after)).lstrip('/')}" if pivot else cleaned


def _target(site: Site, path: str) -> str:
    target = workdir_of(site, path)
    return target.rstrip("/") + "/" if path in ("", ".") or path.endswith("/") else target


def _owner(text: str) -> Owner | None:
    user, _, group = text.partition(":")
    return Owner(user, group) if text else None


def _mode(text: str) -> str:
    if not text:
        return ""
    if (_OCTAL.fullmatch(text) and int(text, 8) <= _MOST_MODE) or _SYMBOLIC.fullmatch(text):
        return text
    raise BuildFailed(f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777")


def _told(wish: _Wish) -> str:
    """Return what the history says of a COPY or ADD."""
    instruction = wish.instruction
    parts = [wish.keyword]
    if isinstance(instruction, CopyInstruction) and instruction.parents:
        parts.append("--parents")
    if instruction.owner:
        parts.append(f"--chown={instruction.owner}")
    if instruction.mode:
        parts.append(f"--chmod={instruction.mode}")
    parts += [*instruction.sources, *(f"<<{each.name}" for each in instruction.files), instruction.target]
    return " ".join(parts) + " # buildkit"
