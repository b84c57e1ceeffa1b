"""The native runtime on hosts that this machine is not: pure control groups of version 2, other kernels, delegation."""

import pytest
from attrs import evolve
from guests.inner import NEWEST, OLDEST, Inner, run
from guests.machine import GuestDied, Job
from guests.qemu import qemu
from guests.uml import uml

SUITE = "tests/runtime/test_native_suite.py"
LIMITS = "tests/runtime/test_native_limits.py"
HOSTS = "tests/runtime/test_native_hosts.py"
SYSTEMD = "tests/runtime/test_native_systemd.py"
USER_SYSTEMD = "tests/runtime/test_native_user_systemd.py"
OTHERS = ("tests/runtime/test_jails.py", "tests/runtime/test_lxc.py")
GROUPS = ("tests/host/test_cgroups.py", "tests/host/test_device_filter.py")
IMAGES_OF_PROCESSES = "tests/runtime/test_native_images.py"
SOME_IMAGES = "by_exec"
# By which CRIU asks for sockets, connections that are tracked, and keeps a namespace's network still.
IMAGE_MODULES = (
    "unix_diag", "tcp_diag", "udp_diag", "raw_diag", "inet_diag", "netlink_diag", "af_packet_diag", "nf_tables",
    "nf_conntrack_netlink",
)  # fmt: skip
NETWORKS = ("tests/network_driver", "tests/host/test_rtnetlink.py")
STACKED = "Ipvlan or vlan"
# What these need beyond what every test in that guest has; its kernel loads none by itself.
NETWORK_MODULES = (
    "vxlan", "esp4", "esp6", "xfrm_user", "gcm", "ghash-generic", "seqiv", "sctp", "nf_tables", "nft_ct", "nft_nat",
    "nft_chain_nat", "nft_masq", "nft_redir", "nft_fib_inet", "nft_numgen", "nf_conntrack_netlink",
)  # fmt: skip
ENCRYPTED = ("-k", "encrypt or keys or by_the_same_key", "tests/network_driver/test_overlay.py")
SCTP = ("-k", "sctp", "tests/network_driver/test_bridge.py")
BRIEF = ("-m", "not long and not fuzz")
# An emulated processor takes seconds to import hypothesis, as its plugin does.
WITHOUT_HYPOTHESIS = ("-p", "no:hypothesispytest")
# Those with a descriptor as working folder try thirty containers each, and a host makes no difference to them.
BUSY = "descriptor"
# Nor to these, which the ordinary user runs.
ALIKE = "hook or masked or link or exit_code or cannot or refused or owns or plus or prefix or no-slice"
# What some tests of the host need in each guest; the first one's kernel has tables of one family each.
MORE = {"uml": ("vxlan", "nf_tables"), "qemu": NETWORK_MODULES}
# What neither this machine nor the other guest has: an emulated processor is slow.
RARE = "AppArmor or clock or mapped or cpus or mems or weight or huge or disk or docker or rdma"
ALL = ("tests/runtime", "tests/host")
# Checkpoints, which one kernel can't write, and for whose restore an emulated processor takes minutes.
IMAGES = "native_images or image_mutants"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "inner",
    [
        Inner("root", [*BRIEF, "-k", f"not ({BUSY} or {ALIKE})", SUITE, LIMITS, HOSTS, SYSTEMD, *GROUPS]),
        Inner("user", [*BRIEF, "-k", f"not {BUSY}", SUITE, HOSTS, USER_SYSTEMD], ordinary=True, environment=OLDEST),
    ],
    ids=lambda inner: inner.name,
)
def test_user_mode_linux(inner, tmp_path, notes):
    """Pure version 2 with cpu, io, memory and pids; an ordinary user has a group of its own, and subordinate ids."""
    run(uml(), tmp_path, [inner], 800, notes)


