"""Instructions: what a Dockerfile says, as frozen values, with nothing expanded yet.

`expansion` says which texts of an instruction variables are put into, and does it.
"""

from attrs import field, frozen

from moby.contracts.builder import Range

__all__ = [
    "Add", "Arg", "Argument", "Cmd", "Command", "Copy", "Device", "Directive", "Dockerfile", "Entrypoint", "Env",
    "Expose", "From", "HealthCheck", "Heredoc", "Instruction", "Label", "Maintainer", "MountFlag", "OnBuild", "Pair",
    "Run", "Shell", "Stage", "StopSignal", "User", "Volume", "Workdir", "Written",
]  # fmt: skip


NOWHERE = Range(0, 0)


@frozen
class Written:
    """How and where an instruction is written."""

    keyword: str = ""
    """As it is there: `RUN`, `run`."""
    text: str = ""
    """The whole instruction in one line, continuations joined; without here-documents."""
    range: Range = NOWHERE
    """All its lines, here-documents included."""
    comments: tuple[str, ...] = ()
    """Those straight above, without their `#`; an empty one begins anew."""


@frozen
class Heredoc:
    """A here-document."""

    name: str
    content: str
    """With its tabs."""
    expand: bool = True
    """Whether variables are put in: its name has no quotes."""
    chomp: bool = False
    """Whether the tabs that lines begin with are no part of it (`<<-`)."""
    descriptor: int = 0

    @property
    def text(self) -> str:
        """What it says, without the tabs that are no part of it."""
        if not self.chomp:
            return self.content
        return "".join(line.lstrip("\t") for line in self.content.splitlines(keepends=True))


@frozen
class Command:
    """What RUN, CMD and ENTRYPOINT run."""

    arguments: tuple[str, ...] = ()
    """Of the shell form the one line; empty where there is none."""
    shell: bool = True
    """Whether it is written in the shell form, not as a list in JSON."""
    files: tuple[Heredoc, ...] = ()


@frozen
class Pair:
    """A name and its value, quotes and variables still in them."""

    key: str
    value: str
    spaced: bool = False
    """Whether it is written with a space, not `=` (the old form)."""


@frozen
class Argument:
    """A name that ARG declares."""

    name: str
    default: str | None = None
    description: str = ""
    """Of the comment above that begins with the name."""


@frozen
class MountFlag:
    """`RUN --mount`, its fields as they are written; `mounts.read` makes sense of them."""

    fields: tuple[str, ...]


@frozen
class Device:
    """`RUN --device`."""

    name: str = ""
    required: bool = False


@frozen
class Instruction:
    """What all instructions have."""

    written: Written = field(factory=Written, kw_only=True)


@frozen
class From(Instruction):
    """FROM."""

    base: str
    name: str = ""
    """In lower case; empty for none."""
    platform: str = ""
    description: str = ""
    """Of the comment above that begins with the name."""


@frozen
class Run(Instruction):
    """RUN."""

    command: Command
    mounts: tuple[MountFlag, ...] = ()
    network: str = "default"
    """`default`, `none`, `host`."""
    security: str = "sandbox"
    """`sandbox`, `insecure`."""
    devices: tuple[Device, ...] = ()


@frozen
class Cmd(Instruction):
    """CMD."""

    command: Command


@frozen
class Entrypoint(Instruction):
    """ENTRYPOINT."""

    command: Command


@frozen
class Label(Instruction):
    """LABEL."""

    pairs: tuple[Pair, ...]


@frozen
class Env(Instruction):
    """ENV."""

    pairs: tuple[Pair, ...]


@frozen
class Maintainer(Instruction):
    """MAINTAINER."""

    name: str


@frozen
class Expose(Instruction):
    """EXPOSE."""

    ports: tuple[str, ...]
    """Sorted; each may be several words once it is expanded."""


@frozen
class Copy(Instruction):
    """COPY."""

    sources: tuple[str, ...]
    """Paths; here-documents are apart."""
    target: str
    files: tuple[Heredoc, ...] = ()
    origin: str = ""
    """`--from`; empty is the context."""
    owner: str = ""
    mode: str = ""
    link: bool = False
    exclude: tuple[str, ...] = ()
    parents: bool = False


@frozen
class Add(Instruction):
    """ADD."""

    sources: tuple[str, ...]
    """Paths and URLs; here-documents are apart."""
    target: str
    files: tuple[Heredoc, ...] = ()
    owner: str = ""
    mode: str = ""
    link: bool = False
    exclude: tuple[str, ...] = ()
    checksum: str = ""
    keep_git: bool | None = None
    """None where it isn't said."""
    unpack: bool | None = None
    """None where it isn't said."""


@frozen
class Volume(Instruction):
    """VOLUME."""

    paths: tuple[str, ...]


@frozen
class User(Instruction):
    """USER."""

    user: str


@frozen
class Workdir(Instruction):
    """WORKDIR."""

    path: str


@frozen
class Arg(Instruction):
    """ARG."""

    arguments: tuple[Argument, ...]


@frozen
class OnBuild(Instruction):
    """ONBUILD; `parser.parse_trigger` reads its text."""

    trigger: str
    """The instruction that it puts off, here-documents included."""


@frozen
class StopSignal(Instruction):
    """STOPSIGNAL."""

    signal: str


@frozen
class HealthCheck(Instruction):
    """HEALTHCHECK."""

    test: tuple[str, ...]
    """As an image's config has it: begins with `NONE`, `CMD` or `CMD-SHELL`."""
    interval_ns: int = 0
    """0 is what the engine does by itself, as for all others."""
    timeout_ns: int = 0
    start_period_ns: int = 0
    start_interval_ns: int = 0
    retries: int = 0


@frozen
class Shell(Instruction):
    """SHELL."""

    arguments: tuple[str, ...]


@frozen
class Stage:
    """A FROM and all instructions up to the next."""

    origin: From
    instructions: tuple[Instruction, ...] = ()


@frozen
class Directive:
    """A parser directive: `# escape=...`."""

    name: str
    value: str
    line: int


@frozen
class Dockerfile:
    """A whole file."""

    name: str
    source: str
    stages: tuple[Stage, ...] = ()
    arguments: tuple[Arg, ...] = ()
    """Those before the first FROM, which hold for FROM lines alone."""
    escape: str = "\\"
    directives: tuple[Directive, ...] = ()
    empty_continuations: tuple[int, ...] = ()
    """Lines where an instruction ends that has an empty line inside."""

    def directive(self, name: str) -> str:
        """Return what a directive says, or an empty text."""
        return next((each.value for each in self.directives if each.name == name), "")
