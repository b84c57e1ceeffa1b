"""Writes down what Debian's dockerd answers in swarm mode: `python -m clients.swarm_recording [SCENARIO ...]`."""

import json
import sys
import tempfile
from pathlib import Path

from clients.engine import opened_docker
from clients.swarming import ANSWERS, SCENARIOS, ask
from peers.box import NAME, archive


def main(names):
    """Ask for each scenario, in one sandbox."""
    ANSWERS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image = archive(folder / "image.tar", folder / "rootfs")
        with opened_docker(folder / "dockerd", image) as engine:
            for scenario in names or SCENARIOS:
                answers = ask(engine.sandbox, SCENARIOS[scenario], NAME)
                lines = [json.dumps([each.code, each.output, each.errors]) for each in answers]
                (ANSWERS / f"{scenario}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
