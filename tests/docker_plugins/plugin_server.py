"""A plugin of docker's for tests, by the protocol alone: plugin_server.py SOCKET FOLDER.

It keeps volumes as folders below FOLDER/volumes, logs in files below FOLDER/logs, makes a bridge for
each network, whose ports it forwards itself; FOLDER/calls gets a line for each call.
"""

import base64
import contextlib
import ipaddress
import json
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

IMPLEMENTS = ["VolumeDriver", "LogDriver", "NetworkDriver", "IpamDriver", "authz"]


class Refused(Exception):
    pass


class Volumes:
    def __init__(self, folder):
        self.folder = folder / "volumes"

    def _of(self, name):
        found = self.folder / name
        if not found.is_dir():
            raise Refused(f"no volume {name} here")
        return found

    def Capabilities(self, given):
        return {"Capabilities": {"Scope": "global"}}

    def Create(self, given):
        for each in given.get("Opts") or {}:
            if each != "kept":
                raise Refused(f"unknown option {each}")
        (self.folder / given["Name"]).mkdir(parents=True, exist_ok=True)
        return {}

    def Remove(self, given):
        shutil.rmtree(self._of(given["Name"]))
        return {}

    def Mount(self, given):
        assert given["ID"]
        return {"Mountpoint": str(self._of(given["Name"]))}

    def Unmount(self, given):
        self._of(given["Name"])
        return {}

    def Path(self, given):
        return {"Mountpoint": str(self._of(given["Name"]))}

    def Get(self, given):
        return {"Volume": {"Name": given["Name"], "Mountpoint": str(self._of(given["Name"])), "Status": {}}}

    def List(self, given):
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        return {"Volumes": [{"Name": each.name, "Mountpoint": str(each)} for each in found]}


def whole_records(data):
    """Yield records, each with its length before it, up to one that has no end yet."""
    at = 0
    while at + 4 <= len(data) and (end := at + 4 + int.from_bytes(data[at : at + 4], "big")) <= len(data):
        yield data[at:end]
        at = end


class Logs:
    """Keeps a log as it came: lengths and records, but none that its writer was killed in."""

    def __init__(self, folder):
        self.folder = folder / "logs"
        self.reading = {}

    def Capabilities(self, given):
        return {"Cap": {"ReadLogs": True}}

    def StartLogging(self, given):
        if "refuse" in (given["Info"].get("Config") or {}):
            raise Refused("refused, as it was asked for")
        self.folder.mkdir(exist_ok=True)
        file, identity = given["File"], given["Info"]["ContainerID"]
        # Read and write, so that a writer who comes anew finds it open; the end is told by StopLogging.
        pipe = os.open(file, os.O_RDWR)
        ends = os.pipe()
        thread = threading.Thread(target=self._read, args=(pipe, ends[0], self.folder / identity))
        self.reading[file] = (thread, ends[1])
        thread.start()
        return {}

    def _read(self, pipe, told, path):
        import select

        held = b""
        with path.open("ab", buffering=0) as out:
            while True:
                ready, _, _ = select.select([pipe, told], [], [])
                if pipe in ready:
                    held += os.read(pipe, 65536)
                    whole = b"".join(whole_records(held))
                    out.write(whole)
                    held = held[len(whole) :]
                elif told in ready:
                    break
        os.close(pipe)
        os.close(told)

    def StopLogging(self, given):
        thread, tell = self.reading.pop(given["File"])
        os.close(tell)
        thread.join()
        return {}

    def stream(self, given):
        """Records from the last so many on; what is written later too, where it follows."""
        path = self.folder / given["Info"]["ContainerID"]
        data = path.read_bytes() if path.exists() else b""
        found = list(whole_records(data))
        tail = given["Config"].get("Tail", -1)
        if tail != 0:
            yield from found if tail is None or tail < 0 else found[-tail:]
        at = len(data)
        while given["Config"].get("Follow"):
            more = path.read_bytes()[at:] if path.exists() else b""
            at += len(more)
            yield more
            time.sleep(0.01)


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(done.stderr.strip())
    return done.stdout


def there(name):
    return Path("/proc/self/task", str(threading.get_native_id()), "net/dev").read_text().find(f"{name}:") >= 0


