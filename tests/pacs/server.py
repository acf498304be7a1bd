"""A real Orthanc with DICOMweb in a network namespace of its own, and the one door into it.

    server.py HOME

Orthanc 1.10 listens on every address, whatever it is told. So this process opens its door, a port of 127.0.0.1, moves
itself into a new network namespace, whose only interface is a loopback, and starts Orthanc there. A door that can be
shut is also the network that a test can cut. It prints the port, then answers each line on its standard input by one:

    start · kill    Orthanc (kill: SIGKILL; what it has stored stays in HOME)
    cut             end all connections, refuse new ones
    stall           let no byte through, end nothing
    open            let all through again

The end of its input ends Orthanc and itself; so a test process that is killed leaves nothing behind.
"""

import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

ORTHANC = "/usr/sbin/Orthanc"
PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
PORT = 8042  # in the namespace
CLONE_NEWNET, CLONE_NEWUSER = 0x40000000, 0x10000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1
PR_SET_PDEATHSIG, SIGKILL = 1, 9
START_SECONDS = 60

libc = ctypes.CDLL(None, use_errno=True)


def move_into_namespace() -> None:
    """Be in a network namespace of one's own, with a loopback that is up."""
    if libc.unshare(CLONE_NEWNET) and libc.unshare(CLONE_NEWUSER | CLONE_NEWNET):
        sys.exit(f"no network namespace for Orthanc: {os.strerror(ctypes.get_errno())}")
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", IFF_UP, b""))


class Door:
    """Passes what comes to a port of this machine on to Orthanc's port in the namespace."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listening.getsockname()[1]
        self._passing, self._lock = threading.Event(), threading.Lock()
        self._refusing = False
        self._open: set[socket.socket] = set()

    def open(self) -> None:
        self._refusing = False
        self._passing.set()

    def stall(self) -> None:
        self._passing.clear()

    def cut(self) -> None:
        with self._lock:
            self._refusing = True
            for one in self._open:
                with suppress(OSError):
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
                    one.shutdown(socket.SHUT_RDWR)
        self._passing.set()

    def serve(self) -> None:
        while True:
            client, _ = self._listening.accept()
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        self._passing.wait()
        with self._lock:
            try:
                server = None if self._refusing else socket.create_connection(("127.0.0.1", PORT), 10)
            except OSError:
                server = None
            if server is None:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
                return
            server.settimeout(None)
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open |= {client, server}
        back = threading.Thread(target=self._pass, args=(server, client), daemon=True)
        back.start()
        self._pass(client, server)
        back.join()
        with self._lock:
            self._open -= {client, server}
        client.close()
        server.close()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 18):
                self._passing.wait()
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class Orthanc:
    """One process, which can be killed and started again over the same storage."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        configuration = {
            "Name": "radloop tests",
            "StorageDirectory": str(home / "storage"),
            "IndexDirectory": str(home / "storage"),
            "HttpPort": PORT,
            "DicomServerEnabled": False,
            "AuthenticationEnabled": False,
            "SyncStorageArea": False,
            "Plugins": [PLUGIN],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }
        (home / "orthanc.json").write_text(json.dumps(configuration))

    def start(self) -> None:
        """Return once it answers."""
        with (self._home / "orthanc.log").open("ab") as log:
            self._process = subprocess.Popen(
                [ORTHANC, str(self._home / "orthanc.json")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
                preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, SIGKILL),
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                sys.exit("Orthanc does not start: " + (self._home / "orthanc.log").read_text()[-2000:])
            time.sleep(0.02)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    @staticmethod
    def _answers() -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{PORT}/", timeout=5):
                return True
        except urllib.error.HTTPError:
            return True  # it asks who is there
        except OSError:
            return False


def main(home: Path) -> None:
    """Start, print the port, obey."""
    door = Door()
    move_into_namespace()
    orthanc = Orthanc(home)
    orthanc.start()
    door.open()
    threading.Thread(target=door.serve, daemon=True).start()
    print(door.port, flush=True)
    acts = {
        "start": orthanc.start,
        "kill": orthanc.kill,
        "cut": door.cut,
        "stall": door.stall,
        "open": door.open,
    }
    for line in sys.stdin:
        acts[line.strip()]()
        print("done", flush=True)
    orthanc.kill()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
