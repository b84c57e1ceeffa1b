"""Options of podman and dockerd, many at once: with our runtime they come to what they do with the other's."""

from pathlib import Path

import pytest
from peers.box import NAME
from peers.engines import choices

pytestmark = [
    pytest.mark.usefixtures("tidy"),
    pytest.mark.parametrize("engine", choices("podman", "docker"), indirect=True, scope="module"),
]

# Any disk that has a file will do; those of loops come and go.
_DISKS = [f"/dev/{each.name}" for each in Path("/sys/block").iterdir() if Path("/dev", each.name).exists()]
DISK = min(_DISKS, key=lambda path: (path.startswith("/dev/loop"), path), default="/dev/loop0")

# Options, the program, what it prints.
BOTH = {
    "everything-of-the-host": ("--privileged --pid=host --ipc=host --uts=host --cgroupns=host", "echo ok", "ok"),
    "host-and-domain-name": ("--hostname very.long.name", "hostname", "very.long.name"),
    "more-groups": (
        "--group-add 2000 --group-add daemon",
        "id", "uid=0(root) gid=0(root) groups=0(root),1(daemon),2000(extra)",
    ),
    "unlimited-processes": ("--pids-limit -1", "cat /sys/fs/cgroup/pids/pids.max", "max"),
    "a-weight": ("--blkio-weight 300", "echo ok", "ok"),
    "throttled": (f"--device-read-bps {DISK}:1gb --device-write-iops {DISK}:10000", "echo ok", "ok"),
    "processor": (
        "--cpu-period 50000 --cpu-quota 25000 --cpu-shares 100 --cpuset-cpus 0 --cpuset-mems 0",
        "nproc", "1",
    ),
    "memory": (
        "-m 64m --memory-swap -1 --memory-reservation 32m --memory-swappiness 10",
        "cat /sys/fs/cgroup/memory/memory.soft_limit_in_bytes", str(32 << 20),
    ),
    "any-device": ("--device-cgroup-rule 'a *:* rwm'", "echo ok", "ok"),
    "another-name": ("--device /dev/loop-control:/dev/other:rw", "stat -c %F /dev/other", "character special file"),
    "queues": ("--sysctl fs.mqueue.msg_max=20", "cat /proc/sys/fs/mqueue/msg_max", "20"),
    "no-ipc": ("--ipc=none", "sh -c 'ls /dev/shm 2>&1 | wc -w; echo ok'", None),
    "no-capability-missing": ("--cap-add ALL", "sh -c 'mount -t tmpfs t /tmp && echo ok'", "ok"),
    "an-empty-entry": ("--entrypoint ''", "echo ok", "ok"),
    "terminal-on-a-read-only-root": ("--read-only -t", "tty", "/dev/pts/0"),
    "streams-opened-again": ("-u 1000", "sh -c 'echo x >/dev/stdout'", "x"),
}  # fmt: skip
ALONE = {
    "podman": {
        "read-only-to-the-last": (
            "--read-only --read-only-tmpfs=false",
            "sh -c 'touch /dev/x /run/x /tmp/x 2>&1 | wc -l'", "3",
        ),
        "all-ids": ("--userns=keep-id", "id -u", "0"),
        "privileged-with-other-ids": (
            "--privileged --uidmap 0:200000:2000 --gidmap 0:200000:2000",
            "readlink /dev/ptmx", "pts/ptmx",
        ),
        "filled-and-read-only": (
            "--mount type=tmpfs,destination=/etc,tmpcopyup,ro",
            "sh -c 'touch /etc/x 2>/dev/null || head -1 /etc/group'", "root:x:0:",
        ),
        "systemd": (
            "--systemd=always",
            "sh -c 'ls -d /run/lock; touch /sys/fs/cgroup/systemd/x 2>/dev/null; echo ok'", "/run/lock\nok",
        ),
        "umask": ("--umask 0077", "sh -c umask", "0077"),
        "ramfs": ("--mount type=ramfs,destination=/r", "sh -c 'grep -c /r.ramfs /proc/self/mounts'", "1"),
        "devpts": ("--mount type=devpts,destination=/d", "ls /d", "ptmx"),
        "an-image": (f"--mount type=image,source={NAME},destination=/image", "cat /image/etc/group", None),
        "hidden-paths": ("--security-opt mask=/proc/meminfo", "wc -c /proc/meminfo", "0 /proc/meminfo"),
        "an-end-after-a-while": ("--timeout 1", "sh -c 'echo ok; exec sleep 20'", "ok"),
        "a-service-that-says-when": ("--sdnotify=container", "echo ok", "ok"),
        "on-top": ("-v /usr/share:/v:O", "sh -c 'touch /v/x && echo ok'", "ok"),
    },
    "docker": {
        "no-hidden-paths": (
            "--security-opt systempaths=unconfined",
            "sh -c 'grep -c /proc/kcore /proc/self/mounts'", "0",
        ),
        "an-init-beside-others": ("--init --pid=host", "echo ok", "ok"),
        "domain-name": ("--domainname dom.ain", "cat /proc/sys/kernel/domainname", "dom.ain"),
        "a-tmpfs-that-is-read-only": ("--tmpfs /x:ro", "sh -c 'touch /x/y 2>/dev/null || echo ok'", "ok"),
        "read-only-and-all-below": (
            "--mount type=bind,src=/usr/share,dst=/v,bind-recursive=readonly,readonly,bind-propagation=rprivate",
            "sh -c 'touch /v/x 2>/dev/null || echo ok'", "ok",
        ),
        "a-copied-volume": ("-v /etc", "cat /etc/group", None),
        "of-no-user": ("-u 4242:4343", "id -u", "4242"),
    },
}  # fmt: skip


def test_options(engine):
    """In one test, since each is short: every option that comes to something else is told."""
    wrong = {}
    for name, (options, program, wanted) in {**BOTH, **ALONE[engine.name]}.items():
        words = " ".join(engine.command("run", "--rm", "--network=none", options, NAME, program))
        done = engine.sandbox.run("sh", "-c", words, check=False)
        said = done.stdout.replace("\r\n", "\n").rstrip("\n")
        if (said != wanted) if wanted else done.returncode:
            wrong[name] = (done.returncode, said, done.stderr)
    assert wrong == {}
