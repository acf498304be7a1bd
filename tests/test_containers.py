"""The container files: what can be said of them anywhere, and real runs where an engine answers.

docker-compose 1.29 and hadolint come from `tests/containers/install.sh`; the runs need `docker` and an engine on this
machine, and take the compose that they find. They use volumes and ports of their own, and images named radloop-*.
"""

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import tarfile
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from radloop import options, settings

ROOT = Path(__file__).parent.parent
DOCKER = ROOT / "deployment" / "docker"
ETL = "deployment/docker/docker-compose-etl.yaml"
PRODUCTION = "deployment/docker/docker-compose-production.yaml"
SIMULATION = "data-pipeline/data-simulation/docker-compose-data-simulation.yaml"
DASHBOARD = "data-pipeline/streamlit-dashboard/docker-compose-data-dashboard.yaml"
SWIFT = "deployment/docker/docker-compose-swift.yaml"
PACS = "deployment/docker/docker-compose-pacs.yaml"
FOUR = (ETL, SIMULATION, PRODUCTION, DASHBOARD)
FILES = (*FOUR, SWIFT, PACS)
DOCKERFILES = (
    "deployment/docker/Dockerfile",
    "deployment/docker/swift.Dockerfile",
    "deployment/docker/pacs.Dockerfile",
    "data-pipeline/streamlit-dashboard/Dockerfile",
)
TOOLS = Path(os.environ.get("CONTAINERS_VENV", ROOT / ".venv-containers")) / "bin"
OLD_COMPOSE = TOOLS / "docker-compose"

# Where a container finds its own things; nobody sets these in settings.env.
WIRED = {"RADLOOP_OUT", "RADLOOP_FEEDBACK", "RADLOOP_REVIEWS", "RADLOOP_LOG", "RADLOOP_PUBLISHED"}
# What only compose reads, or only prepare.py and the review step.
OF_COMPOSE = {
    *("COMPOSE_PROJECT_NAME", "COMPOSE_IGNORE_ORPHANS", "COMPOSE_API_VERSION"),
    *("RADLOOP_VOLUME", "RADLOOP_INPUT", "RADLOOP_UID", "RADLOOP_MEMORY", "RADLOOP_HOST", "RADLOOP_PORT"),
    *("RADLOOP_CPUS", "RADLOOP_RCLONE_PASSWORD_FILE"),
    *("RADLOOP_PACS", "RADLOOP_PACS_AUTH", "RADLOOP_PACS_PORT"),
}


def tool(name: str) -> Path:
    if not (TOOLS / name).exists():
        how = f"{name} is missing: run tests/containers/install.sh"
        pytest.fail(how) if os.environ.get("CI") == "true" else pytest.skip(how)
    return TOOLS / name


def services(file: str) -> dict[str, dict[str, Any]]:
    return yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))["services"]


def volumes(file: str) -> dict[str, dict[str, Any]]:
    return yaml.safe_load((ROOT / file).read_text(encoding="utf-8")).get("volumes", {})


def settings_file() -> dict[str, bool]:
    """Every setting that settings.env names, and whether its line is in force."""
    text = (DOCKER / "settings.env").read_text(encoding="utf-8")
    lines = re.findall(r"^(#?)([A-Z][A-Z0-9_]+)=", text, re.MULTILINE)
    return {name: ("", name) in lines for _, name in lines}


ALL_SERVICES = [pytest.param(file, name, id=name) for file in FILES for name in services(file)]


# ---- anywhere --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", FILES)
def test_old_compose_accepts_the_file(file):
    subprocess.run([tool("docker-compose"), "-f", file, "config", "-q"], cwd=ROOT, check=True)


@pytest.mark.parametrize("file", FILES)
def test_new_compose_accepts_the_file(file):
    subprocess.run([*new_compose(), "-f", file, "config", "-q"], cwd=ROOT, check=True)


@pytest.mark.parametrize("file", DOCKERFILES)
def test_hadolint_has_nothing_to_say(file):
    said = subprocess.run([tool("hadolint"), file], cwd=ROOT, capture_output=True, text=True)
    assert (said.returncode, said.stdout) == (0, "")


@pytest.mark.parametrize("file", FILES)
def test_file_has_no_key_that_one_compose_refuses(file):
    keys = set(yaml.safe_load((ROOT / file).read_text(encoding="utf-8")))
    assert keys <= {"x-service", "services", "volumes", "secrets"}


