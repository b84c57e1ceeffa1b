"""Compiles the program into the package; the wheel is for this machine's kind of processor."""

import os
import shlex
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompileHook(BuildHookInterface[Any]):
    """Calls the compiler; CC, CFLAGS and LDFLAGS are as everywhere."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, with jansson linked statically, so that the program needs only the C library."""
        if self.target_name != "wheel":
            return
        folder = Path(self.root, "program")
        out = Path(self.root, "src/trash_volumes/trash-volumes")
        words = {name: shlex.split(os.environ.get(name, default)) for name, default in FLAGS.items()}
        sources = sorted(str(each) for each in folder.glob("*.c"))
        libraries = ["-l:libjansson.a", "-pthread"]
        subprocess.run(
            [*words["CC"], "-std=gnu17", *words["CFLAGS"], "-o", str(out), *sources, *words["LDFLAGS"], *libraries],
            check=True,
        )
        build_data["artifacts"].append("src/trash_volumes/trash-volumes")
        build_data["pure_python"] = False
        build_data["tag"] = "py3-none-" + sysconfig.get_platform().replace("-", "_").replace(".", "_")


FLAGS = {"CC": "cc", "CFLAGS": "-O2 -Wall -Wextra", "LDFLAGS": "-s"}
