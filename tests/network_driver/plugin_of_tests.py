"""A CNI plugin of the tests' own: notes what it is asked, and does what its configuration says.

Run by a script that names this file; PLUGIN_NOTES is the folder of its notes.
"""

import json
import os
import sys
import time
from pathlib import Path

asked = json.load(sys.stdin)
command = os.environ["CNI_COMMAND"]
notes = Path(__file__).parent / "notes"
notes.mkdir(exist_ok=True)
number = len(list(notes.iterdir()))
told = {key: value for key, value in os.environ.items() if key.startswith("CNI_")}
(notes / f"{number:03}").write_text(json.dumps({"command": command, "asked": asked, "environment": told}))
wish = asked.get("wish", {}).get(command, "")
if wish == "fail":
    print(json.dumps({"cniVersion": asked["cniVersion"], "code": 7, "msg": "no luck", "details": "today"}))
    sys.exit(1)
if wish == "crash":
    sys.exit("boom")
if wish == "hang":
    time.sleep(1000)
if wish.startswith("say "):
    print(wish.removeprefix("say "))
elif command == "ADD":
    print(json.dumps(asked.get("prevResult") or {"cniVersion": asked["cniVersion"]}))