@pytest.mark.parametrize(("file", "name"), ALL_SERVICES)
def test_service_may_do_no_more_than_it_has_to(file, name):
    service = services(file)[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert service["stop_grace_period"] == "10s"
    assert {"mem_limit", "tmpfs", "cpus"} <= service.keys()
    assert service["pids_limit"] <= 4096
    assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
    assert not {"privileged", "pid", "ipc", "devices"} & service.keys()
    if name.startswith("prepare-"):
        assert service["user"] == "0:0"
        assert service["network_mode"] == "none"
        assert set(service["cap_add"]) == {"CHOWN", "DAC_OVERRIDE", "SETUID", "SETGID"}
    else:
        assert service["user"] == "${RADLOOP_UID:-10001}:${RADLOOP_UID:-10001}"
        assert "cap_add" not in service


@pytest.mark.parametrize(("file", "name"), ALL_SERVICES)
def test_service_knows_where_its_secrets_come_from(file, name):
    """Compose makes a container anew where its environment changes, not where a secret comes from another file."""
    sources = {
        "kaggle": "RADLOOP_KAGGLE_DIR",
        "rclone": "RADLOOP_RCLONE_DIR",
        "rclone-password": "RADLOOP_RCLONE_PASSWORD_FILE",
    }
    service = services(file)[name]
    needed = {sources[secret] for secret in service.get("secrets", []) if secret in sources}
    assert needed <= service.get("environment", {}).keys()


@pytest.mark.parametrize("file", FILES)
def test_steps_follow_each_other_and_each_image_is_built_by_the_first_that_runs_it(file):
    steps = {name: service for name, service in services(file).items() if "profiles" not in service}
    first, *others = steps.items()
    assert first[0].startswith("prepare-")
    assert first[1]["build"]["context"] == "../.."
    before, images = first[0], {first[1]["image"]}
    for name, service in others:
        assert ("build" in service) == (service["image"] not in images)
        assert service["depends_on"] == {before: {"condition": "service_completed_successfully"}}
        before = before if "restart" in service else name  # what goes on for ever is not waited for
        images.add(service["image"])


def test_all_files_are_one_project_so_no_two_services_share_a_name():
    names = [name for file in FILES for name in services(file)]
    assert len(names) == len(set(names))


def test_volume_belongs_to_one_file():
    owners: dict[str, list[str]] = {}
    for file in FILES:
        for volume in volumes(file).values():
            owners.setdefault(volume["name"], []).extend([] if volume.get("external") else [file])
    assert {name: len(files) for name, files in owners.items()} == dict.fromkeys(owners, 1)
    assert all("${COMPOSE_PROJECT_NAME:-radloop}_" in name for name in owners)


@pytest.mark.parametrize(("file", "name"), ALL_SERVICES)
def test_start_installs_nothing(file, name):
    assert not re.search(r"\b(pip|apt|apt-get|curl|wget)\b", str(services(file)[name].get("command", "")))


def test_every_setting_stands_in_the_settings_file_under_a_comment():
    of_clusters = {"RADLOOP_ENGINE", "RADLOOP_RAY_ADDRESS"}  # the containers are one machine, without Ray
    of_signers = {"RADLOOP_KEY_PASSPHRASE"}  # who signs is no container, and the file is committed
    known = WIRED | of_clusters | of_signers | settings_file().keys()
    told = {setting.variables for step in options.STEPS for setting in settings.of(step) if setting.variables}
    assert [names for names in told if not known & set(names)] == []
    for block in (DOCKER / "settings.env").read_text(encoding="utf-8").strip().split("\n\n"):
        assert block.startswith("# "), block


def test_defaults_need_no_account():
    in_force = {name for name, stands in settings_file().items() if stands}
    assert in_force == {"COMPOSE_PROJECT_NAME", "COMPOSE_IGNORE_ORPHANS", "RADLOOP_SOURCE", "RADLOOP_STORE"}
    assert not [
        name
        for name in settings_file()
        if re.search("KEY|SECRET|PASS|TOKEN", name) and name != "RADLOOP_TOKEN" and not name.endswith("_FILE")
    ]


def test_variable_of_the_shell_wins_over_the_settings_file():
    passed = {name for file in FOUR for service in services(file).values() for name in service["environment"]}
    assert settings_file().keys() - OF_COMPOSE - passed == set()


@pytest.mark.parametrize("file", FOUR)
def test_settings_file_is_the_dot_env_of_every_folder(file, prepare):
    copy = (ROOT / file).with_name(".env")
    assert not copy.is_symlink()  # a clone without links would have a path in it
    assert prepare.assignments(copy) == prepare.assignments(DOCKER / "settings.env") != {}
    for service in services(file).values():
        assert (ROOT / file).parent.joinpath(service["env_file"]).resolve() == DOCKER / "settings.env"


def test_clone_without_links_has_all_that_compose_reads(tmp_path):
    modes = subprocess.run(["git", "ls-files", "-s"], cwd=ROOT, capture_output=True, text=True).stdout
    assert [line for line in modes.splitlines() if line.startswith("120000")] == []


@pytest.mark.parametrize("file", DOCKERFILES)
def test_image_is_labelled_with_version_and_revision(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"ARG VERSION={version}\n" in text
    assert 'org.opencontainers.image.version="$VERSION"' in text
    assert 'org.opencontainers.image.revision="$REVISION"' in text


def test_dashboard_has_no_way_to_kaggle():
    text = (ROOT / "data-pipeline/streamlit-dashboard/requirements.txt").read_text(encoding="utf-8")
    assert re.findall(r"^(kaggle\w*|faiss\S*)==", text, re.MULTILINE) == []


def test_dashboard_installs_what_the_tests_saw():
    def pins(path: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9-]+==\S+)", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE))

    seen = pins("requirements/dev.txt")
    assert pins("data-pipeline/streamlit-dashboard/requirements.txt") <= seen
    assert pins("requirements/pipeline.txt") <= seen


# ---- the first step --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prepare() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prepare", DOCKER / "prepare.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def given(monkeypatch) -> list[tuple[str, int]]:
    """What was given away, and to whom."""
    calls: list[tuple[str, int]] = []
    monkeypatch.setattr(os, "chown", lambda path, uid, gid, **_: calls.append((Path(path).name, uid)))
    return calls


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"RADLOOP_SOURCE": "synthetic:600"}, "RADLOOP_SOURCE=synthetic:600 (synthetic patients)"),
        ({"RADLOOP_SOURCE": "kaggle"}, "RADLOOP_SOURCE=kaggle (VinBigData, by your Kaggle credentials)"),
        ({"RADLOOP_SOURCE": "/input"}, "RADLOOP_SOURCE=/input (a folder in the container)"),
        ({"RADLOOP_STORE": "/store"}, "RADLOOP_STORE=/store (a volume on this machine)"),
        ({"RADLOOP_STORE": "chi_tacc:x"}, "RADLOOP_STORE=chi_tacc:x (a remote of your rclone.conf)"),
        ({"RCLONE_CONTAINER": "x"}, "RADLOOP_STORE=chi_tacc:x (a remote of your rclone.conf)"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_first_step_says_what_the_settings_decide(prepare, settings, said):
    assert prepare.explain(said.partition("=")[0], settings) == said


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"RADLOOP_STORE": "/store", "RCLONE_CONTAINER": "x"}, "both name a store"),
        ({"RADLOOP_VOLUME": "./volume"}, "absolute path"),
        ({"RADLOOP_INPUT": "input"}, "absolute path"),
        ({"RADLOOP_UID": "radiologist"}, "has to be a number"),
    ],
    ids=["two stores", "relative volume", "relative input", "name of a user"],
)
def test_first_step_refuses_what_cannot_be_meant(prepare, settings, sentence):
    with pytest.raises(prepare.Unready, match=sentence):
        prepare.require_consistent({"RADLOOP_UID": "1000"} | settings)


