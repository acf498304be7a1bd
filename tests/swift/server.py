"""A real OpenStack Swift on the loopback address, for tests and for trying things.

Runs under the Python that has Swift (`install.sh`), not under radloop's own. One replica on one device, which is an
ordinary folder on a file system with user attributes (ext4, xfs, tmpfs); no root, no memcached, nothing in /etc.

    server.py setup DIR [--bind ADDRESS] [--port PORT]   configuration, rings and DIR/rclone.conf; once
    server.py serve DIR ROLE...                          run these roles (account container object proxy) here
    server.py settle DIR                                 one pass of the updaters that settle what a fault left
"""

import argparse
import base64
import hashlib
import json
import os
import re
import secrets
import signal
import socket
import sys
import time
from pathlib import Path

ROLES = ("account", "container", "object", "proxy")
USER = "chi:tester"

SWIFT_CONF = """\
[swift-hash]
swift_hash_path_prefix = radloop
swift_hash_path_suffix = radloop
[storage-policy:0]
name = one
default = yes
"""

COMMON = """\
[DEFAULT]
swift_dir = {etc}
bind_ip = {bind}
bind_port = {port}
bind_timeout = 5
workers = 0
log_level = WARNING
access_log_level = INFO
log_custom_handlers = server.log_to_file
log_file = {log}/{role}.log
"""

# `cache` stands in for memcached; without any, every request would ask for account and container anew.
# A node is never shunned: there is only one, and tests kill it.
PROXY = """\
[pipeline:main]
pipeline = faults catch_errors gatekeeper healthcheck proxy-logging cache listing_formats {auth} copy \
container-quotas slo dlo proxy-logging proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
error_suppression_limit = 1000000
error_suppression_interval = 0.1
conn_timeout = 0.5
node_timeout = 10
[filter:faults]
paste.filter_factory = server:faults
rules = {home}/faults.json
[filter:cache]
paste.filter_factory = server:memory_cache
[filter:tempauth]
use = egg:swift#tempauth
user_{user_section} = {key} .admin
fernet_key_one = {fernet}
active_fernet_key_id = one
token_life = 86400
[filter:container-quotas]
use = egg:swift#container_quotas
""" + "".join(
    f"[filter:{name}]\nuse = egg:swift#{name.replace('-', '_')}\n"
    for name in ("catch_errors", "gatekeeper", "healthcheck", "proxy-logging", "listing_formats", "copy", "slo", "dlo")
)

BACKEND = """\
devices = {home}/node
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
recon_cache_path = {home}/recon
[pipeline:main]
pipeline = {role}-server
[app:{role}-server]
use = egg:swift#{role}
[{role}-updater]
"""

RCLONE = """\
[chi_tacc]
type = swift
auth = http://{bind}:{port}/auth/v1.0
user = {user}
key = {key}
"""


def setup(home: Path, *, bind: str = "127.0.0.1", port: int | None = None, keystone: str | None = None) -> None:
    """Write everything that `serve` reads. `keystone` is the extra proxy configuration where Keystone authenticates."""
    from swift.common.ring import RingBuilder

    etc, log = home / "etc", home / "log"
    for folder in (etc, log, home / "node" / "d1", home / "recon"):
        folder.mkdir(parents=True, exist_ok=True)
    ports = dict(zip(ROLES, free_ports(len(ROLES)), strict=True))
    ports["proxy"] = port or ports["proxy"]
    key = secrets.token_hex(8)
    fernet = base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()).decode()
    values = {"home": home, "etc": etc, "log": log, "bind": bind, "key": key, "fernet": fernet, "user": USER}

    (etc / "swift.conf").write_text(SWIFT_CONF)
    auth = "authtoken keystoneauth" if keystone else "tempauth"
    proxy = (COMMON + PROXY).format(
        **values, role="proxy", port=ports["proxy"], auth=auth, user_section=USER.replace(":", "_")
    )
    (etc / "proxy-server.conf").write_text(proxy + (keystone or ""))
    for role in ROLES[:3]:
        (etc / f"{role}-server.conf").write_text((COMMON + BACKEND).format(**values, role=role, port=ports[role]))
        ring = RingBuilder(4, 1, 1)
        device = {"region": 1, "zone": 1, "ip": bind, "port": ports[role], "device": "d1", "weight": 1}
        ring.add_dev(device | {"replication_ip": bind, "replication_port": ports[role]})
        ring.rebalance(seed=1)
        ring.get_ring().save(str(etc / f"{role}.ring.gz"))
    (home / "rclone.conf").write_text(RCLONE.format(**values, port=ports["proxy"]))
    (home / "state.json").write_text(json.dumps({"ports": ports, "user": USER, "key": key}))


def free_ports(number: int) -> list[int]:
    """Ports below those that the kernel hands out, so that no outgoing connection takes one."""
    held: list[socket.socket] = []
    while len(held) < number:
        candidate = socket.socket()
        try:
            candidate.bind(("127.0.0.1", 20000 + secrets.randbelow(12000)))
        except OSError:
            candidate.close()
        else:
            held.append(candidate)
    ports = [sock.getsockname()[1] for sock in held]
    for sock in held:
        sock.close()
    return ports


