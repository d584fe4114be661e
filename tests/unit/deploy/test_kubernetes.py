"""The manifests are what Kubernetes takes, name what there is, and give the pods no needless right."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from bridge.settings import Settings
from bridge.vault.encryption import make_key
from bridge.web.app import create_app
from tests import ROOT
from tests.support.gunicorn_settings import gunicorn_setting
from tests.support.network_policies import Endpoint, may_connect

FOLDER = ROOT / "deploy" / "kubernetes"
VERSIONS = ["1.30", "1.37"]  # the oldest that the manifests are for, and the newest whose schemas there are
MAX_BODY_BYTES = Settings(secret_key=make_key()).max_body_bytes
VALUES = "prometheus-adapter-values.yaml"  # for a chart, and no manifest
NAME = "app.kubernetes.io/name"
COMPONENT = "app.kubernetes.io/component"

TRAEFIK = "traefik.io/v1alpha1"  # whose kinds Kubernetes publishes no schema of

Manifest = dict[str, Any]


def _read(path: Path) -> list[Manifest]:
    return [one for one in yaml.safe_load_all(path.read_text()) if one]


def _is_traefiks(manifest: Manifest) -> bool:
    return bool(manifest["apiVersion"] == TRAEFIK)


def _manifests() -> Iterator[tuple[str, Manifest]]:
    for path in sorted(FOLDER.rglob("*.yaml")):
        if path.name not in {"kustomization.yaml", VALUES}:
            for manifest in _read(path):
                title = f"{path.relative_to(FOLDER)}: {manifest['kind']} {manifest['metadata']['name']}"
                yield title, manifest


MANIFESTS = dict(_manifests())
WORKLOADS = {
    manifest["metadata"]["name"]: manifest
    for manifest in MANIFESTS.values()
    if manifest["kind"] in {"Deployment", "Job"}
}
every_workload = pytest.mark.parametrize("name", WORKLOADS)


def _pod(name: str) -> Manifest:
    spec: Manifest = WORKLOADS[name]["spec"]["template"]["spec"]
    return spec


def _container(name: str) -> Manifest:
    (container,) = _pod(name)["containers"]
    found: Manifest = container
    return found


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Manifest]]:
    """Base and example as kustomize makes them, the latter with secrets that are made for it."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("there is no kubectl here")
    copy = tmp_path_factory.mktemp("kubernetes")
    shutil.copytree(FOLDER, copy, dirs_exist_ok=True)
    (copy / "example" / "secrets").mkdir(exist_ok=True)
    for name in ("database_url", "broker_url", "secret_key"):
        (copy / "example" / "secrets" / name).write_text("made for a test")
    found = {}
    for name in ("base", "example"):
        result = subprocess.run(
            [kubectl, "kustomize", copy / name], capture_output=True, text=True, check=False
        )
        assert (result.returncode, result.stderr) == (0, "")
        found[name] = [one for one in yaml.safe_load_all(result.stdout) if one]
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("title", [title for title in MANIFESTS if not _is_traefiks(MANIFESTS[title])])
def test_a_manifest_fits_the_published_schema(title: str, version: str) -> None:
    kubernetes_validate.validate(MANIFESTS[title], version, strict=True)


def test_a_manifest_that_does_not_fit_would_be_found_out() -> None:
    wrong = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"prots": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["base", "example"])
def test_what_kustomize_makes_fits_the_published_schema(
    rendered: dict[str, list[Manifest]], name: str, version: str
) -> None:
    assert len(rendered[name]) > 10
    for manifest in rendered[name]:
        if not _is_traefiks(manifest):
            kubernetes_validate.validate(manifest, version, strict=True)