def test_first_step_accepts_what_can_be_meant(prepare):
    paths = {"RADLOOP_VOLUME": "/mnt/other", "RADLOOP_INPUT": "~/data", "RADLOOP_STORE": "/store"}
    prepare.require_consistent({"RADLOOP_UID": "1000"} | paths)


def test_first_step_says_where_a_copy_of_the_settings_is_another(prepare, tmp_path):
    prepare.require_same_settings(tmp_path)  # nobody mounted any
    (tmp_path / "settings").write_text("# why\nA=1\n#B=2\nC=x y\r\n")
    (tmp_path / "settings-copy").write_text("A=1\nC=x y\n")
    prepare.require_same_settings(tmp_path)
    (tmp_path / "settings").write_text("A=2\nC=x y\n")
    with pytest.raises(
        prepare.Unready, match=r"^A is '2' in .*settings\.env and '1' in the \.env beside .*-compose settings"
    ):
        prepare.require_same_settings(tmp_path)
    (tmp_path / "settings").write_text("A=1\n")
    with pytest.raises(prepare.Unready, match=r"^C is not set in"):
        prepare.require_same_settings(tmp_path)


def test_encrypted_configuration_without_its_password_is_said_at_once(prepare, tmp_path):
    configuration, password = tmp_path / "rclone.conf", tmp_path / "password"
    configuration.write_text("# Encrypted rclone configuration File\n\nRCLONE_ENCRYPT_V0:\nAAAA\n")
    for content in (None, "", "\n"):
        if content is not None:
            password.write_text(content)
        with pytest.raises(prepare.Unready, match="set RADLOOP_RCLONE_PASSWORD_FILE"):
            prepare.require_password(configuration, password)
    password.write_text("secret\n")
    prepare.require_password(configuration, password)
    configuration.write_text("[chi_tacc]\ntype = swift\n")
    password.unlink()
    prepare.require_password(configuration, password)


