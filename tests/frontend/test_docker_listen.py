"""Where a front end listens: Unix sockets, TCP with mutual TLS, sockets that were passed."""

import contextlib
import grp
import os
import select
import shutil
import socket
import ssl
import stat
import subprocess
import time
from pathlib import Path

import pytest
from frontend.test_docker_http import answer, head, until_closed
from moby_frontend.listening import addresses

from moby.contracts.containers import ContainerConfig
from moby.errors import Conflict, HostUnfit, Invalid, Unsupported

PATIENCE_S = 60


class TestCheck:
    """What is refused before anything else of the engine has started."""

    def test_tcp_without_tls(self, serve):
        with pytest.raises(Unsupported, match="without TLS"):
            serve(listen=False).frontend.check(["tcp://127.0.0.1:0"])

    def test_a_certificate_that_is_not_there(self, serve, tmp_path):
        files = {f"tls_{each}": f"{tmp_path}/{each}.pem" for each in ("certificate", "key", "authority")}
        with pytest.raises((Invalid, HostUnfit, OSError)):
            serve(listen=False, **files).frontend.check(["tcp://127.0.0.1:0"])

    def test_a_group_that_is_not_there(self, serve, tmp_path):
        with pytest.raises(Invalid, match="no group 'nonesuch'"):
            serve(listen=False, group="nonesuch").frontend.check([f"unix://{tmp_path}/s.sock"])

    def test_a_folder_that_can_not_be(self, serve, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises((HostUnfit, OSError)):
            serve(listen=False).frontend.check([f"unix://{tmp_path}/file/s.sock"])

    def test_a_port_that_is_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
            with pytest.raises(Conflict, match="Address already in use"):
                addresses.checked(address, group="docker", check=lambda *_: None)
        addresses.checked(address, group="docker", check=lambda *_: None)

    def test_without_addresses_it_looks_at_its_options(self, serve, tmp_path):
        (tmp_path / "a.sock").touch()
        with pytest.raises(Conflict, match="is no socket"):
            serve(listen=False, socket=f"{tmp_path}/a.sock").frontend.check()


class TestUnix:
    def test_a_folder_that_was_not_there_is_gone_again(self, serve, tmp_path):
        served = serve(listen=False)
        kept, gone = tmp_path / "kept/b/s.sock", tmp_path / "gone/b/s.sock"
        addresses = [f"unix://{kept}", f"unix://{gone}"]
        served.frontend.check(addresses)
        assert not (tmp_path / "kept").exists()
        served.frontend.listen(addresses)
        (kept.parent / "other").touch()
        served.frontend.__exit__(None, None, None)
        assert [each.name for each in kept.parent.iterdir()] == ["other"]
        assert not (tmp_path / "gone").exists()

    def test_what_fails_leaves_no_folder(self, serve, tmp_path):
        with pytest.raises(Invalid, match="no group 'nonesuch'"):
            serve(listen=False, group="nonesuch").frontend.listen([f"unix://{tmp_path}/a/b/s.sock"])
        assert not (tmp_path / "a").exists()

    def test_its_file_is_for_owner_and_group(self, served):
        found = Path(served.path).stat()
        assert stat.S_IMODE(found.st_mode) == 0o660
        names = {each.gr_name: each.gr_gid for each in grp.getgrall()}
        assert found.st_gid == names.get("docker", 0)

    def test_a_group_of_ones_choice(self, serve, tmp_path):
        served = serve(listen=False, group="daemon")
        path = tmp_path / "s.sock"
        served.frontend.listen([f"unix://{path}"])
        assert path.stat().st_gid == grp.getgrnam("daemon").gr_gid

    def test_a_group_that_is_not_there(self, serve, tmp_path):
        path = tmp_path / "s.sock"
        with pytest.raises(Invalid, match="no group 'nonesuch'"):
            serve(listen=False, group="nonesuch").frontend.listen([f"unix://{path}"])

    def test_a_stale_file_is_replaced(self, serve, tmp_path):
        path = tmp_path / "s.sock"
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))
        assert serve(listen=False).frontend.listen([f"unix://{path}"]) == (f"unix://{path}",)

    def test_a_live_one_is_refused(self, serve, served):
        with pytest.raises(Conflict, match="somebody listens at"):
            serve(listen=False).frontend.listen([f"unix://{served.path}"])
        assert served.call("GET", "/_ping").status == 200

    def test_what_is_no_socket_is_refused(self, serve, tmp_path):
        path = tmp_path / "file"
        path.touch()
        with pytest.raises(Conflict, match="is no socket"):
            serve(listen=False).frontend.listen([f"unix://{path}"])
        assert path.exists()

    def test_a_folder_that_can_not_be(self, serve, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises((HostUnfit, OSError)):
            serve(listen=False).frontend.listen([f"unix://{tmp_path}/file/s.sock"])

    def test_the_file_of_a_successor_stays(self, serve, tmp_path):
        path = tmp_path / "s.sock"
        served = serve(listen=False)
        served.frontend.listen([f"unix://{path}"])
        path.unlink()
        with socket.socket(socket.AF_UNIX) as successor:
            successor.bind(str(path))
            served.frontend.__exit__(None, None, None)
            assert path.exists()

    def test_without_addresses_its_options_say_where(self, serve, tmp_path):
        served = serve(listen=False, socket=f"{tmp_path}/a.sock", addresses=(f"unix://{tmp_path}/b.sock",))
        assert served.frontend.listen() == (f"unix://{tmp_path}/a.sock", f"unix://{tmp_path}/b.sock")
        for name in ("a", "b"):
            served.path = f"{tmp_path}/{name}.sock"
            assert served.call("GET", "/_ping").status == 200
        served.frontend.__exit__(None, None, None)
        served.frontend.__enter__()

    @pytest.mark.parametrize(
        ("address", "words"),
        [
            ("http://x", "can't listen at 'http://x'"),
            ("/run/x", "can't listen at '/run/x'"),
            ("unix://x", "names no absolute path"),
            ("unix:///" + "x" * 200, "longer than a Unix socket's path may be.*\\n.*name a shorter DIR"),
            ("fd://x", "names no descriptor"),
            ("fd://", "no sockets were passed to this process"),
            ("fd://987", "is no socket"),
        ],
    )
    def test_addresses_that_are_none(self, serve, address, words):
        with pytest.raises(Invalid, match=words.replace("(", r"\(")):
            serve(listen=False).frontend.listen([address])

    def test_after_an_error_it_listens_at_none_of_them(self, serve, tmp_path):
        path = tmp_path / "s.sock"
        with pytest.raises(Invalid):
            serve(listen=False).frontend.listen([f"unix://{path}", "nonsense"])
        assert not path.exists()


class TestPassed:
    def test_a_socket_that_was_passed(self, serve, tmp_path):
        path = tmp_path / "passed.sock"
        passed = socket.socket(socket.AF_UNIX)
        passed.bind(str(path))
        passed.listen()
        served = serve(listen=False)
        number = passed.detach()
        assert served.frontend.listen([f"fd://{number}"]) == (f"fd://{number}",)
        served.path = str(path)
        assert served.call("GET", "/_ping").status == 200
        served.frontend.__exit__(None, None, None)
        assert path.exists()  # it is another's
        served.frontend.__enter__()
        served.path = str(tmp_path / "none")

    def test_all_that_systemd_passes(self, serve, monkeypatch, tmp_path):
        path = tmp_path / "passed.sock"
        passed = socket.socket(socket.AF_UNIX)
        passed.bind(str(path))
        passed.listen()
        number = passed.detach()
        monkeypatch.setattr(addresses, "_FIRST_PASSED", number)
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
        monkeypatch.setenv("LISTEN_FDS", "1")
        assert serve(listen=False).frontend.listen(["fd://"]) == (f"fd://{number}",)

    def test_one_that_does_not_listen(self, serve):
        with socket.socket(socket.AF_UNIX) as passed, pytest.raises(Invalid, match="is no listening socket"):
            serve(listen=False).frontend.listen([f"fd://{passed.fileno()}"])

    def test_tcp_that_was_passed_wants_tls(self, serve):
        with socket.create_server(("127.0.0.1", 0)) as passed, pytest.raises(Unsupported, match="without TLS"):
            serve(listen=False).frontend.listen([f"fd://{passed.fileno()}"])


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority, and certificates that it signed for a server and a client."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, cwd=folder, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority", "-days", "2")
    (folder / "extensions").write_text("subjectAltName=IP:127.0.0.1,IP:::1\n")
    for name in ("server", "client"):
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN=the {name}")
        openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out",
            f"{name}.pem", "-days", "2", "-extfile", "extensions",
        )  # fmt: skip
    return folder


