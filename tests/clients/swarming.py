"""What people type at the docker command in swarm mode, and what a script of theirs calls, as scenarios.

A scenario is a file of lines for sh, run one after the other in a sandbox that is no part of a swarm before and after
it. `$image` is the image that was loaded, `$call METHOD PATH [BODY]` makes one call of the API, `$here` is a folder.
Lines that wait do so for what is wanted, and print nothing of how long that takes.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

from clients import asking
from clients.asking import Answer

HERE = "/var/lib/docker"
PATIENCE_S = 120
ANSWERS = Path(__file__).with_name("swarm_answers")
SCENARIOS = {
    each.stem: each.read_text(encoding="utf-8").splitlines()
    for each in sorted(Path(__file__).with_name("swarm_scenarios").glob("*.txt"))
}
assert SCENARIOS, "scenarios are missing"
_OWN = (
    (re.compile(r"SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}"), "TOKEN"),
    (re.compile(r"SWMKEY-1-[0-9A-Za-z+/]{43}"), "KEY"),
    (re.compile(r"(?<![0-9a-z])[0-9a-z]{25}(?![0-9a-z])"), "ID"),
    (re.compile(r"\b[0-9a-z]{12}\b(?=@)"), "ID"),
    (re.compile(r"(?m)^[0-9a-z]{12}$"), "ID"),
)


def plain(text):
    """Return what is said without what one swarm alone can say."""
    text = asking.plain(text)
    for pattern, word in _OWN:
        text = pattern.sub(word, text)
    return text


def prepare(sandbox):
    """Put into a sandbox what the lines call."""
    shutil.copy(Path(__file__).with_name("swarm_call.py"), sandbox.seen(f"{HERE}/swarm_call.py"))


def ask(sandbox, lines, image):
    """Run lines one after the other, and return the answer to each."""
    prepare(sandbox)
    env = {"image": image, "call": f"python3 {HERE}/swarm_call.py", "here": HERE}
    answers = []
    for line in lines:
        try:
            done = sandbox.run("sh", "-c", line, check=False, env=env, timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            answers.append(Answer(124, "", f"no end within {PATIENCE_S} s"))
        else:
            answers.append(Answer(done.returncode, plain(done.stdout), plain(done.stderr)))
    return answers


def recorded(scenario):
    """Return what dockerd answered to a scenario's lines when that was written down."""
    lines = (ANSWERS / f"{scenario}.jsonl").read_text(encoding="utf-8").splitlines()
    return [Answer(*json.loads(each)) for each in lines]