WRAPPER = "deployment/radloop-compose"


def checkout(folder: Path) -> Path:
    """A copy of what the wrapper reads."""
    for file in [WRAPPER, *FILES, "deployment/docker/settings.env"]:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / file, folder / file)
    return folder


def test_wrapper_makes_the_copies_of_the_settings(tmp_path, prepare):
    root = checkout(tmp_path)
    with (root / "deployment/docker/settings.env").open("a") as settings:
        settings.write("RADLOOP_UID=4711\r\n")
    (root / "data-pipeline/data-simulation/.env").symlink_to("../../deployment/docker/settings.env")
    subprocess.run([root / WRAPPER, "settings"], check=True, capture_output=True)
    for file in FOUR:
        copy = (root / file).with_name(".env")
        assert not copy.is_symlink()
        assert prepare.assignments(copy) == prepare.assignments(root / "deployment/docker/settings.env")
        assert prepare.assignments(copy)["RADLOOP_UID"] == "4711"
    again = subprocess.run([root / WRAPPER, "settings"], check=True, capture_output=True)
    assert again.stdout == b""


ENGINE = """#!/bin/sh
# A docker in which one step ends as FAILS says: the truth that `up` does not tell.
case "$*" in
    "compose version"* | info | version*) echo 2.26.1 ;;
    *" up"*) : > "$STATE/up" ;;
    *" ps "*) [ ! -e "$STATE/up" ] || for last; do :; done; [ ! -e "$STATE/up" ] || echo "$last" ;;
    *State.Running*) [ "$4" = data-dashboard ] && echo true || echo false ;;
    *"{{.Id}}"*) echo "$4 $(date +%N)" ;;
    *State.ExitCode*) case "$4 $FAILS" in
        data-dashboard*) echo "running 0 ${HEALTH:-healthy}" ;;
        "load-data load-data") echo "exited 7 " ;;
        *) echo "exited 0 " ;; esac ;;
    *State.Status*) echo "running ${HEALTH:-healthy}" ;;
    *" logs "*) echo "load-data-1  | radloop: the disk is full." ;;
esac
"""


@pytest.mark.parametrize(
    ("told", "status", "line"),
    [
        ({}, 0, r"dashboard +data-dashboard +0  running, healthy"),
        ({"FAILS": "load-data"}, 7, r"etl +load-data +7  failed: radloop: the disk is full\."),
        ({"HEALTH": "unhealthy"}, 1, r"dashboard +data-dashboard +1  running, unhealthy"),
    ],
    ids=["well", "the last step failed", "dashboard without its dataset"],
)
def test_wrapper_ends_with_the_truth_of_every_step(tmp_path, told, status, line):
    root = checkout(tmp_path / "checkout")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").write_text(ENGINE)
    (tmp_path / "bin" / "docker").chmod(0o755)
    environment = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "STATE": str(tmp_path), "FAILS": ""} | told
    done = subprocess.run([root / WRAPPER], env=environment, capture_output=True, text=True)
    assert re.search(line, done.stdout), done.stdout + done.stderr
    assert done.returncode == status
    assert ("simulation   -" in done.stdout) == ("FAILS" in told), "what follows a failure is in the table as not run"