class Networks:
    """A bridge for each network, a pair of veths for each endpoint."""

    def __init__(self, forwards=True):
        self.forwards = forwards
        self.networks = {}
        self.endpoints = {}
        self.forwarders = {}

    def GetCapabilities(self, given):
        return {"Scope": "local", "ConnectivityScope": "local"}

    def CreateNetwork(self, given):
        for each in given["Options"].get("com.docker.network.generic") or {}:
            if each != "kept":
                raise Refused(f"unknown option {each}")
        bridge = "pb" + given["NetworkID"][:8]
        if there(bridge):
            raise Refused(f"{bridge} exists already")
        ip("link", "add", bridge, "type", "bridge")
        closed = given["Options"].get("com.docker.network.internal")
        gateways = [each["Gateway"] for each in (*given["IPv4Data"], *given["IPv6Data"]) if each.get("Gateway")]
        for each in [] if closed else gateways:
            ip("address", "add", each, "dev", bridge, *(["nodad"] if ":" in each else []))
        ip("link", "set", bridge, "up")
        self.networks[given["NetworkID"]] = [] if closed else gateways
        for (network, endpoint), _ in self.endpoints.items():
            if network == given["NetworkID"] and there("pv" + endpoint[:8]):
                ip("link", "set", "pv" + endpoint[:8], "master", bridge)
        return {}

    def DeleteNetwork(self, given):
        del self.networks[given["NetworkID"]]
        if there("pb" + given["NetworkID"][:8]):
            ip("link", "delete", "pb" + given["NetworkID"][:8])
        return {}

    def CreateEndpoint(self, given):
        key = given["NetworkID"], given["EndpointID"]
        if key in self.endpoints:
            raise Refused("this endpoint exists already")
        self.endpoints[key] = given["Interface"]
        return {"Interface": {}}

    def EndpointOperInfo(self, given):
        return {"Value": {}}

    def Join(self, given):
        bridge, own = "pb" + given["NetworkID"][:8], given["EndpointID"][:8]
        ip("link", "add", f"pv{own}", "type", "veth", "peer", "name", f"pc{own}")
        ip("link", "set", f"pv{own}", "master", bridge, "up")
        found = [each.partition("/")[0] for each in self.networks[given["NetworkID"]]]
        ways = {"GatewayIPv6" if ":" in each else "Gateway": each for each in found}
        return {"InterfaceName": {"SrcName": f"pc{own}", "DstPrefix": "eth"}, **ways}

    def Leave(self, given):
        return {}

    def DeleteEndpoint(self, given):
        del self.endpoints[given["NetworkID"], given["EndpointID"]]
        if there("pv" + given["EndpointID"][:8]):
            ip("link", "delete", "pv" + given["EndpointID"][:8])
        return {}

    def ProgramExternalConnectivity(self, given):
        own = self.endpoints[given["NetworkID"], given["EndpointID"]]
        if not self.forwards:  # an engine holds the ports by sockets; a firewall's rules would do without
            return {}
        made = self.forwarders.setdefault(given["EndpointID"], [])
        for each in given["Options"]["com.docker.network.portmap"]:
            for host in [each["HostIP"]] if each["HostIP"] else ["0.0.0.0", "::"]:
                family = socket.AF_INET6 if ":" in host else socket.AF_INET
                server = socket.create_server((host, each["HostPort"]), family=family)
                address = own["AddressIPv6" if ":" in host else "Address"].partition("/")[0]
                made.append(server)
                threading.Thread(target=forward, args=(server, (address, each["Port"])), daemon=True).start()
        return {}

    def RevokeExternalConnectivity(self, given):
        for each in self.forwarders.pop(given["EndpointID"], ()):
            each.shutdown(socket.SHUT_RDWR)
            each.close()
        return {}


