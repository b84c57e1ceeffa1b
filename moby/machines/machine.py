"""A machine as it was assembled, and the words that its kernel is told."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from attrs import frozen

from moby.errors import Invalid

__all__ = ["REPORT", "Machine", "words"]

REPORT = "/dev/ttyS1"
"""The terminal inside on which a machine tells its exit code, and is told to end."""
FILES = ("kernel", "initrd", "cmdline")
LONGEST_WORDS = 2000
"""What a kernel takes, a little less (COMMAND_LINE_SIZE)."""
MOST_WORDS = 64
"""What a machine's first process takes of a command."""
_SAFE = "/:@-_.~+"
_EMPTY = "%00"


@frozen
class Machine:
    """The files of a machine."""

    name: str
    folder: Path

    @property
    def kernel(self) -> Path:
        """Return the kernel."""
        return self.folder / f"{self.name}.kernel"

    @property
    def initrd(self) -> Path:
        """Return what it starts with."""
        return self.folder / f"{self.name}.initrd"

    def kept(self, folder: Path) -> "Machine":
        """Return it with its files in another folder of the file system, where no later assembling replaces them."""
        for each in FILES:
            (folder / f"{self.name}.{each}").hardlink_to(self.folder / f"{self.name}.{each}")
        return Machine(self.name, folder)

    def command_line(self, arguments: Sequence[str], more: str = "") -> str:
        """Return the words for the kernel: its own, more of them, and what the engine is to run at the console."""
        own = (self.folder / f"{self.name}.cmdline").read_text(encoding="utf-8").strip()
        asked = [words([f"/usr/bin/{self.name}", *arguments])] if arguments else []
        if len(arguments) >= MOST_WORDS:
            raise Invalid(f"the command has {len(arguments) + 1} words; at most {MOST_WORDS} are allowed",
                          hint="put it into a script of an image")  # fmt: skip
        line = " ".join(filter(None, [own, more, f"MOBY_REPORT={REPORT}", *asked]))
        if len(line) > LONGEST_WORDS:
            raise Invalid(
                f"the kernel command line would have {len(line)} bytes; at most {LONGEST_WORDS} are allowed",
                hint="put it into a file of the machine, by the option files of vm",
            )
        return line


def words(command: Sequence[str]) -> str:
    """Return a command as a machine's first process reads it."""
    return f"MOBY_RUN={','.join(quote(each, safe=_SAFE) or _EMPTY for each in command)}"
