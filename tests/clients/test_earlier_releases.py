"""What an engine of an earlier release has kept, read by this one's; `clients.releasing` writes such archives."""

import pytest
from attrs import define
from clients.engine import ROOT, Moby, opened
from clients.releasing import RELEASES
from peers.sandbox import until

pytestmark = pytest.mark.slow
ARCHIVES = sorted(RELEASES.glob("*.tar.gz"))
assert ARCHIVES, "archives are missing"


@define
class Later(Moby):
    """This release's engine, on a state that is there already."""

    kept: str = ""

    def _begin(self):
        unpacked = f"mkdir -m 700 -p {ROOT} && tar --xattrs --xattrs-include='*' -C {ROOT} -xpzf {self.kept}"
        self.sandbox.run("sh", "-c", unpacked)
        super()._begin()


@pytest.fixture(scope="module", params=ARCHIVES, ids=lambda path: path.name.removesuffix(".tar.gz"))
def later(request, tmp_path_factory, image, docker_pyz):
    """This release's engine, on a state of an earlier one's; at its end nothing of either is left."""
    folder = tmp_path_factory.mktemp("later")
    with opened(Later, folder, image, distribution=docker_pyz, kept=str(request.param)) as found:
        until(lambda: found.inspect("again", ".State.Running"), "the one that is started again")
        yield found
        found.check_gone()


def test_containers_are_as_they_were(later):
    shown = later.out("ps", "-a", "--format", "{{.Names}} {{.Image}} {{.State}} {{.Networks}}").splitlines()
    assert sorted(shown) == ["again kept:1 running street", "ended kept:1 exited none", "made kept:1 created none"]
    fields = "{{.State.ExitCode}} {{.Config.Labels.kind}} {{.HostConfig.Memory}} {{json .Config.Env}}"
    assert later.out("inspect", "--format", fields, "ended") == '3 kept 67108864 ["GIVEN=once"]'
    assert later.out("inspect", "--format", "{{.Config.Healthcheck.Test}}", "made") == "[CMD-SHELL true]"


def test_logs_go_on(later):
    """Of one that ended, and of one that was running: its policy has it started again, and what it says comes after."""
    done = later("logs", "ended")
    assert (done.stdout, done.stderr) == ("said\n", "more\n")
    until(lambda: later.out("logs", "again") == "up\nup", "the word of the one that was started again")


def test_what_they_changed_is_kept(later):
    changes = later.out("diff", "ended").splitlines()
    assert {"A /etc/made", "D /etc/passwd"} <= set(changes)
    assert later.out("start", "-a", "made") == "late"
    later("start", "ended")
    assert later.out("wait", "ended") == "3"
    assert later.out("logs", "ended").splitlines()[0] == "said"
    things = later.out("run", "--rm", "--network=none", "-v/usr:/usr:ro", "-vthings:/t", "kept:1", "cat", "/t/one")
    assert things == "thing\nthing"  # once then, once now


def test_images(later):
    names = set(later.out("images", "--format", "{{.Repository}}:{{.Tag}}").splitlines())
    assert {"kept:1", "example.org/kept:2", "changed:1", "built:1"} <= names
    run = ("run", "--rm", "--network=none", "-v/usr:/usr:ro")
    assert later.out(*run, "changed:1") == "new"
    assert later.out(*run, "built:1", "sh", "-c", "cat /etc/told; echo $BUILT $GIVEN") == "from the build\nyes once"
    assert later.out("history", "--format", "{{.CreatedBy}}", "built:1").splitlines()[0].startswith("COPY told /etc/")
    later("save", "-o", "/var/lib/peers/saved.tar", "kept:1")
    assert "Untagged: example.org/kept:2" in later.out("rmi", "example.org/kept:2")


def test_networks_and_volumes(later):
    shown = "{{.Driver}} {{(index .IPAM.Config 0).Subnet}} {{.Labels.kind}}"
    assert later.out("network", "inspect", "--format", shown, "street") == "bridge 10.77.0.0/24 kept"
    joined = ("run", "--rm", "--network=street", "-v/usr:/usr:ro", "kept:1")
    assert later.out(*joined, "getent", "hosts", "lamp").split()[0].startswith("10.77.0.")
    assert later.out("volume", "inspect", "--format", "{{.Driver}} {{.Labels.kind}}", "things") == "local kept"


def test_a_build_s_cache(later):
    """Its records are read too: what was built is found again, not done once more."""
    used = later.out("system", "df", "--format", "{{.Type}} {{.TotalCount}}").splitlines()
    assert [each for each in used if each.startswith("Build Cache") and not each.endswith(" 0")]
