"""Runs scenarios in a sandbox, and makes what engines say comparable: ids and times are theirs alone."""

import json
import re
import subprocess
import time
from pathlib import Path

from attrs import frozen

ANSWERS = Path(__file__).with_name("answers")
PATIENCE_S = 60
_OWN = (
    (re.compile(r"sha256:[0-9a-f]{64}"), "sha256:ID"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "ID"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"), "TIME"),
    (re.compile(r"failed to create (task|shim)\b.*: unable to start container process: "), ""),
    (re.compile(r"OCI runtime (create|exec) failed: .*: unable to start container process: "), ""),
    # Words that docker's versions have differently.
    (re.compile(r"(?<=Error response from daemon: )(cannot kill container: \S+: )"), ""),
    (re.compile(r"(?<=Error response from daemon: )C(?=ontainer |ouldn't )"), "c"),
    (re.compile(r"\b(Up|Exited \(\d+\)) (Less than a second|\d+ seconds?)( ago)?"), r"\1 TIME"),
)


@frozen
class Answer:
    """What a line came to."""

    code: int
    output: str
    errors: str


def plain(text):
    """Return what is said without what one engine alone can say."""
    for pattern, word in _OWN:
        text = pattern.sub(word, text)
    return text


def ask(sandbox, lines, image):
    """Run lines one after the other, and return the answer to each; `$since` is when the first began."""
    answers = []
    told = {"image": image, "since": f"{time.time():.9f}"}
    for line in lines:
        try:
            done = sandbox.run("sh", "-c", line, check=False, env=told, timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            answers.append(Answer(124, "", f"no end within {PATIENCE_S} s"))
        else:
            answers.append(Answer(done.returncode, plain(done.stdout), plain(done.stderr)))
    return answers


def recorded(scenario):
    """Return what dockerd answered to a scenario's lines when that was written down."""
    lines = (ANSWERS / f"{scenario}.jsonl").read_text(encoding="utf-8").splitlines()
    return [Answer(*json.loads(each)) for each in lines]
