"""The process of a part in another language: the interpreter that has wired it becomes its program."""

import os
import signal
import socket
from contextlib import suppress
from typing import NoReturn

from moby.component import Program
from moby.errors import HostUnfit

__all__ = ["LISTENER", "become"]

LISTENER = 3
"""The descriptor at which a program listens, as systemd passes sockets (sd_listen_fds(3))."""


def become(program: Program, name: str, listener: socket.socket) -> NoReturn:
    """Run a program in place of this process, which listens already; HostUnfit says why the kernel won't.

    Its code is no file, which a folder mounted `noexec` couldn't run; a script's interpreter reads it by a descriptor.
    """
    script = program.code.startswith(b"#!")
    code = os.memfd_create(name, 0 if script else os.MFD_CLOEXEC)
    with open(code, "wb", buffering=0, closefd=False) as file:
        file.write(program.code)
    if code == LISTENER:
        code = os.dup(code)
        os.set_inheritable(code, script)
    listener.setblocking(True)
    os.dup2(listener.fileno(), LISTENER)
    os.set_inheritable(LISTENER, True)  # which dup2(2) leaves as it was, where it is that one already
    environ = {**os.environ, "LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
    for number in signal.valid_signals():
        with suppress(OSError):  # SIGKILL and SIGSTOP are the kernel's
            signal.signal(number, signal.SIG_DFL)
    try:
        os.execve(code, [name, *program.arguments], environ)  # noqa: S606 - it becomes the program
    except OSError as error:
        hint = "get it for this machine's processor, or install what interprets it"
        raise HostUnfit(f"the program of {name} can't be run: {error.strerror}", hint=hint) from error