def test_wrapper_refuses_a_name_that_it_does_not_know(tmp_path):
    done = subprocess.run([checkout(tmp_path) / WRAPPER, "exl"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "exl: it is etl, simulation" in done.stderr


def test_first_step_leaves_what_is_there_to_its_owner(prepare, tmp_path, given):
    owner = tmp_path.stat().st_uid
    prepare.hand_over(tmp_path / "feedback", owner)
    assert (tmp_path / "feedback").is_dir()
    assert oct((tmp_path / "feedback").stat().st_mode & 0o777) == "0o750"
    assert given == []


def test_first_step_gives_away_only_what_is_its_own(prepare, tmp_path, given, monkeypatch):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "a.png").touch()
    (tmp_path / "store" / "link").symlink_to("/etc")
    monkeypatch.setattr(prepare, "ROOT", tmp_path.stat().st_uid)
    prepare.hand_over(tmp_path / "store", 4711)
    assert sorted(given) == [("a.png", 4711), ("link", 4711), ("store", 4711)]
    assert given[-1] == ("store", 4711)
    given.clear()
    monkeypatch.setattr(prepare, "ROOT", -1)
    monkeypatch.setattr(prepare, "IMAGE_USER", -1)
    prepare.hand_over(tmp_path / "store", 4711)
    assert given == []


def test_credentials_are_asked_for_only_where_a_setting_needs_them(prepare, tmp_path):
    (tmp_path / "kaggle").mkdir()
    (tmp_path / "kaggle" / "README.md").touch()
    prepare.require_credentials("RADLOOP_SOURCE", {"RADLOOP_SOURCE": "synthetic:6"}, tmp_path)
    with pytest.raises(prepare.Unready, match="set RADLOOP_KAGGLE_DIR to their folder"):
        prepare.require_credentials("RADLOOP_SOURCE", {"RADLOOP_SOURCE": "kaggle"}, tmp_path)
    (tmp_path / "kaggle" / "kaggle.json").touch()
    prepare.require_credentials("RADLOOP_SOURCE", {"RADLOOP_SOURCE": "kaggle"}, tmp_path)


# ---- with an engine --------------------------------------------------------------------------------------------------


def new_compose() -> list[str]:
    """The command of compose v2; skips where there is none."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            said = subprocess.run([*command, "version", "--short"], capture_output=True, text=True)
            if said.returncode == 0 and said.stdout.strip().lstrip("v").split(".")[0] >= "2":
                return command
    pytest.skip("no docker compose v2 on this machine")


class Loop:
    """One project: its compose, its settings by the shell, its block volume."""

    def __init__(self, compose: list[str], folder: Path, **shell: str) -> None:
        self.compose = compose
        self.volume = folder / "mydata"
        self.project = f"radlooptest{os.getpid()}"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.shell = {
            "COMPOSE_PROJECT_NAME": self.project,
            "COMPOSE_API_VERSION": "1.44",
            "RADLOOP_VOLUME": str(self.volume),
            "RADLOOP_PORT": str(self.port),
            "RADLOOP_SOURCE": "synthetic:60",
            "RADLOOP_SIZES": "training=30,validation=6,test=6,staging=3,canary=3,production=12",
            "LOAD_PATTERN": "1,2",
            "DELAY_BETWEEN_STEPS": "2",
        } | shell

    def run(self, file: str, *arguments: str, **shell: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.compose, "-f", file, *arguments],
            cwd=ROOT,
            env=os.environ | self.shell | shell,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=500,
        )

    def up(self, file: str, *arguments: str, **shell: str) -> dict[str, int]:
        """Run a file to its end: the exit status of each of its services."""
        self.output = self.run(file, "up", *arguments, **shell).stdout
        return {name: self.container(name)["State"]["ExitCode"] for name in services(file) if self.has(name)}

    def has(self, service: str) -> bool:
        return bool(self._containers(service))

    def container(self, service: str) -> dict[str, Any]:
        (found,) = json.loads(docker("inspect", *self._containers(service)))
        return found

    def log(self, service: str) -> list[str]:
        return docker("logs", *self._containers(service), errors=True).splitlines()

    def in_volume(self, volume: str, *command: str) -> str:
        mount = f"{self.project}_{volume}:/{volume}:ro"
        return docker("run", "--rm", "--network=none", "-v", mount, "radloop-pipeline", *command)

    def volumes(self) -> set[str]:
        named = docker("volume", "ls", "-q", "--filter", f"name={self.project}_").split()
        return {name.removeprefix(f"{self.project}_") for name in named}

    def remove(self) -> None:
        for file in FILES:
            self.run(file, "down", "-v")

    def _containers(self, service: str) -> list[str]:
        labels = (f"com.docker.compose.project={self.project}", f"com.docker.compose.service={service}")
        return docker("ps", "-aq", *(f"--filter=label={label}" for label in labels)).split()


def docker(*arguments: str, errors: bool = False) -> str:
    said = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True, timeout=300)
    return said.stdout + (said.stderr if errors else "")


@pytest.fixture(scope="module")
def engine() -> None:
    """An engine on this machine with images of this checkout."""
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True).returncode:
        pytest.skip("no Docker engine answers")
    if not os.environ.get("DOCKER_HOST", "unix:").startswith("unix:"):
        pytest.skip("the Docker engine is on another machine")
    for file in (ETL, DASHBOARD, SWIFT, PACS):
        subprocess.run([*new_compose(), "-f", file, "build", "--quiet"], cwd=ROOT, check=True, timeout=900)


@pytest.fixture
def loop(engine, tmp_path) -> Iterator[Loop]:
    made = Loop(new_compose(), tmp_path)
    yield made
    made.remove()


def healthy(loop: Loop, service: str) -> bool:
    deadline = time.monotonic() + 90
    while loop.container(service)["State"]["Health"]["Status"] != "healthy":
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def close_the_loop(loop: Loop) -> None:
    """The four commands in the README's order."""
    for file in (ETL, SIMULATION, PRODUCTION):
        assert loop.up(file) == dict.fromkeys(services(file), 0), loop.output
    assert loop.run(DASHBOARD, "up", "-d").returncode == 0
    assert healthy(loop, "data-dashboard")
    address = loop.log("data-dashboard")[-1].removeprefix("radloop: ")
    assert address.startswith(f"http://127.0.0.1:{loop.port}/?token=")
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with pytest.raises(urllib.error.HTTPError, match="403"):
        browser.open(f"http://127.0.0.1:{loop.port}/", timeout=10)
    with browser.open(address, timeout=10) as page:
        assert b"<title>" in page.read()


@pytest.mark.slow
@pytest.mark.parametrize("compose", ["new", "old"])
def test_four_commands_close_the_loop(engine, tmp_path, compose):
    loop = Loop(new_compose() if compose == "new" else [str(tool("docker-compose"))], tmp_path)
    try:
        close_the_loop(loop)
        table = loop.in_volume("store", "cat", "/store/organized/retrain/retrain.csv").splitlines()
        assert table[0].startswith("image_id,class_name,class_id,rad_id,")
        assert len(table) > 1
        assert all(",production," in row for row in table[1:])
        assert loop.in_volume("store", "radloop", "check", "/store")

        following = {
            "RADLOOP_PREVIOUS": "/store",
            "RADLOOP_ADD": "/store/organized/retrain/retrain.csv",
        }
        assert loop.up(ETL, **following) == dict.fromkeys(services(ETL), 0), loop.output
        assert loop.in_volume("store", "radloop", "check", "/store")

        assert loop.volumes() == {"data", "store", "pictures"}
        for file in (DASHBOARD, PRODUCTION, SIMULATION):
            assert loop.run(file, "down", "-v").returncode == 0
        assert loop.volumes() == {"data", "store"}
        assert loop.run(ETL, "down", "-v").returncode == 0
        assert loop.volumes() == set()
        assert list((loop.volume / "model-checkpoints" / "feedback").glob("*.json"))
    finally:
        loop.remove()


@pytest.mark.slow
def test_four_commands_close_the_loop_over_a_real_swift(loop):
    loop.shell |= {
        "RADLOOP_STORE": "chi_tacc:object-persist-project19",
        "RADLOOP_RCLONE_DIR": str(loop.volume / "swift"),
    }
    assert loop.run(SWIFT, "up", "-d").returncode == 0
    assert healthy(loop, "swift")
    close_the_loop(loop)
    listed = loop.run(
        *(ETL, "run", "--rm", "--no-deps", "-T", "load-data"),
        *("rclone", "lsf", "chi_tacc:object-persist-project19/organized/retrain"),
    )
    assert "retrain.csv" in listed.stdout.splitlines()
    key = re.search(r"^key = (\w+)$", (loop.volume / "swift" / "rclone.conf").read_text(), re.MULTILINE)[1]
    for file in FOUR:
        for name in services(file):
            assert key not in json.dumps(loop.container(name)) + "\n".join(loop.log(name))


@pytest.mark.slow
def test_pacs_and_its_watcher_come_up_in_one_command_and_show_no_password(loop):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        loop.shell["RADLOOP_PACS_PORT"] = str(probe.getsockname()[1])
    assert loop.up(ETL) == dict.fromkeys(services(ETL), 0), loop.output
    assert loop.run(PACS, "up", "-d").returncode == 0
    assert healthy(loop, "pacs")
    address = ("--pacs=dicomweb:http://pacs:8042/dicom-web", "--pacs-auth=/mnt/mydata/pacs/auth.toml")
    send = ("radloop", "simulate", *address, "--splits=production", "--load-pattern=1")
    sent = loop.run(PACS, "run", "--rm", "-T", "watch-pacs", *send)
    assert "12 studies of one image" in sent.stdout
    deadline = time.monotonic() + 120
    while (log := loop.in_volume("data", "cat", "/data/logs/watch.log")).count('"event": "study"') < 12:
        assert time.monotonic() < deadline, log
        time.sleep(0.5)
    assert loop.run(PACS, "stop", "watch-pacs").returncode == 0
    assert loop.container("watch-pacs")["State"]["ExitCode"] == 0
    images = log.count('"event": "image"')  # but for those that may have text in them, which wait for a person
    assert 6 <= images <= 12
    assert len(list((loop.volume / "model-checkpoints" / "feedback").glob("*.json"))) == images
    assert re.search(rf"reports +{images} stored", "\n".join(loop.log("watch-pacs")))

    published = loop.container("pacs")["NetworkSettings"]["Ports"]["8042/tcp"]
    assert {one["HostIp"] for one in published} == {"127.0.0.1"}
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"http://127.0.0.1:{published[0]['HostPort']}/dicom-web/studies", timeout=10)
    told = (loop.volume / "pacs" / "auth.toml").read_text()
    password = re.search(r'^password = "(.+)"$', told, re.MULTILINE)[1]
    for name in services(PACS):
        assert password not in json.dumps(loop.container(name)) + "\n".join(loop.log(name))