def echoed(sock, data):
    """Send all while what comes back is received; one thread does both, since a TLS connection isn't two threads'."""
    sock.setblocking(False)
    rest, received = memoryview(data), bytearray()
    while len(received) < len(data):
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            more = sock.recv(65536)
            assert more, "it ended"
            received += more
            continue
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            rest = rest[sock.send(rest) :] if rest else rest
        assert any(select.select([sock], [sock] if rest else [], [], PATIENCE_S)), "neither more comes nor more goes"
    sock.settimeout(PATIENCE_S)
    return bytes(received)


class TestTls:
    @pytest.fixture
    def options(self, certificates):
        return {
            "tls_certificate": f"{certificates}/server.pem", "tls_key": f"{certificates}/server.key",
            "tls_authority": f"{certificates}/ca.pem",
        }  # fmt: skip

    @pytest.fixture
    def port(self, serve, options):
        self.served = serve(listen=False, **options)
        (address,) = self.served.frontend.listen(["tcp://127.0.0.1:0"])
        assert address.startswith("tcp://127.0.0.1:")
        return int(address.rpartition(":")[2])

    def client(self, certificates, port, own=True):
        context = ssl.create_default_context(cafile=f"{certificates}/ca.pem")
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as docker's own clients
        if own:
            context.load_cert_chain(f"{certificates}/client.pem", f"{certificates}/client.key")
        return context.wrap_socket(
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S), server_hostname="127.0.0.1"
        )

    def test_clients_with_a_certificate(self, certificates, port):
        with self.client(certificates, port) as sock:
            for _ in range(2):
                sock.sendall(head("GET", "/_ping"))
                assert answer(sock)[2] == b"OK"

    def refused(self, certificates, port, own=True):
        """Ask without being answered; return what is logged of it, with the client's address as its own."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):
                sock = stack.enter_context(self.client(certificates, port, own))
                sock.sendall(head("GET", "/_ping"))
                assert sock.recv(100) == b""
            return self.logged()

    def logged(self):
        deadline = time.monotonic() + PATIENCE_S
        while not (found := list(self.served.log.lines)) and time.monotonic() < deadline:
            time.sleep(0.01)
        [(level, message, fields)] = found
        assert (level, message) == ("warning", "TLS handshake failed")
        assert fields["client"].startswith("127.0.0.1:")
        return fields["error"]

    def test_clients_without_one(self, certificates, port):
        assert self.refused(certificates, port, own=False) == "peer did not return a certificate"

    def test_clients_with_one_of_another_authority(self, certificates, port, tmp_path):
        for name in ("client.pem", "client.key"):
            shutil.copy(certificates / name, tmp_path)
        shutil.copy(certificates / "ca.pem", tmp_path)
        subprocess.run(
            ["openssl", "req", "-x509", "-key", "client.key", "-out", "client.pem", "-subj", "/CN=me", "-days", "1"],
            check=True, cwd=tmp_path, capture_output=True,
        )  # fmt: skip
        assert self.refused(tmp_path, port) == "its certificate isn't taken: self-signed certificate"

    def test_who_has_just_gone_is_no_news(self, certificates, port):
        socket.create_connection(("127.0.0.1", port)).close()
        assert self.refused(certificates, port, own=False) == "peer did not return a certificate"

    def test_plain_clients(self, port):
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as sock:
            sock.sendall(head("GET", f"/{'x' * 50_000}"))
            assert until_closed(sock).endswith(b"\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
        assert self.logged() == "http request"

    def test_a_client_that_says_nothing_holds_up_nobody(self, certificates, port):
        with socket.create_connection(("127.0.0.1", port)), self.client(certificates, port) as sock:
            sock.sendall(head("GET", "/_ping"))
            assert answer(sock)[2] == b"OK"

    def test_strangers_keep_nobody_out(self, serve, options, certificates, tmp_path):
        """Of those who say nothing the last have room, and others their own."""
        served = serve(listen=False, connections=6, **options)
        address, _ = served.frontend.listen(["tcp://127.0.0.1:0", f"unix://{tmp_path}/s"])
        port = int(address.rpartition(":")[2])
        with contextlib.ExitStack() as silent:
            for _ in range(20):
                silent.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S))
            with self.client(certificates, port) as sock, socket.socket(socket.AF_UNIX) as near:
                near.settimeout(PATIENCE_S)
                near.connect(f"{tmp_path}/s")
                for each in (sock, near):
                    each.sendall(head("GET", "/_ping"))
                    assert answer(each)[2] == b"OK"

    @pytest.mark.parametrize("size", [5, 300_000])
    def test_streams_both_ways(self, certificates, port, size):
        containers = self.served.containers
        identity = containers.create(ContainerConfig("box", ("cat",), open_stdin=True, stdin_once=True)).id
        with self.client(certificates, port) as sock:
            sock.sendall(
                head("POST", f"/v1.40/containers/{identity}/attach?stream=1&stdin=1&stdout=1", "Content-Length: 0")
            )
            found = b""
            while b"\r\n\r\n" not in found:
                found += sock.recv(1)
            containers.start(identity)
            assert echoed(sock, b"x" * size).count(b"x") == size
            containers.kill(identity)
            while sock.recv(65536):
                pass

    def test_who_a_client_is_can_be_in_a_rule(self, serve, certificates, options):
        served = serve(listen=False, allow="none", rules=("allow GET /info subject=*client",), **options)
        (address,) = served.frontend.listen(["tcp://127.0.0.1:0"])
        with self.client(certificates, int(address.rpartition(":")[2])) as sock:
            sock.sendall(head("GET", "/info"))
            assert answer(sock)[0] == 200
            sock.sendall(head("GET", "/version"))
            assert answer(sock)[0] == 403

    def test_ipv6(self, serve, options):
        (address,) = serve(listen=False, **options).frontend.listen(["tcp://[::1]:0"])
        assert address.startswith("tcp://[::1]:")

    def test_never_without_tls(self, serve):
        with pytest.raises(Unsupported, match="without TLS would give this host"):
            serve(listen=False).frontend.listen(["tcp://127.0.0.1:0"])

    def test_files_that_are_not_there(self, serve, options):
        with pytest.raises(HostUnfit, match="option tls_key: no file /nonesuch"):
            serve(listen=False, **options | {"tls_key": "/nonesuch"}).frontend.listen(["tcp://127.0.0.1:0"])

    def test_files_that_do_not_go_together(self, serve, options, certificates):
        with pytest.raises(Invalid, match="don't go together"):
            serve(listen=False, **options | {"tls_key": f"{certificates}/client.key"}).frontend.listen(
                ["tcp://127.0.0.1:0"]
            )

    def test_a_port_that_is_taken(self, serve, options):
        with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Conflict):
            serve(listen=False, **options).frontend.listen([f"tcp://127.0.0.1:{taken.getsockname()[1]}"])

    @pytest.mark.parametrize("address", ["tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:x", "tcp://127.0.0.1:1/x"])
    def test_addresses_that_are_none(self, serve, options, address):
        with pytest.raises(Invalid, match="can't listen at"):
            serve(listen=False, **options).frontend.listen([address])

    def test_hosts_that_are_not_ours(self, serve, options):
        with pytest.raises(HostUnfit, match=r"can't listen at tcp://192\.0\.2\.1"):
            serve(listen=False, **options).frontend.listen(["tcp://192.0.2.1:0"])
