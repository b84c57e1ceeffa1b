"""What drivers import before there is a log that needs it: each supervisor, and each copy of one, has all of them."""

import subprocess
import sys

CODE = """
import sys
from moby_log.fluentd.driver import *
from moby_log.journald.driver import *
from moby_log.json_file.driver import *
from moby_log.local.driver import *
from moby_log.syslog.driver import *
print(*sorted({"ssl", "subprocess", "shutil"} & set(sys.modules)))
"""


def test_drivers_begin_without_tls_and_commands() -> None:
    found = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout == "\n"