@pytest.mark.slow
def test_failing_transform_stops_load_and_a_second_up_goes_on(loop):
    sizes = loop.shell.pop("RADLOOP_SIZES")
    done = loop.up(ETL, RADLOOP_SIZES="training=1,nonsense=2")
    assert (done["extract-data"], done["transform-data"]) == (0, 2)
    assert loop.log("transform-data")[-1].startswith("radloop: RADLOOP_SIZES: 'nonsense' is no split.")
    assert loop.container("load-data")["State"]["Status"] == "created"
    assert loop.in_volume("store", "ls", "/store") == ""
    assert loop.up(ETL, RADLOOP_SIZES=sizes) == dict.fromkeys(services(ETL), 0), loop.output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shell", "sentence"),
    [
        ({"RADLOOP_SOURCE": "kaggle"}, "but there are no credentials: set RADLOOP_KAGGLE_DIR to their folder."),
        ({"RADLOOP_STORE": "chi_tacc:x"}, "but there are no credentials: set RADLOOP_RCLONE_DIR to their folder."),
        ({"RCLONE_CONTAINER": "x"}, "RADLOOP_STORE and RCLONE_CONTAINER both name a store: remove one of them."),
        ({"RADLOOP_RCLONE_DIR": "/nowhere/rclone"}, "bind source path does not exist: /nowhere/rclone"),
        ({"RADLOOP_INPUT": "./input"}, "RADLOOP_INPUT=./input has to be an absolute path"),
    ],
    ids=["kaggle", "rclone", "two stores", "missing folder", "relative folder"],
)
def test_what_cannot_work_is_said_in_one_line_before_anything_runs(loop, shell, sentence):
    loop.up(ETL, **shell)
    assert len([line for line in loop.output.splitlines() if sentence in line]) == 1, loop.output
    assert not loop.has("extract-data") or loop.container("extract-data")["State"]["Status"] == "created"


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to somebody else")
def test_credentials_of_another_user_are_named(loop, tmp_path):
    (tmp_path / "kaggle").mkdir(mode=0o700)
    (tmp_path / "kaggle" / "kaggle.json").write_text('{"username": "nobody", "key": "not-to-be-seen"}')
    os.chown(tmp_path / "kaggle", 4711, 4711)
    done = loop.up(ETL, RADLOOP_SOURCE="kaggle", RADLOOP_KAGGLE_DIR=str(tmp_path / "kaggle"))
    assert done["prepare-etl"] == 1
    assert loop.log("prepare-etl")[-1] == (
        "radloop: RADLOOP_KAGGLE_DIR: kaggle is closed to user 10001: set RADLOOP_UID=4711."
    )
    assert "not-to-be-seen" not in loop.output + json.dumps(loop.container("prepare-etl"))