@pytest.mark.slow
def test_networks(tmp_path, notes):
    """Interfaces on top of others, of sorts that machines may lack."""
    run(uml(), tmp_path, [Inner("root", ["-k", STACKED, *NETWORKS])], 280, notes)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_what_networks_need_of_rare_kernels(tmp_path, notes):
    """Encryption and SCTP, which neither this machine nor the other guest may have."""
    found = evolve(qemu(), modules=(*qemu().modules, *NETWORK_MODULES))
    inner = [Inner(name, [*WITHOUT_HYPOTHESIS, *each]) for name, each in (("encrypted", ENCRYPTED), ("sctp", SCTP))]
    run(found, tmp_path, inner, 1700, notes)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_qemu(tmp_path, notes):
    """Every controller of version 2, AppArmor, all namespaces: what the other guest lacks."""
    run(qemu(), tmp_path, [Inner("root", [*BRIEF, *WITHOUT_HYPOTHESIS, "-k", RARE, SUITE, LIMITS, HOSTS])], 800, notes)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("guest", "some"), [(uml, f"not {BUSY}"), (qemu, "lives or forsook or everyone or warden or passed_on")],
    ids=["uml", "qemu"],
)  # fmt: skip
def test_other_runtimes(guest, some, tmp_path, notes):
    """The runtimes over LXC, chroot and control groups alone, where these are of version 2."""
    run(guest(), tmp_path, [Inner("root", [*WITHOUT_HYPOTHESIS, "-k", some, *OTHERS])], 1700, notes)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_images_of_processes(tmp_path, notes):
    """CRIU on pure control groups of version 2: a container is written, and made again."""
    found = evolve(qemu(), modules=(*qemu().modules, *IMAGE_MODULES))
    run(found, tmp_path, [Inner("images", ["--timeout=900", "-k", SOME_IMAGES, IMAGES_OF_PROCESSES])], 1700, notes)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("guest", [uml, qemu], ids=["uml", "qemu"])
@pytest.mark.parametrize("environment", [NEWEST, OLDEST], ids=["newest", "oldest"])
@pytest.mark.parametrize("ordinary", [False, True], ids=["root", "user"])
def test_everything(guest, environment, ordinary, tmp_path, notes):
    found = guest()
    if found.emulated:
        pytest.skip(f"an emulated processor takes many hours; test_{found.name} runs what no other guest has")
    found = evolve(found, modules=(*found.modules, *MORE[found.name]))
    arguments = ["-m", "not fuzz", "-k", f"not ({IMAGES})", *ALL]
    run(found, tmp_path, [Inner("all", arguments, ordinary, environment)], 7000, notes)


@pytest.mark.slow
class TestMachine:
    """The guests themselves."""

    def test_jobs_tell_their_end(self, tmp_path):
        jobs = [
            Job("first", ["sh", "-c", "echo $0 $MOBY_GUEST; id -u; echo file > /run/results/kept; exit 3"]),
            Job("second", ["sh", "-c", "id -u; cat /proc/self/cgroup"], ordinary=True, delegated=True),
        ]
        ended = uml().run(tmp_path, jobs, 120)
        assert (ended["first"].code, ended["first"].output) == (3, "sh uml\n0\n")
        assert (ended["first"].folder / "kept").read_text() == "file\n"
        assert (ended["second"].code, ended["second"].output) == (0, "4321\n0::/user/session\n")

    def test_what_fails_inside_fails_outside(self, tmp_path, notes):
        inner = Inner("examples", ["tests/guests/examples.py"])
        with pytest.raises(pytest.fail.Exception) as caught:
            run(uml(), tmp_path, [inner], 120, notes)
        text = str(caught.value)
        assert text.startswith("guest uml, examples: 2 failed, 1 passed, its code 1\n")
        assert "assert 1 + 1 == 3" in text
        assert "the guest uml is there for tests that need moon, which it doesn't have" in text
        *_, first, second = notes
        del notes[-3:]
        assert first == "  1 skipped: no cheese on this host; no guest has it (test_of_what_no_guest_has ...)"
        assert second == "  1 skipped: no moon on this host; runs in the guest qemu (test_of_what_another_has ...)"

    def test_the_machine_s_files_are_safe(self, tmp_path):
        target = tmp_path / "file"
        target.write_text("as it was")
        job = Job(
            "write",
            ["sh", "-c", "echo x > /etc/only-in-guest; for each in /usr/x /run/checkout/x; do echo > $each; done"],
        )
        ended = uml().run(tmp_path, [job], 120)
        assert ended["write"].output.count("Read-only file system") == 2
        assert target.read_text() == "as it was"

    def test_one_that_is_late_is_ended_with_its_words(self, tmp_path):
        with pytest.raises(GuestDied, match=r"(?s)job wait .*not over after 20 s.*waiting now"):
            uml().run(tmp_path, [Job("wait", ["sh", "-c", "echo waiting now; sleep 1000"])], 20)

    def test_one_that_dies_is_told_with_its_console(self, tmp_path):
        crash = "echo c > /proc/sysrq-trigger; sleep 100"
        with pytest.raises(GuestDied, match=r"(?s)job crash .*the guest is down.*sysrq: Trigger a crash"):
            uml().run(tmp_path, [Job("crash", ["sh", "-c", crash])], 120)
