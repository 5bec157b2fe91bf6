"""The files for Kubernetes and systemd: valid, safe, and the same commands as in docker-compose.yml."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from simcelery.settings import FIELDS

REPOSITORY = Path(__file__).parents[2]
DOCKER = REPOSITORY / "docker"
COMPOSE = (REPOSITORY / "docker-compose.yml").read_text()
PAGE = (REPOSITORY / "docs" / "deployment.md").read_text()
OBJECTS = {
    f"{path.stem}: {one['kind']}": one
    for path in sorted((DOCKER / "kubernetes").glob("*.yaml"))
    for one in yaml.safe_load_all(path.read_text())
}
OWN_API = {name: one for name, one in OBJECTS.items() if "." not in one["apiVersion"].partition("/")[0]}


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, one in OBJECTS.items():
        spec = one.get("spec", {})
        template = spec.get("template") or spec.get("jobTargetRef", {}).get("template")
        if template:
            yield name, template["spec"]


PODS = dict(pods())
WORKERS = [name for name, pod in PODS.items() if pod["containers"][0]["name"] == "worker"]


@pytest.mark.parametrize("name", OWN_API)
def test_it_is_what_kubernetes_understands(name: str) -> None:
    kubernetes_validate.validate(OWN_API[name], "1.31", strict=True)


def test_what_is_applied_together_is_there() -> None:
    listed = OBJECTS["kustomization: Kustomization"]["resources"]
    assert sorted(listed) == ["migrate.yaml", "monitor.yaml", "worker.yaml"]
    assert all((DOCKER / "kubernetes" / name).exists() for name in listed)


@pytest.mark.parametrize("name", PODS)
def test_a_pod_may_do_no_more_than_it_must(name: str) -> None:
    pod = PODS[name]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == 1000
    assert pod["automountServiceAccountToken"] is False
    [container] = pod["containers"]
    context = container["securityContext"]
    assert context["readOnlyRootFilesystem"]
    assert context["capabilities"]["drop"] == ["ALL"]
    assert not context["allowPrivilegeEscalation"]
    assert container["resources"]["limits"]["memory"]
    writable = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert "/tmp" in writable
    assert ("/var/lib/simcelery" in writable) == ("worker" in container["command"])


@pytest.mark.parametrize("name", PODS)
def test_addresses_and_passwords_come_from_the_secret_of_its_part_only(name: str) -> None:
    [container] = PODS[name]["containers"]
    secret = f"simcelery-{container['name']}"
    assert container["envFrom"] == [{"secretRef": {"name": secret}}]
    assert f"secret generic {secret} --from-literal=SIMCELERY_DATABASE_URL=" in PAGE
    given = {one["name"] for one in container.get("env", ())}
    assert not {one for one in given if re.search("URL|AUTH|PASSWORD", one)}


@pytest.mark.parametrize("name", PODS)
def test_it_runs_what_the_containers_of_compose_run(name: str) -> None:
    [container] = PODS[name]["containers"]
    part = {"monitor": "flower"}.get(container["name"], container["name"])
    found = re.search(rf"^  {part}:\n.*?^    command: (\[.*?\])$", COMPOSE, re.MULTILINE | re.DOTALL)
    assert found
    theirs = json.loads(found[1])
    if theirs[0] == "sh":  # there it does more
        theirs = theirs[2].partition(" && ")[0].split()
    assert container["command"][: len(theirs)] == theirs


@pytest.mark.parametrize(
    "name", [name for name, pod in PODS.items() if pod["containers"][0]["name"] == "worker"]
)
def test_a_worker_may_hand_its_jobs_back_and_is_not_killed_by_a_probe(name: str) -> None:
    pod = PODS[name]
    longest = FIELDS["shutdown_grace"].default + FIELDS["kill_grace"].default + 10
    assert pod["terminationGracePeriodSeconds"] >= longest
    assert not {"livenessProbe", "startupProbe"} & set(pod["containers"][0])


def test_keda_asks_the_board_and_its_workers_leave() -> None:
    scaled = OBJECTS["keda: ScaledJob"]["spec"]
    [trigger] = scaled["triggers"]
    command = PODS["keda: ScaledJob"]["containers"][0]["command"]
    queue = command[command.index("-Q") + 1]
    assert trigger["metadata"]["query"] == f"SELECT simcelery_demand('{queue}')"
    assert trigger["metadata"]["targetQueryValue"] == command[command.index("-c") + 1]
    assert {"--drain", "--max-idle"} <= set(command)
    authentication = OBJECTS["keda: TriggerAuthentication"]
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    [secret] = authentication["spec"]["secretTargetRef"]
    assert secret["parameter"] == "connection"
    assert f"secret generic {secret['name']} --from-literal={secret['key']}=" in PAGE


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
@pytest.mark.parametrize("name", ["simcelery-worker", "simcelery-monitor"])
def test_it_is_what_systemd_understands(name: str, tmp_path: Path) -> None:
    text = (DOCKER / "systemd" / f"{name}.service").read_text()
    unit = tmp_path / f"{name}.service"
    program = shutil.which("true")
    unit.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={program}", text, flags=re.MULTILINE))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (done.returncode, [line for line in done.stderr.splitlines() if name in line]) == (0, [])
    if "worker" in name:
        longest = FIELDS["shutdown_grace"].default + FIELDS["kill_grace"].default + 10
        stop = re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
        assert stop
        assert int(stop[1]) >= longest
        assert "\nKillMode=mixed\n" in text
