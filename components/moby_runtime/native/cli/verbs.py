"""Every verb with its flags: the table of the command line, from which its help is written too."""

from __future__ import annotations

from moby_runtime.native.cli.flags import LIST, NUMBER, SWITCH, TEXT, Flag

TYPE_CHECKING = False

__all__ = ["GLOBAL", "VERBS", "Verb"]


class Verb:
    """A verb: the module and function that do it, its flags, and how many arguments it takes."""

    __slots__ = ("flags", "function", "least", "module", "most", "stop_after", "summary", "usage")

    def __init__(
        self,
        module: str,
        summary: str,
        usage: str = "ID",
        flags: tuple[Flag, ...] = (),
        arguments: tuple[int, int] = (1, 1),
        *,
        function: str = "",
        stop_after: int = -1,
    ) -> None:
        self.module = module
        self.function = function
        self.summary = summary
        self.usage = usage
        self.flags = flags
        self.least, self.most = arguments
        self.stop_after = stop_after


GLOBAL: tuple[Flag, ...] = (
    ("root", "", TEXT, "folder of all containers' state"),
    ("log", "", TEXT, "file to which the log is appended, instead of standard error"),
    ("log-format", "", TEXT, "text (the default) or json"),
    ("debug", "", SWITCH, "log what is done, and where a bug is"),
    ("systemd-cgroup", "", SWITCH, "cgroups made by systemd; linux.cgroupsPath is SLICE:PREFIX:NAME"),
    ("rootless", "", TEXT, "true, false or auto (the default): control groups only as far as the user may"),
    ("criu", "", TEXT, ""),
    ("help", "h", SWITCH, "show help"),
    ("version", "v", SWITCH, "show the version"),
)

_SOCKETS: tuple[Flag, ...] = (
    ("console-socket", "", TEXT, "socket that is sent the terminal's descriptor"),
    ("pidfd-socket", "", TEXT, "socket that is sent a descriptor of the process"),
    ("pid-file", "", TEXT, "file to write the process id to"),
    ("preserve-fds", "", NUMBER, "pass on as many more descriptors, from 3 on"),
)
_CREATE: tuple[Flag, ...] = (
    ("bundle", "b", TEXT, "the bundle's folder, else the current one"),
    *_SOCKETS,
    ("no-pivot", "", SWITCH, "change the root by a moved mount, for a root on a ramdisk"),
    ("no-new-keyring", "", SWITCH, "leave the caller's session keyring to the container"),
)
_RUN: tuple[Flag, ...] = (
    *_CREATE,
    ("detach", "d", SWITCH, "end when the container has started"),
    ("keep", "", SWITCH, "don't delete the container when it has ended"),
    ("replace", "", SWITCH, "first delete a container of this id, by force"),
    ("no-subreaper", "", SWITCH, ""),
)
_EXEC: tuple[Flag, ...] = (
    *_SOCKETS,
    ("process", "p", TEXT, "file with the process as JSON, or - for standard input"),
    ("detach", "d", SWITCH, "end when the program has started"),
    ("tty", "t", SWITCH, "give it a terminal"),
    ("cwd", "", TEXT, "working folder"),
    ("env", "e", LIST, "NAME=VALUE for the environment"),
    ("user", "u", TEXT, "UID[:GID]"),
    ("additional-gids", "g", LIST, "further groups"),
    ("cap", "c", LIST, "further capability"),
    ("no-new-privs", "", SWITCH, "set no_new_privs"),
    ("process-label", "", TEXT, "SELinux label"),
    ("apparmor", "", TEXT, "AppArmor profile"),
    ("cgroup", "", LIST, "[CONTROLLER,...:]GROUP below the container's control group"),
    ("ignore-paused", "", SWITCH, "also in a paused container, where it waits for the resume"),
)
_UPDATE: tuple[Flag, ...] = (
    (
        "resources",
        "r",
        TEXT,
        "file with linux.resources as JSON, or - for standard input; other flags don't count then",
    ),
    ("blkio-weight", "", NUMBER, "weight for input and output, 10 to 1000"),
    ("cpu-period", "", TEXT, "period of the processor quota in microseconds"),
    ("cpu-quota", "", TEXT, "processor time in a period in microseconds"),
    ("cpu-burst", "", TEXT, "saved-up processor time for a period in microseconds"),
    ("cpu-share", "", TEXT, "share of the processors, against other containers"),
    ("cpu-rt-period", "", TEXT, "period of the realtime limit in microseconds"),
    ("cpu-rt-runtime", "", TEXT, "realtime processor time in a period in microseconds"),
    ("cpu-idle", "", TEXT, "1 for what runs only on idle processors, else 0"),
    ("cpuset-cpus", "", TEXT, "processors to use, as 0-3,7"),
    ("cpuset-mems", "", TEXT, "memory nodes to use"),
    ("memory", "", TEXT, "limit of memory in bytes; k, m, g, t are understood, -1 is none"),
    ("memory-reservation", "", TEXT, "memory that is left to it when there is little"),
    ("memory-swap", "", TEXT, "limit of memory and swap together; -1 is none"),
    ("kernel-memory", "", TEXT, ""),
    ("kernel-memory-tcp", "", TEXT, ""),
    ("pids-limit", "", NUMBER, "most processes; -1 is no limit"),
    ("l3-cache-schema", "", TEXT, "Intel RDT: schema of the cache"),
    ("mem-bw-schema", "", TEXT, "Intel RDT: schema of memory bandwidth"),
)
_FORMAT: Flag = ("format", "f", TEXT, "table (the default) or json")
_IMAGE: tuple[Flag, ...] = (
    ("image-path", "", TEXT, "folder of the image, else ./checkpoint"),
    ("work-path", "", TEXT, "folder for CRIU's log, which else is read for errors alone"),
    ("tcp-established", "", SWITCH, "with connections of TCP"),
    ("ext-unix-sk", "", SWITCH, "with Unix sockets whose other end is outside"),
    ("shell-job", "", SWITCH, "with a terminal that isn't the container's own"),
    ("file-locks", "", SWITCH, "with locks of files"),
    ("link-remap", "", SWITCH, "with files that are open and have no name any more"),
    ("manage-cgroups-mode", "", TEXT, "soft, which it is"),
    ("empty-ns", "", LIST, "network, which is made anew anyway"),
    ("auto-dedup", "", SWITCH, ""), ("lazy-pages", "", SWITCH, ""),
)  # fmt: skip
_CHECKPOINT: tuple[Flag, ...] = (
    *_IMAGE,
    ("leave-running", "", SWITCH, "don't stop the container"),
    ("tcp-skip-in-flight", "", SWITCH, "without connections that are being made"),
    ("parent-path", "", TEXT, ""), ("page-server", "", TEXT, ""), ("status-fd", "", NUMBER, ""),
    ("pre-dump", "", SWITCH, ""),
)  # fmt: skip
_RESTORE: tuple[Flag, ...] = (
    *_RUN,
    *_IMAGE,
    ("lsm-profile", "", TEXT, ""), ("lsm-mount-context", "", TEXT, ""),
)  # fmt: skip