def test_what_the_example_makes_fits_together(rendered: dict[str, list[Manifest]]) -> None:
    made = {(one["kind"], one["metadata"]["name"]) for one in rendered["example"]}
    workloads = [one for one in rendered["example"] if one["kind"] in {"Deployment", "Job"}]
    assert len(workloads) == len(WORKLOADS)
    for workload in workloads:
        pod = workload["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert container["image"].startswith("images.example.com/spacebridge:")
        assert ("ConfigMap", container["envFrom"][0]["configMapRef"]["name"]) in made
        assert ("Secret", pod["volumes"][0]["secret"]["secretName"]) in made
        assert ("ServiceAccount", pod["serviceAccountName"]) in made
    (worker,) = [one for one in workloads if one["metadata"]["name"] == "worker"]
    assert "replicas" not in worker["spec"]  # the autoscaler's to say


@pytest.mark.parametrize("folder", ["base", "autoscaling", "example"])
def test_a_kustomization_lists_every_file_beside_it(folder: str) -> None:
    (kustomization,) = _read(FOLDER / folder / "kustomization.yaml")
    beside = {path.name for path in (FOLDER / folder).glob("*.yaml")} - {"kustomization.yaml", VALUES}
    listed = kustomization["resources"]
    assert {one for one in listed if not one.startswith("../")} == beside
    for other in [one for one in (*listed, *kustomization.get("components", ())) if one.startswith("../")]:
        assert (FOLDER / folder / other / "kustomization.yaml").exists()


def test_the_autoscaler_asks_for_metrics_that_the_adapter_has() -> None:
    (values,) = _read(FOLDER / "autoscaling" / VALUES)
    (autoscaler,) = _read(FOLDER / "autoscaling" / "worker-autoscaler.yaml")
    offered = {rule["name"]["as"] for rule in values["rules"]["external"]}
    wanted = {metric["external"]["metric"]["name"] for metric in autoscaler["spec"]["metrics"]}
    assert wanted == offered
    assert autoscaler["spec"]["scaleTargetRef"]["name"] in WORKLOADS
    known = (ROOT / "bridge" / "web" / "metrics.py").read_text()
    for rule in values["rules"]["external"]:
        assert f'"{rule["seriesQuery"].partition("{")[0]}"' in known


def test_the_bridge_is_all_there() -> None:
    assert set(WORKLOADS) == {"receiver", "worker", "migrate"}


@every_workload
def test_a_pod_has_no_right_that_it_can_do_without(name: str) -> None:
    pod, security = _pod(name), _container(name)["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001  # the image's
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert security["allowPrivilegeEscalation"] is False
    assert security["readOnlyRootFilesystem"] is True
    assert security["capabilities"] == {"drop": ["ALL"]}


@every_workload
def test_a_container_asks_for_what_it_takes_and_is_bounded(name: str) -> None:
    resources = _container(name)["resources"]
    assert set(resources["requests"]) == {"cpu", "memory"}
    assert "memory" in resources["limits"]


@every_workload
def test_secrets_are_files_from_a_secret_that_is_not_in_the_repository(name: str) -> None:
    container, pod = _container(name), _pod(name)
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert set(mounts) == set(volumes)
    for variable in container["env"]:
        if variable["name"].endswith("_FILE"):
            assert Path(variable["value"]).parent == Path(mounts["secrets"])
    (example,) = _read(FOLDER / "example" / "kustomization.yaml")
    (secret,) = example["secretGenerator"]
    assert volumes["secrets"]["secret"]["secretName"] == secret["name"]
    keys = {Path(file).name for file in secret["files"]}
    assert keys == {Path(one["value"]).name for one in container["env"] if one["name"].endswith("_FILE")}
    assert not [one for one in MANIFESTS.values() if one["kind"] == "Secret"]


@every_workload
def test_a_selector_finds_the_pods_of_its_workload(name: str) -> None:
    labels = WORKLOADS[name]["spec"]["template"]["metadata"]["labels"]
    assert labels == {COMPONENT: name}
    if WORKLOADS[name]["kind"] == "Deployment":
        assert WORKLOADS[name]["spec"]["selector"]["matchLabels"] == labels
    for constraint in _pod(name).get("topologySpreadConstraints", ()):
        assert constraint["labelSelector"]["matchLabels"] == {NAME: "spacebridge", **labels}


def test_what_selects_pods_selects_some_that_there_are() -> None:
    selected: dict[str, set[str]] = {}
    for title, manifest in MANIFESTS.items():
        if manifest["kind"] == "Service":
            selected[title] = {manifest["spec"]["selector"][COMPONENT]}
        elif manifest["kind"] == "PodDisruptionBudget":
            selected[title] = {manifest["spec"]["selector"]["matchLabels"][COMPONENT]}
        elif manifest["kind"] == "NetworkPolicy":
            selector = manifest["spec"]["podSelector"]
            if selector == {"matchLabels": {NAME: "spacebridge"}}:
                continue  # all of them
            expressions = selector.get("matchExpressions", ())
            selected[title] = {value for one in expressions for value in one["values"]}
            selected[title] |= set(selector.get("matchLabels", {}).values())
    assert len(selected) >= 8
    for title, components in selected.items():
        assert components, title
        assert components <= set(WORKLOADS), title


def test_the_example_lets_in_the_controller_and_the_prometheus_that_it_names(
    rendered: dict[str, list[Manifest]],
) -> None:
    made = rendered["example"]
    policies = [one for one in made if one["kind"] == "NetworkPolicy"]
    (ingress,) = [one for one in made if one["kind"] == "Ingress"]
    (receiver,) = [
        one for one in made if one["kind"] == "Deployment" and one["metadata"]["name"] == "receiver"
    ]
    template = receiver["spec"]["template"]
    ports = {one["name"]: one["containerPort"] for one in template["spec"]["containers"][0]["ports"]}
    pod = Endpoint("10.0.0.1", "spacebridge", template["metadata"]["labels"], ports)
    let_in = {
        namespace
        for namespace in (ingress["spec"]["ingressClassName"], "monitoring", "ingress", "default")
        if may_connect(policies, Endpoint("10.0.0.2", namespace), pod, ports["http"])
    }
    assert let_in == {ingress["spec"]["ingressClassName"], "monitoring"}


def test_the_probes_ask_for_pages_that_there_are_at_the_port_that_is_served() -> None:
    settings = Settings(secret_key=make_key())
    pages = {str(rule) for rule in create_app(settings).url_map.iter_rules()}
    container = _container("receiver")
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for kind, page in (("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/readyz")):
        probe = container[f"{kind}Probe"]["httpGet"]
        assert probe["path"] == page
        assert page in pages
        assert ports[probe["port"]] == int(gunicorn_setting("bind").rpartition(":")[2])


def test_workers_are_probed_by_the_check_that_the_image_holds() -> None:
    command = _container("worker")["livenessProbe"]["exec"]["command"]
    assert command[:2] == ["python", "-I"]
    assert f"COPY deploy/healthcheck.py {command[2]}" in (FOLDER.parent / "Dockerfile").read_text()


def test_the_ports_that_are_named_are_those_of_the_containers() -> None:
    for name in ("receiver", "worker"):
        ports = [port["containerPort"] for port in _container(name)["ports"]]
        annotations = WORKLOADS[name]["spec"]["template"]["metadata"]["annotations"]
        assert [int(annotations["prometheus.io/port"])] == ports
    environment = {one["name"]: one["value"] for one in _container("worker")["env"]}
    assert environment["SPACEBRIDGE_METRICS_PORT"] == "9540"
    (service,) = [one for one in MANIFESTS.values() if one["kind"] == "Service"]
    assert [port["targetPort"] for port in service["spec"]["ports"]] == ["http"]
    (ingress,) = [one for one in MANIFESTS.values() if one["kind"] == "Ingress"]
    paths = ingress["spec"]["rules"][0]["http"]["paths"]
    assert [path["path"] for path in paths] == ["/webhooks/", "/connect/"]
    for path in paths:
        assert path["backend"]["service"] == {"name": service["metadata"]["name"], "port": {"name": "http"}}


def test_the_ingress_takes_deliveries_whole_by_https_alone_and_up_to_the_receivers_limit() -> None:
    (ingress,) = _read(FOLDER / "example" / "ingress.yaml")
    (middleware,) = _read(FOLDER / "example" / "traefik.yaml")
    (example,) = _read(FOLDER / "example" / "kustomization.yaml")
    annotations = ingress["metadata"]["annotations"]
    prefix = "traefik.ingress.kubernetes.io/router"
    assert annotations[f"{prefix}.entrypoints"] == "websecure"
    named = f"{example['namespace']}-{middleware['metadata']['name']}@kubernetescrd"
    assert annotations[f"{prefix}.middlewares"] == named
    assert (middleware["apiVersion"], middleware["kind"]) == (TRAEFIK, "Middleware")
    assert set(middleware["spec"]) == {"buffering"}
    assert middleware["spec"]["buffering"]["maxRequestBodyBytes"] > MAX_BODY_BYTES


def test_the_pods_are_given_the_time_they_take_to_stop() -> None:
    wait = int(_container("receiver")["lifecycle"]["preStop"]["exec"]["command"][1])
    assert _pod("receiver")["terminationGracePeriodSeconds"] > wait + gunicorn_setting("graceful_timeout")
    assert _pod("worker")["terminationGracePeriodSeconds"] > 90


def test_the_parts_are_started_as_docker_compose_starts_them() -> None:
    compose = yaml.safe_load((FOLDER.parents[1] / "docker-compose.yml").read_text())
    for name in WORKLOADS:
        assert _container(name)["args"] == compose["services"][name]["command"]
        assert "command" not in _container(name)  # it would take the place of the image's init