@pytest.mark.slow
def test_production_before_the_etl_and_before_any_feedback(loop):
    loop.up(PRODUCTION)
    assert f'external volume "{loop.project}_' in loop.output
    loop.up(ETL)
    assert loop.up(PRODUCTION, RADLOOP_REVIEW="none") == dict.fromkeys(services(PRODUCTION), 0), loop.output
    assert "no feedback in /mnt/mydata/model-checkpoints/feedback yet" in " ".join(loop.log("retrain-data"))


@pytest.mark.slow
def test_port_that_is_taken_is_named(loop):
    loop.up(ETL)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = loop.run(DASHBOARD, "up", "-d", RADLOOP_PORT=str(port))
    assert done.returncode != 0
    assert re.search(rf"127\.0\.0\.1:{port}.*(already in use|already allocated)", done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_simulator_ends_within_ten_seconds_of_a_stop_and_prints_its_table(loop):
    loop.up(ETL)
    assert loop.run(SIMULATION, "up", "-d", DELAY_BETWEEN_STEPS="300").returncode == 0
    feedback = loop.volume / "model-checkpoints" / "feedback"
    deadline = time.monotonic() + 60
    while not any(feedback.glob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.2)
    begin = time.monotonic()
    loop.run(SIMULATION, "stop")
    assert time.monotonic() - begin < 10
    assert loop.container("data-simulation")["State"]["ExitCode"] == 0
    assert any("requests; latencies" in line for line in loop.log("data-simulation"))
    assert [path for path in feedback.iterdir() if path.suffix != ".json"] == []


@pytest.mark.slow
def test_start_takes_no_network(loop, tmp_path):
    closed = tmp_path / "closed.yaml"
    closed.write_text(yaml.safe_dump({"networks": {"default": {"internal": True}}}))
    done = loop.run(ETL, "-f", str(closed), "up")
    assert done.returncode == 0, done.stdout
    assert loop.container("load-data")["State"]["ExitCode"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("image", ["radloop-pipeline", "radloop-dashboard"])
def test_image_holds_no_secret_no_data_and_no_build_tool(engine, tmp_path, image):
    docker("save", "-o", str(tmp_path / "image.tar"), image)
    below = json.loads(docker("inspect", "python:3.11-slim"))[0]["RootFS"]["Layers"]
    layers = json.loads(docker("inspect", image))[0]["RootFS"]["Layers"]
    names: list[str] = []
    with tarfile.open(tmp_path / "image.tar") as saved:
        paths = json.load(saved.extractfile("manifest.json"))[0]["Layers"]
        for path, layer in zip(paths, layers, strict=True):
            if layer not in below:
                with tarfile.open(fileobj=saved.extractfile(path), mode="r|*") as files:
                    names += [entry.name for entry in files]
    assert len(names) > 1000
    unwanted = (
        r"(^|/)(kaggle\.json|rclone\.conf|\.netrc|\.git|\.env|id_rsa|train\.csv|.*\.dicom)$|(^|/)(gcc|cc1|make|pip3?)$"
    )
    assert [name for name in names if re.search(unwanted, name)] == []
    assert [name for name in names if not name.startswith(("opt", "tmp"))] == []
    assert json.loads(docker("inspect", image))[0]["Config"]["User"] == "10001:10001"
