"""`python -m moby_runtime.native.cli`."""

from moby_runtime.native.cli.main import command

command()