class Addresses:
    """Hands out addresses of pools in order, round and round."""

    def __init__(self):
        self.pools = {}

    def GetCapabilities(self, given):
        return {"RequiresMACAddress": False}

    def GetDefaultAddressSpaces(self, given):
        return {"LocalDefaultAddressSpace": "here", "GlobalDefaultAddressSpace": "everywhere"}

    def RequestPool(self, given):
        assert given["AddressSpace"] in ("here", "everywhere")
        if (given["Options"] or {}).get("refuse"):
            raise Refused(f"no {given['Options']['refuse']} today")
        taken = [each["subnet"] for each in self.pools.values()]
        if given["Pool"]:
            subnet = ipaddress.ip_network(given["Pool"])
            if any(subnet.version == each.version and subnet.overlaps(each) for each in taken):
                raise Refused("Pool overlaps with other one on this address space")
        else:
            form = "fd0a:{}::/64" if given["V6"] else "172.20.{}.0/24"
            free = (ipaddress.ip_network(form.format(number)) for number in range(256))
            subnet = next(each for each in free if each not in taken)
        part = ipaddress.ip_network(given["SubPool"] or str(subnet))
        self.pools[f"pool {subnet}"] = {"subnet": subnet, "part": part, "taken": set(), "turn": -1}
        return {"PoolID": f"pool {subnet}", "Pool": str(subnet), "Data": {}}

    def ReleasePool(self, given):
        del self.pools[given["PoolID"]]
        return {}

    def RequestAddress(self, given):
        pool = self.pools[given["PoolID"]]
        subnet, part = pool["subnet"], pool["part"]
        kept = {subnet[0], subnet[-1]} if subnet.version == 4 else {subnet[0]}
        if given["Address"]:
            found = ipaddress.ip_address(given["Address"])
            if found in pool["taken"] | kept:
                raise Refused("Address already in use")
        else:
            size = min(part.num_addresses, 1000)
            turns = [(pool["turn"] + 1 + number) % size for number in range(size)]
            free = [each for each in turns if part[each] not in pool["taken"] | kept]
            if not free:
                raise Refused("No available addresses on this pool")
            found = part[free[0]]
            if (given["Options"] or {}).get("RequestAddressType") != "com.docker.network.gateway":
                pool["turn"] = free[0]
        pool["taken"].add(found)
        return {"Address": f"{found}/{subnet.prefixlen}", "Data": {}}

    def ReleaseAddress(self, given):
        self.pools[given["PoolID"]]["taken"].remove(ipaddress.ip_address(given["Address"]))
        return {}


class Guard:
    """Allows neither privileged containers nor to look at volumes."""

    def AuthZReq(self, given):
        body = json.loads(base64.b64decode(given.get("RequestBody", "")) or b"{}")
        if (body.get("HostConfig") or {}).get("Privileged"):
            return {"Allow": False, "Msg": "no privileges here"}
        return {"Allow": True}

    def AuthZRes(self, given):
        if given["RequestUri"].endswith("/volumes"):
            return {"Allow": False, "Msg": "none of your business"}
        return {"Allow": True}


def forward(server, to):
    with contextlib.suppress(OSError):
        while True:
            asked, _ = server.accept()
            threading.Thread(target=relay, args=(asked, to), daemon=True).start()


def relay(asked, to):
    with asked, contextlib.suppress(OSError), socket.create_connection(to) as other:
        back = threading.Thread(target=pump, args=(other, asked), daemon=True)
        back.start()
        pump(asked, other)
        back.join()


def pump(one, two):
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            two.sendall(data)
    with contextlib.suppress(OSError):
        two.shutdown(socket.SHUT_WR)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def address_string(self):
        return "unix"

    def do_POST(self):
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}"
        given = json.loads(data)
        with self.server.lock, self.server.calls.open("a") as out:
            out.write(json.dumps([self.path.strip("/"), given]) + "\n")
        kind, _, method = self.path.strip("/").partition(".")
        if self.path == "/LogDriver.ReadLogs":
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            with contextlib.suppress(OSError):
                for each in self.server.parts["LogDriver"].stream(given):
                    self.connection.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        if not self.connection.recv(1):
                            break
                    self.connection.setblocking(True)
                    self.wfile.write(each)
            self.close_connection = True
            return
        found = None if kind == "Plugin" else getattr(self.server.parts.get(kind), method, None)
        if self.path == "/Plugin.Activate":
            status, answer = 200, {"Implements": self.server.implements}
        elif found is None:
            status, answer = 404, {"Err": "no such method"}
        else:
            try:
                status, answer = 200, found(given) | {"Err": ""}
            except Refused as error:
                status, answer = 500, {"Err": str(error)}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def __init__(self, path, folder, implements=IMPLEMENTS, forwards=True):
        self.calls = folder / "calls"
        self.lock = threading.Lock()
        self.implements = implements
        self.parts = {
            "VolumeDriver": Volumes(folder),
            "LogDriver": Logs(folder),
            "NetworkDriver": Networks(forwards),
            "AuthZPlugin": Guard(),
            "IpamDriver": Addresses(),
        }
        super().__init__(str(path), Handler)


def main(path, folder):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(folder).mkdir(parents=True, exist_ok=True)
    Server(Path(path), Path(folder), forwards=False).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
