"""What a cluster would be told to run: the schemas of Kubernetes take it, and it fits the node."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.integration.manifests import KUBERNETES, ROOT, documents, one, pod
from tlru.cli.exits import Exit
from tlru.cli.serving import STOP_MARGIN_S
from tlru.config import Config, resolve
from tlru.config.settings import OPTIONS
from tlru.config.sources import OTHER_VARIABLES
from tlru.node.http.routes import ROUTES

PAGE = (ROOT / "docs" / "deploy.md").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
UNIT = ROOT / "config" / "tlru.service"
COMPOSE = yaml.safe_load((ROOT / "config" / "compose.yaml").read_text())

RELEASES = (
    "1.30",
    "1.37",
)  # the first that knows `preStop.sleep`, and the newest whose schemas are had
FOLDERS = ("base", "tls")
VARIABLES = {one.env for one in OPTIONS} | OTHER_VARIABLES
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def told_secrets() -> dict[str, set[str]]:
    """The Secrets that the page has one make, and their keys."""
    found: dict[str, set[str]] = {}
    whole = PAGE.replace("\\\n", "")
    for command in re.findall(r"kubectl .*create secret generic.*", whole):
        (name,) = re.findall(r"generic (\S+)", command)
        keys = re.findall(r"--from-(?:literal|file)=([\w.-]+)", command)
        found.setdefault(name, set()).update(keys)
    return found


def containers_of(folder: str) -> dict[str, Any]:
    (container,) = one(documents(folder), "StatefulSet")["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def config_file() -> dict[str, Any]:
    return tomllib.loads(one(documents(), "ConfigMap")["data"]["tlru.toml"])


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("folder", FOLDERS)
def test_the_schemas_of_kubernetes_take_every_document(folder: str, release: str) -> None:
    """Strictly: a field that is not known is a mistake, too."""
    found = documents(folder)
    kinds = {each["kind"] for each in found}
    assert {"StatefulSet", "Service", "PodDisruptionBudget", "NetworkPolicy"} < kinds
    for document in found:
        kubernetes_validate.validate(document, release, strict=True)


def test_the_schemas_do_find_a_mistake() -> None:
    document = one(documents(), "StatefulSet")
    document["spec"]["podManagmentPolicy"] = document["spec"].pop("podManagementPolicy")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, RELEASES[-1], strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("folder", FOLDERS)
def test_kustomize_makes_the_same_of_it(folder: str) -> None:
    ran = subprocess.run(
        ["kubectl", "kustomize", str(KUBERNETES / folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    def by_name(found: list[Any]) -> list[Any]:
        return sorted(found, key=lambda each: (each["kind"], each["metadata"]["name"]))

    assert by_name(list(yaml.safe_load_all(ran.stdout))) == by_name(documents(folder))


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_variable_and_option_is_one_that_a_node_knows(folder: str) -> None:
    variables = {row["name"] for row in containers_of(folder)["env"]}
    assert {name for name in variables if name.startswith("TLRU_")} <= VARIABLES
    assert set(config_file()) <= {one.name for one in OPTIONS}


@pytest.mark.parametrize("folder", FOLDERS)
def test_ports_and_labels_agree(folder: str) -> None:
    found = documents(folder)
    config = Config(
        **{n: v for n, v in config_file().items() if n in ("listen", "mesh")}, insecure=True
    )
    ports = {"client": config.listen_address.port, "mesh": config.mesh_address.port}
    container = containers_of(folder)
    assert {row["name"]: row["containerPort"] for row in container["ports"]} == ports

    stateful = one(found, "StatefulSet")["spec"]
    labels = stateful["template"]["metadata"]["labels"]
    assert stateful["selector"]["matchLabels"] == labels
    for spread in stateful["template"]["spec"]["topologySpreadConstraints"]:
        assert spread["labelSelector"]["matchLabels"] == labels
    assert one(found, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert one(found, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    for service in (each for each in found if each["kind"] == "Service"):
        assert service["spec"]["selector"] == labels
        for row in service["spec"]["ports"]:
            assert (row["port"], row["targetPort"]) == (ports[row["name"]], row["name"])

    headless = one(found, "Service", stateful["serviceName"])["spec"]
    assert (headless["clusterIP"], headless["publishNotReadyAddresses"]) == ("None", True)
    names = config_file()["join"]
    wanted = [f"tlru-{n}.{stateful['serviceName']}:{ports['mesh']}" for n in range(3)]
    assert names == wanted
    assert config_file()["expect"] == stateful["replicas"] == len(names)
    for at, port in (("TLRU_ADVERTISE_MESH", "mesh"), ("TLRU_ADVERTISE", "client")):
        (value,) = (row["value"] for row in container["env"] if row["name"] == at)
        assert f".{stateful['serviceName']}" in value
        assert f":{ports[port]}" in value


@pytest.mark.parametrize("folder", FOLDERS)
def test_probes_ask_for_what_is_served(folder: str) -> None:
    container = containers_of(folder)
    for name in PROBES:
        get = container[name]["httpGet"]
        assert get["port"] == "client"
        assert get.get("scheme", "HTTP") == ("HTTPS" if folder == "tls" else "HTTP")
        ROUTES.find("GET", get["path"].partition("?")[0])  # NoSuchRoute where there is none
        assert get["path"].startswith(f"/health/{name.removesuffix('Probe')[:4]}")


def test_there_is_time_to_stop() -> None:
    """What Kubernetes, compose and systemd wait is more than what a node takes."""
    spec = one(documents(), "StatefulSet")["spec"]["template"]["spec"]
    first = containers_of("base")["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = resolve(None, {}, {"grace": config_file()["grace"]}).config.grace
    assert spec["terminationGracePeriodSeconds"] > first + grace + STOP_MARGIN_S
    default = Config().grace + STOP_MARGIN_S
    for service in COMPOSE["services"].values():
        assert int(service["stop_grace_period"].removesuffix("s")) > default
    assert int(_unit()["TimeoutStopSec"]) > default


def test_there_is_memory_for_what_a_cache_may_hold() -> None:
    config = resolve(None, {}, {"max_bytes": config_file()["max_bytes"]}).config
    for kind in ("requests", "limits"):
        memory = containers_of("base")["resources"][kind]["memory"]
        assert int(memory.removesuffix("Gi")) << 30 >= 2 * config.max_bytes + config.retained_bytes


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_page_has_one_make_the_secrets_that_are_needed(folder: str) -> None:
    """By the names and keys that the pods look for; they look for no other."""
    told = told_secrets()
    secrets = {name: dict.fromkeys(keys, "x" * 16) for name, keys in told.items()}
    certificates = {f"tlru-{n}.{end}" for n in range(3) for end in ("pem", "key")} | {"ca.pem"}
    assert told == {"tlru-secrets": {"token", "tokens.toml"}, "tlru-certs": certificates}
    facts = [pod(documents(folder), n, secrets, {}) for n in range(3)]
    assert [each.name for each in facts] == ["tlru-0", "tlru-1", "tlru-2"]
    for each in facts:
        for value in each.env.values():
            if value.startswith("/"):
                folder_of, _, name = value.rpartition("/")
                assert name in each.files[folder_of], value


def test_the_image_is_no_roots_and_tlru_is_its_first_process() -> None:
    spec = one(documents(), "StatefulSet")["spec"]["template"]["spec"]["securityContext"]
    (user,) = re.findall(r"^USER (\d+):\d+$", DOCKERFILE, re.MULTILINE)
    assert int(user) == spec["runAsUser"] == spec["fsGroup"] != 0
    (entry,) = re.findall(r"^ENTRYPOINT (.+)$", DOCKERFILE, re.MULTILINE)
    assert json.loads(entry) == ["tlru"]
    for words in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        for name in words.split()[:-1]:
            assert (ROOT / name).exists(), name
            allowed = (ROOT / ".dockerignore").read_text().splitlines()
            assert f"!{Path(name).name}" in allowed, name


def _unit() -> dict[str, str]:
    lines = (line.partition("=") for line in UNIT.read_text().splitlines() if "=" in line)
    return {name: value for name, _, value in lines if not name.startswith("#")}


def test_the_unit_is_what_systemd_takes(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    here = tmp_path / UNIT.name
    text = UNIT.read_text().replace("/opt/tlru/bin/tlru", sys.executable)
    assert text != UNIT.read_text()
    here.write_text(text)
    ran = _systemd_analyze("verify", here)
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")
    ran = _systemd_analyze("security", "--offline=true", "--threshold=20", here)
    assert ran.returncode == 0, ran.stdout[-300:]  # an exposure of 2.0 at the most, of 10


def _systemd_analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    argv = ["systemd-analyze", *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def test_the_unit_does_not_try_again_where_that_cannot_help() -> None:
    ends = {int(status) for status in _unit()["RestartPreventExitStatus"].split()}
    assert ends == {Exit.USAGE, Exit.CONFIG}
    assert _unit()["Type"] == "exec"


def test_the_nodes_of_the_compose_file_know_each_other() -> None:
    services = COMPOSE["services"]
    for name, service in services.items():
        env = service["environment"]
        config = resolve(None, env).config
        assert resolve(None, env).notes == ()
        assert config.id == name
        assert config.expect == len(services) == len(config.join)
        assert f"{name}:{config.mesh_address.port}" in config.join
        assert config.advertise_mesh == (f"{name}:{config.mesh_address.port}",)
        (published,) = service["ports"]
        host, port, inside = published.split(":")
        assert (host, int(inside)) == ("127.0.0.1", config.listen_address.port)
        assert config.advertise == (f"ws://{host}:{port}/ws",)
        assert service["volumes"] == [f"{name}:{config.data_dir}"]
        assert name in COMPOSE["volumes"]
