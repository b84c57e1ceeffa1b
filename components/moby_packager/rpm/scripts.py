"""What rpm runs when a package comes and goes; an engine and its containers go on through an upgrade."""

from moby_packager.installed.package import Package
from moby_packager.rpm.header import Value

__all__ = ["description", "tags"]

SHELL = "/bin/sh"
AFTER_INSTALL, BEFORE_ERASE, AFTER_ERASE = (1024, 1086), (1025, 1087), (1026, 1088)
"""Tags of a script, and of the program that runs it."""


def description(package: Package) -> str:
    """Return what a user reads about a package."""
    parts = (f"  {each['facts']['id']} {each['facts']['version']}" for each in package.instances)
    return "\n".join(["Assembled by moby from these parts:", *parts])


def tags(package: Package) -> dict[int, Value]:
    """Return scripts by tag; `$1` says how many versions there are afterwards."""
    down = f"if [ $1 -eq 0 ]; then /usr/bin/{package.command} down || :; fi\n"
    texts = {AFTER_INSTALL: "", BEFORE_ERASE: down, AFTER_ERASE: ""}
    if package.serves:
        served = {AFTER_INSTALL: POST, BEFORE_ERASE: PREUN, AFTER_ERASE: POSTUN}
        texts = {when: text.format(name=package.name, group=package.group) for when, text in served.items()}
        texts[BEFORE_ERASE] += down
    found: dict[int, Value] = {}
    for (script, program), text in texts.items():
        if text:
            found |= {script: text, program: SHELL}
    return found


POST = """\
if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers {name}.conf || :
elif ! getent group {group} >/dev/null; then
    groupadd --system {group} || :
fi
if command -v systemctl >/dev/null; then
    if [ $1 -eq 1 ]; then systemctl --quiet enable {name}.socket || :; fi
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload || :
        if [ $1 -eq 1 ]; then systemctl start {name}.socket || :; else systemctl try-restart {name}.service || :; fi
    fi
fi
"""
PREUN = """\
if [ $1 -eq 0 ] && command -v systemctl >/dev/null; then
    if [ -d /run/systemd/system ]; then systemctl stop {name}.socket {name}.service || :; fi
    systemctl --quiet disable {name}.socket {name}.service || :
fi
"""
POSTUN = """\
if [ -d /run/systemd/system ]; then systemctl daemon-reload || :; fi
"""
