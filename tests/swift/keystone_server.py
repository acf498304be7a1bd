"""A real OpenStack Keystone (sqlite) beside the Swift of server.py, with an application credential as on Chameleon.

Runs under the Python that has Swift.

    keystone_server.py serve HOME PORT
"""

import json
import os
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import server

REGION, PROJECT = "CHI@TACC", "CHI-000000"

KEYSTONE = """\
[DEFAULT]
log_file = {folder}/keystone.log
[database]
connection = sqlite:///{folder}/keystone.db
[token]
provider = fernet
[fernet_tokens]
key_repository = {folder}/fernet
[fernet_receipts]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
[cache]
enabled = false
[identity]
password_hash_rounds = 4
"""

AUTHTOKEN = """
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
www_authenticate_uri = {url}/v3
auth_url = {url}
auth_type = password
project_domain_id = default
user_domain_id = default
project_name = service
username = swift
password = swift-password
delay_auth_decision = True
cache = swift.cache
include_service_catalog = False
[filter:keystoneauth]
use = egg:swift#keystoneauth
operator_roles = admin, member
"""

RCLONE = """\
[chi_tacc]
type = swift
auth = {url}/v3
application_credential_id = {id}
application_credential_secret = {secret}
region = {region}
"""


def add_to(home: Path) -> None:
    """Set Keystone up in `home`/keystone and let the Swift there authenticate by it."""
    (port,) = server.free_ports(1)
    url = f"http://127.0.0.1:{port}"
    server.setup(home, keystone=AUTHTOKEN.format(url=url))
    state = json.loads((home / "state.json").read_text())
    folder = home / "keystone"
    for name in ("fernet", "credential"):
        (folder / name).mkdir(parents=True, mode=0o700, exist_ok=True)
    (folder / "keystone.conf").write_text(KEYSTONE.format(folder=folder))

    def manage(*command: str) -> None:
        program = Path(sys.executable).with_name("keystone-manage")
        subprocess.run([program, "--config-file", folder / "keystone.conf", *command], check=True)

    ids = ("--keystone-user", str(os.getuid()), "--keystone-group", str(os.getgid()))
    manage("db_sync")
    manage("fernet_setup", *ids)
    manage("credential_setup", *ids)
    address = [f"--bootstrap-{kind}-url={url}/v3" for kind in ("public", "internal", "admin")]
    manage("bootstrap", "--bootstrap-password=admin-password", f"--bootstrap-region-id={REGION}", *address)

    keystone = make(folder, port)
    threading.Thread(target=keystone.serve_forever, daemon=True).start()
    credential = populate(url, f"http://127.0.0.1:{state['ports']['proxy']}")
    keystone.shutdown()
    (home / "rclone.conf").write_text(RCLONE.format(url=url, region=REGION, **credential))
    (home / "state.json").write_text(json.dumps(state | {"keystone_port": port}))


def populate(url: str, swift: str) -> dict[str, str]:
    """The object store in the catalogue, one project with one user, and that user's application credential."""

    def token(user: str, password: str, project: str) -> str:
        domain = {"id": "default"}
        identity = {
            "methods": ["password"],
            "password": {"user": {"name": user, "domain": domain, "password": password}},
        }
        scope = {"project": {"name": project, "domain": domain}}
        return call("POST", "/auth/tokens", {"auth": {"identity": identity, "scope": scope}})[0]

    def call(method: str, path: str, body: object = None, by: str = "") -> tuple[str, dict]:
        request = urllib.request.Request(
            f"{url}/v3{path}", method=method, data=json.dumps(body).encode() if body else None
        )
        request.add_header("Content-Type", "application/json")
        request.add_header("X-Auth-Token", by)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as response:
            return response.headers.get("X-Subject-Token", ""), json.loads(response.read() or b"{}")

    admin = token("admin", "admin-password", "admin")

    def make(path: str, kind: str, **values: str) -> str:
        return call("POST", path, {kind: values}, admin)[1][kind]["id"]

    def grant(project: str, user: str, role: str) -> None:
        roles = {known["name"]: known["id"] for known in call("GET", "/roles", by=admin)[1]["roles"]}
        call("PUT", f"/projects/{project}/users/{user}/roles/{roles[role]}", by=admin)

    storage = make("/services", "service", name="swift", type="object-store")
    address = f"{swift}/v1/AUTH_%(project_id)s"
    make("/endpoints", "endpoint", service_id=storage, interface="public", region_id=REGION, url=address)
    service = make("/projects", "project", name="service", domain_id="default")
    grant(service, make("/users", "user", name="swift", domain_id="default", password="swift-password"), "admin")
    project = make("/projects", "project", name=PROJECT, domain_id="default")
    user = make("/users", "user", name="student", domain_id="default", password="student-password")
    grant(project, user, "member")
    student = token("student", "student-password", PROJECT)
    wanted = {"application_credential": {"name": "rclone", "secret": "rclone-secret"}}
    made = call("POST", f"/users/{user}/application_credentials", wanted, student)[1]["application_credential"]
    return {"id": made["id"], "secret": "rclone-secret"}


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        """Keystone has a log of its own."""


def make(folder: Path, port: int) -> WSGIServer:
    os.environ["OS_KEYSTONE_CONFIG_FILES"] = str(folder / "keystone.conf")
    os.environ["OS_KEYSTONE_CONFIG_DIR"] = str(folder)
    arguments, sys.argv[1:] = sys.argv[1:], []  # Keystone parses them
    from keystone.wsgi.api import application

    sys.argv[1:] = arguments
    return make_server("127.0.0.1", port, application, _Server, _Silent)


def main() -> None:
    keystone = make(Path(sys.argv[2]) / "keystone", int(sys.argv[3]))
    parent = os.getppid()
    threading.Thread(target=keystone.serve_forever, daemon=True).start()
    while os.getppid() == parent:
        threading.Event().wait(0.5)


if __name__ == "__main__":
    main()