def serve(home: Path, roles: list[str]) -> None:
    """Run until SIGTERM, or until the process that started this one has ended."""
    from swift.common import utils

    utils.monkey_patch()
    import eventlet
    import eventlet.wsgi

    utils.set_swift_dir(str(home / "etc"))
    from swift.common import wsgi
    from swift.obj import diskfile

    diskfile.fsync = diskfile.fsync_dir = lambda *_: None  # tests kill processes, not the machine's power
    os.fsync = os.fdatasync = lambda _: None
    os.environ["TZ"] = "UTC+0"
    time.tzset()
    eventlet.hubs.use_hub(utils.get_hub())
    servers = []
    for role in roles:
        path = str(home / "etc" / f"{role}-server.conf")
        conf, _, _ = wsgi._initrp(path, f"{role}-server")
        listener = wsgi.get_socket(conf)
        app = wsgi.loadapp(path, global_conf={"log_name": f"{role}-server"})
        servers.append(
            eventlet.spawn(
                eventlet.wsgi.server,
                listener,
                app,
                utils.NullLogger(),
                custom_pool=wsgi.RestrictedGreenPool(size=256),
                protocol=wsgi.SwiftHttpProtocol,
                capitalize_response_headers=False,
            )
        )
    if "proxy" in roles:
        log_requests(home / "log" / "access.log")
    utils.FALLOCATE_RESERVE = 0
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    parent = os.getppid()
    while os.getppid() == parent and not any(server.dead for server in servers):
        eventlet.sleep(0.5)
    os._exit(1)


def log_requests(path: Path) -> None:
    """One line per request; Swift fixes the logger's name."""
    import logging

    access = logging.getLogger("proxy-access")
    access.handlers[:] = [logging.FileHandler(path)]


def settle(home: Path) -> None:
    """What the updaters do every few minutes: listings and totals that a dead server missed."""
    from swift.common import utils

    utils.monkey_patch()
    utils.set_swift_dir(str(home / "etc"))
    from swift.container.updater import ContainerUpdater
    from swift.obj.updater import ObjectUpdater

    for updater, role in ((ObjectUpdater, "object"), (ContainerUpdater, "container")):
        updater(utils.readconf(str(home / "etc" / f"{role}-server.conf"), f"{role}-updater")).run_once()


# Named in the configuration files and called by Swift.


def log_to_file(conf, name, to_console, route, form, logger, adapted):
    """A plain file instead of syslog."""
    import logging

    logger.handlers[:] = [logging.FileHandler(conf["log_file"])]


class MemoryCache:
    """What the proxy uses of a memcache ring, in the memory of its one process."""

    def __init__(self):
        self.kept = {}

    def get(self, key, raise_on_error=False):
        value, end = self.kept.get(key, (None, 0))
        if end and end < time.time():
            del self.kept[key]
            return None
        return None if value is None else json.loads(value)

    def set(self, key, value, serialize=True, time=0, min_compress_len=0, raise_on_error=False):
        from time import time as now

        if isinstance(value, bytes):  # keystonemiddleware sends them
            value = value.decode()
        self.kept[key] = (json.dumps(value), now() + time if time else 0)

    def delete(self, key, server_key=None):
        self.kept.pop(key, None)

    def incr(self, key, delta=1, time=0):
        value = max(0, int(self.get(key) or 0) + int(delta))
        self.set(key, value, time=time)
        return value


def memory_cache(global_conf, **conf):
    cache = MemoryCache()

    def wrap(app):
        def answer(env, start_response):
            env["swift.cache"] = cache
            return app(env, start_response)

        return answer

    return wrap


def faults(global_conf, **conf):
    """Faults on request. The file `rules` lists {"method" ("PUT|COPY": either), "path" (a pattern), "skip", "times"}
    and what to do then: {"status": 503} answers so, {"kill": PID} kills that process before the request is served."""
    path = Path(conf["rules"])
    state = {"seen": 0, "rules": []}

    def rules():
        try:
            changed = path.stat().st_mtime_ns
        except FileNotFoundError:
            return []
        if state["seen"] != changed:
            state.update(seen=changed, rules=json.loads(path.read_text()))
        return state["rules"]

    def wrap(app):
        def answer(env, start_response):
            for rule in rules():
                if env["REQUEST_METHOD"] not in rule.get("method", env["REQUEST_METHOD"]).split("|"):
                    continue
                if not re.search(rule.get("path", ""), env["PATH_INFO"]):
                    continue
                if rule.get("skip", 0) > 0:
                    rule["skip"] -= 1
                elif rule.get("times", 1) > 0:
                    rule["times"] = rule.get("times", 1) - 1
                    if "kill" in rule:
                        os.kill(rule["kill"], signal.SIGKILL)
                    if "status" in rule:
                        start_response(f"{rule['status']} Injected", [("Content-Length", "0")])
                        return [b""]
            return app(env, start_response)

        return answer

    return wrap


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("setup", "serve", "settle"))
    parser.add_argument("home", type=Path)
    parser.add_argument("roles", nargs="*", choices=(*ROLES, []))
    parser.add_argument("--bind", default="127.0.0.1")
    parser.add_argument("--port", type=int)
    parser.add_argument("--auth", choices=("tempauth", "keystone"), default="tempauth")
    given = parser.parse_args()
    home = given.home.absolute()
    sys.modules["server"] = sys.modules["__main__"]  # the name in the configuration files
    if given.command == "setup":
        setup(home, bind=given.bind, port=given.port)
        if given.auth == "keystone":
            import keystone_server

            keystone_server.add_to(home)
    elif given.command == "serve":
        serve(home, given.roles or list(ROLES))
    else:
        settle(home)


if __name__ == "__main__":
    main()
