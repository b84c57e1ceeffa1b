"""An engine in a process of its own, to be killed: it does what it is told line by line, as Python, and answers."""

import pickle
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve()


class Process:
    """The engine's process; `ask` evaluates an expression in it, where `engine` and `orchestrator` are known."""

    def __init__(self, root, rootfs, plan, cwd=None):
        self._plan = root.parent / "plan.pickle"
        self._plan.write_bytes(pickle.dumps(plan))
        path = f"import sys; sys.path[:0] = {sys.path!r}; import swarm_process; swarm_process.main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", path, str(root), str(rootfs), str(self._plan)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=cwd,
        )  # fmt: skip
        self.ask("1")

    def ask(self, expression):
        self.process.stdin.write(f"{expression}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the engine's process has died"
        return line.strip()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def main():
    from attrs import evolve
    from swarm_engine import Engine

    from moby.contracts import containers, orchestrator

    root, rootfs, plan = map(Path, sys.argv[1:])
    engine = Engine(root, rootfs, pickle.loads(plan.read_bytes())).__enter__()
    names = {"engine": engine, "orchestrator": engine.orchestrator, "evolve": evolve}
    names |= vars(containers) | {name: getattr(orchestrator, name) for name in orchestrator.__all__}
    for line in sys.stdin:
        print(repr(eval(line, names)).replace("\n", " "), flush=True)
