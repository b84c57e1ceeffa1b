"""RUN, as an operation."""

from collections.abc import Mapping, Sequence
from posixpath import basename, join, normpath

from attrs import evolve

from moby.contracts.builder import BuildFailed, Range, Request
from moby_builder.dockerfile.frontend.inputs import Inputs
from moby_builder.dockerfile.frontend.naming import counted, shown, summary
from moby_builder.dockerfile.frontend.settings import in_shell, workdir_of
from moby_builder.dockerfile.frontend.stages import Lent, Site, Task
from moby_builder.dockerfile.frontend.surroundings import Surroundings
from moby_builder.dockerfile.language import heredocs, mounts, words
from moby_builder.dockerfile.language.instructions import Command
from moby_builder.dockerfile.language.instructions import Run as RunInstruction
from moby_builder.dockerfile.language.mounts import Mount
from moby_builder.dockerfile.operations import EmptySource, MountKind, Node, Placed, Run, RunMount, Write

__all__ = ["run"]

_SCRIPTS = "/dev/pipes/"
_AGENT = "/run/buildkit/ssh_agent."
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
_MODES: Mapping[str, int] = {MountKind.CACHE: 0o755, MountKind.SSH: 0o600}


def run(site: Site, task: Task, instruction: RunInstruction, around: Surroundings) -> Node:
    """Add what a RUN does to its stage; BuildFailed where it isn't allowed or makes no sense."""
    inputs = Inputs(site)
    wishes = [
        mounts.read(each, lambda text: words.expand(text, site.environment, escape=around.escape).text)
        for each in instruction.mounts
    ]
    _note(site, wishes, instruction.written.range)
    command, title, script = _command(instruction.command, instruction.written.text)
    given: list[RunMount] = []
    if script is not None:
        node = Node(
            Write((script,), "/", mode="0755"),
            (Node(EmptySource(), platform=inputs.platform),),
            inputs.platform,
            name="[internal] preparing inline document",
            epoch_s=around.epoch_s,
        )
        given.append(RunMount(MountKind.BIND, _SCRIPTS, input=inputs.add(node)))
    given += [_mount(site, task, each, inputs, around) for each in wishes]
    arguments = in_shell(site, command)
    network = _network(instruction.network, around.request)
    _allow(instruction, network, around.request)
    operation = _operation(site, arguments, _numbered(given), network, instruction, around.request)
    masks = {each.variable: "****" for each in wishes if each.variable}
    name = shown(title, {**site.environment, **masks}, around, raw=True)
    node = Node(
        operation,
        inputs.nodes,
        inputs.platform,
        name=counted(site, name, around),
        ranges=(instruction.written.range,),
        ignore_cache=site.ignore_cache,
    )
    site.root = node
    site.draft.record(f"RUN {_told(site, arguments)} # buildkit", layer=True, epoch_s=around.epoch_s)
    return node


def _note(site: Site, wishes: Sequence[Mount], where: Range) -> None:
    """Remember what the client may have to lend."""
    for wish in wishes:
        if wish.type == MountKind.SECRET:
            site.secrets.setdefault(_secret_id(wish), Lent(where, wish.required))
        elif wish.type == MountKind.SSH:
            site.agents.setdefault(wish.id or "default", Lent(where, wish.required))


def _operation(
    site: Site,
    arguments: tuple[str, ...],
    given: tuple[RunMount, ...],
    network: str,
    instruction: RunInstruction,
    request: Request,
) -> Run:
    environment = dict(site.environment)
    agents = [each.target for each in given if each.kind is MountKind.SSH]
    if agents:
        environment.setdefault("SSH_AUTH_SOCK", agents[0])
    hostname = request.arguments.get("BUILDKIT_SANDBOX_HOSTNAME") or request.hostname
    return Run(
        arguments,
        tuple(f"{name}={value}" for name, value in environment.items()),
        workdir_of(site),
        site.draft.config.get("User") or "",
        given,
        network,
        instruction.security == "insecure",
        request.hosts,
        hostname,
        request.shm_bytes,
        request.ulimits,
        request.cgroup_parent,
        _proxy(request),
        request.limits,
    )


def _command(command: Command, text: str) -> tuple[Command, str, Placed | None]:
    """Return what is run, what it is called, and the script where a here-document is one."""
    if not command.files:
        return command, text, None
    document = command.files[0]
    line = command.arguments[0]
    if heredocs.named(line) is None:
        whole = line + "".join(f"\n{each.content}{each.name}" for each in command.files)
        return evolve(command, arguments=(whole,)), text, None
    title = f"{text} ({summary(document.content)})"
    if document.text.startswith("#!"):
        script = Placed(document.name, document.text.encode())
        return evolve(command, arguments=(_SCRIPTS + document.name,)), title, script
    return evolve(command, arguments=(document.text,)), title, None


