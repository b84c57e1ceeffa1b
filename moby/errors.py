"""A closed set of errors, told apart by what the caller can do about them."""

from moby.values import frozen

__all__ = [
    "Conflict", "Corrupt", "Denied", "HostUnfit", "Invalid", "MobyError", "NotFound", "Origin", "Problem",
    "Unavailable", "Unsupported", "masked", "printable",
]  # fmt: skip

_USER_OF_URL = r"(://[^\s/?#:@\"'<>]*:)[^\s/?#\"'<>]*@"
"""Of a user in a URL's authority, which ends at its last `@` (RFC 3986, 3.2)."""


def masked(text: str) -> str:
    """Return a text without the passwords of URLs in it, as `http://user:xxxxx@host/`."""
    if "://" not in text or "@" not in text:
        return text
    import re  # which a runtime's call, that has no such text, has no time for

    return re.sub(_USER_OF_URL, r"\1xxxxx@", text)


def printable(text: str) -> str:
    """Return a text, of which strangers may have written some, without what commands a terminal."""
    controls = (each for each in (*range(32), *range(127, 160)) if chr(each) not in "\t\n")
    return text.translate({each: f"\\x{each:02x}" for each in controls})


@frozen
class Origin:
    """Where a value was written: a file with line and column (from 1), a flag, a variable, a default."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@frozen
class Problem:
    """One thing that is wrong: what, where, why (a chain of steps), and what would fix it."""

    message: str
    where: Origin | None = None
    because: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()
    conflict: tuple[str, ...] = ()
    """Paths of what can't be together in an assembly; taking any one of them away ends this problem."""

    def __str__(self) -> str:
        head = f"{self.where}: {self.message}" if self.where else self.message
        steps = [f"  because {step}" for step in self.because]
        fixes = [f"  fix: {fix}" for fix in self.fixes]
        return "\n".join([head, *steps, *fixes])


class MobyError(Exception):
    """Base of all errors that are raised on purpose; everything else is a bug of ours."""

    exit_code = 70

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  fix: {self.hint}" if self.hint else self.message


class Invalid(MobyError):
    """The input is wrong; change it. Carries every problem that was found."""

    exit_code = 1

    def __init__(self, message: str, *, problems: tuple[Problem, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems) if self.problems else super().__str__()


class NotFound(MobyError):
    """The named thing isn't there; name another one."""

    exit_code = 1


class Conflict(MobyError):
    """The thing is in a state, or in use, so that this can't be done now; change that first."""

    exit_code = 1


class Denied(MobyError):
    """The caller may not do that, or nobody may; ask for something else, or as somebody else."""

    exit_code = 1


class Unsupported(MobyError):
    """This part never does that; choose another part."""

    exit_code = 1


class HostUnfit(MobyError):
    """The host can't: a missing tool or kernel feature, a forbidding setting, no space; change the host."""

    exit_code = 3


class Unavailable(MobyError):
    """Not now: busy, timed out or interrupted; the same call may work later."""

    exit_code = 3


class Corrupt(MobyError):
    """Stored bytes are not what they were when they were written; remove them and make them again."""

    exit_code = 3