VERBS = {
    "create": Verb("create", "make a container, up to its program", "ID", _CREATE),
    "start": Verb("lifecycle", "run the program of a created container", function="start"),
    "run": Verb("create", "make a container, run its program, and delete it at the end", "ID", _RUN, function="run"),
    "exec": Verb(
        "exec", "run another program inside", "ID PROGRAM [ARGUMENT...]", _EXEC, (1, -1),
        function="run_inside", stop_after=1,
    ),
    "state": Verb("state", "print a container's state as JSON"),
    "list": Verb(
        "state", "list all containers", "", (_FORMAT, ("quiet", "q", SWITCH, "only ids")), (0, 0),
        function="list_all",
    ),
    "ps": Verb("ps", "list the processes of a container", "ID [PS-OPTION...]", (_FORMAT,), (1, -1), stop_after=1),
    "kill": Verb(
        "lifecycle", "send a signal", "ID [SIGNAL]", (("all", "a", SWITCH, "to all its processes"),), (1, 2),
        function="kill", stop_after=1,
    ),
    "pause": Verb("lifecycle", "freeze all processes of a container", function="pause"),
    "resume": Verb("lifecycle", "let a paused container go on", function="resume"),
    "update": Verb("update", "change limits", "ID", _UPDATE),
    "events": Verb(
        "events", "print what a container uses, and when it has run out of memory", "ID",
        (("stats", "", SWITCH, "once"), ("interval", "", TEXT, "time between, as 5s (the default)")),
    ),
    "delete": Verb(
        "lifecycle", "remove every trace of a container", "ID",
        (("force", "f", SWITCH, "also of one that runs, which is killed"),), function="delete",
    ),
    "spec": Verb(
        "spec", "write a config.json to start from", "",
        (
            ("bundle", "b", TEXT, "the bundle's folder, else the current one"),
            ("rootless", "", SWITCH, "for an ordinary user"),
        ),
        (0, 0),
    ),
    "features": Verb("features", "print what this runtime can do, as JSON", "", (), (0, 0)),
    "checkpoint": Verb(
        "images", "write the processes of a container into an image", "ID", _CHECKPOINT, function="checkpoint"
    ),
    "restore": Verb("images", "make a container of an image", "ID", _RESTORE, function="restore"),
}  # fmt: skip
"""By name, in the order of the help."""