def _mount(site: Site, task: Task, wish: Mount, inputs: Inputs, around: Surroundings) -> RunMount:
    match wish.type:
        case MountKind.SECRET:
            return _secret(wish)
        case MountKind.SSH:
            return _ssh(wish)
    target = wish.target if wish.target.startswith("/") else workdir_of(site, wish.target)
    if target == "/":
        raise BuildFailed(f'invalid mount target "{target}"')
    if wish.type == MountKind.TMPFS:
        return RunMount(MountKind.TMPFS, target, writable=True, size_bytes=wish.size_bytes)
    source = normpath(join("/", wish.source))
    if wish.type == MountKind.BIND:
        number = _shown(task, wish, inputs, around, source)
        return RunMount(MountKind.BIND, target, number, source, not wish.readonly)
    made = RunMount(
        MountKind.CACHE,
        target,
        _shown(task, wish, inputs, around, source) if wish.origin else -1,
        source,
        not wish.readonly,
        f"{around.request.arguments.get('BUILDKIT_CACHE_MOUNT_NS', '')}/{wish.id or normpath(wish.target or '.')}",
        wish.sharing or "shared",
    )
    return _owned(made, wish)


def _shown(task: Task, wish: Mount, inputs: Inputs, around: Surroundings, source: str) -> int:
    """Return which input a mount shows, having said that it is used."""
    if not wish.origin:
        if around.contexts.folder is not None:
            around.contexts.folder.use(source)
        return inputs.add(around.contexts.main())
    other = task.sites[wish.origin]
    if not other.done:
        raise BuildFailed(
            f'cannot mount from stage "{wish.origin}" to "{wish.target}", '
            "stage needs to be defined before current command"
        )
    if other.folder is not None:
        other.folder.use(source)
    return inputs.add(other.root)


def _ssh(wish: Mount) -> RunMount:
    if wish.source:
        raise BuildFailed("ssh does not support source")
    made = RunMount(MountKind.SSH, wish.target, id=wish.id or "default", required=wish.required)
    return _owned(made, wish)


def _secret(wish: Mount) -> RunMount:
    name = _secret_id(wish)
    target = wish.target
    if not target and wish.variable is None:
        target = f"/run/secrets/{basename(name)}"
    variable = "" if wish.variable is None else wish.variable or name
    return _owned(RunMount(MountKind.SECRET, target, id=name, required=wish.required, variable=variable), wish)


def _secret_id(wish: Mount) -> str:
    return wish.source or wish.id or basename(wish.target)


def _owned(made: RunMount, wish: Mount) -> RunMount:
    mode = _MODES.get(wish.type, 0o400) if wish.mode is None else wish.mode
    return evolve(made, mode=mode, uid=wish.uid or 0, gid=wish.gid or 0)


def _numbered(given: list[RunMount]) -> tuple[RunMount, ...]:
    """Return mounts with a place for each socket of an agent that has none."""
    made, count = [], 0
    for each in given:
        if each.kind is MountKind.SSH:
            made.append(evolve(each, target=each.target or f"{_AGENT}{count}"))
            count += 1
        else:
            made.append(each)
    return tuple(made)


def _network(wanted: str, request: Request) -> str:
    return request.network if wanted == "default" else wanted


def _allow(instruction: RunInstruction, network: str, request: Request) -> None:
    """Refuse what a RUN asks for and the request doesn't allow."""
    wanted = []
    if network == "host" and request.network != "host":
        wanted.append("network.host")
    if instruction.security == "insecure":
        wanted.append("security.insecure")
    for device in instruction.devices:
        if device.required:
            raise BuildFailed(f'required device "{device.name}" is not registered', hint="this builder has no devices")
    for each in wanted:
        if each not in request.allow:
            raise BuildFailed(f"failed to load LLB: {each} is not allowed", hint=f"--allow {each}")


def _proxy(request: Request) -> tuple[str, ...]:
    """Return variables of the proxies that a build is told, in both spellings."""
    given = {name.upper(): value for name, value in sorted(request.arguments.items())}
    return tuple(f"{spelled}={given[name]}" for name in _PROXIES if given.get(name) for spelled in (name, name.lower()))


def _told(site: Site, arguments: tuple[str, ...]) -> str:
    """Return what the history says of a program: arguments of the build that it may have seen, and its own."""
    seen = [f"{name}={site.environment.get(name, value or '')}" for name, value in site.declared.items()]
    return " ".join([*([f"|{len(seen)}"] if seen else []), *seen, *arguments])
