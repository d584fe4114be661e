"""docker-compose.yml starts what there is, closed to the outside, within limits, with secrets from files."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import click
import pytest
import yaml

from bridge.cli.command import cli
from bridge.cli.sandbox import sandbox
from tests import ROOT
from tests.support.gunicorn_settings import gunicorn_setting

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOTS = {"migrate", "demo"}
PARTS = {"receiver", "worker"}
SECRETS_SCRIPT = (ROOT / "deploy" / "make-secrets.sh").read_text()

every_service = pytest.mark.parametrize("name", SERVICES)


def _environment_file(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def _has_docker_compose() -> bool:
    command = ["docker", "compose", "version"]
    return (
        bool(shutil.which("docker"))
        and not subprocess.run(command, capture_output=True, check=False).returncode
    )


@pytest.mark.skipif(not _has_docker_compose(), reason="there is no docker compose here")
@pytest.mark.parametrize("file", [".env.example", "deploy/demo/demo.env"])
def test_docker_compose_takes_the_file(file: str) -> None:
    command = ["docker", "compose", "--env-file", file, "config", "--quiet"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_plain_up_starts_the_bridge_and_what_it_needs() -> None:
    without_profile = {name for name, service in SERVICES.items() if "profiles" not in service}
    assert without_profile == PARTS | {"migrate", "postgres", "redis"}


def test_only_the_receiver_is_published_and_only_to_this_host() -> None:
    published = {
        name: service["ports"]
        for name, service in SERVICES.items()
        if "ports" in service and "profiles" not in service
    }
    assert published == {"receiver": ["${RECEIVER_ADDRESS:-127.0.0.1}:${RECEIVER_PORT:-8080}:8080"]}


def test_of_the_profiles_only_tls_opens_a_port_to_others() -> None:
    open_to_all = {
        name
        for name, service in SERVICES.items()
        for port in service.get("ports", ())
        if not port.startswith(("127.0.0.1:", "${RECEIVER_ADDRESS:-127.0.0.1}:"))
    }
    assert open_to_all == {"caddy"}


@every_service
def test_a_service_has_limits(name: str) -> None:
    limits = SERVICES[name]["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory", "pids"}


@every_service
def test_a_service_starts_anew_unless_it_is_done(name: str) -> None:
    assert SERVICES[name]["restart"] == ("no" if name in ONE_SHOTS else "unless-stopped")


@every_service
def test_a_service_tells_how_it_is_unless_it_is_soon_done(name: str) -> None:
    service = SERVICES[name]
    if name in ONE_SHOTS:
        assert service["healthcheck"] == {"disable": True}
    elif name in PARTS:
        assert "healthcheck" not in service  # the image's
        assert service["build"]["dockerfile"] == "deploy/Dockerfile"
    else:
        assert {"test", "interval", "timeout", "retries", "start_period"} == set(service["healthcheck"])


@every_service
def test_a_service_may_write_to_its_volumes_only_and_gain_no_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert "/tmp" in service["tmpfs"]  # noqa: S108
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "caddy" else [])
    assert "no-new-privileges:true" in service["security_opt"]
    assert not {"privileged", "container_name", "network_mode", "pid"} & set(service)


@every_service
def test_the_logs_of_a_service_are_bounded(name: str) -> None:
    assert set(SERVICES[name]["logging"]["options"]) == {"max-size", "max-file"}


@every_service
def test_an_image_is_named_without_a_registry(name: str) -> None:
    image = re.sub(r"\$\{\w+:-(.*)\}", r"\1", SERVICES[name]["image"])
    assert re.fullmatch(r"([a-z]+/)?[a-z]+(:v?[0-9.]+)?", image)
    assert ":" in image or "build" in SERVICES[name]


@every_service
def test_secrets_come_from_files_and_are_in_no_environment(name: str) -> None:
    service = SERVICES[name]
    for secret in service.get("secrets", ()):
        assert COMPOSE["secrets"][secret] == {"file": f"./secrets/{secret}"}
    for variable, value in (service.get("environment") or {}).items():
        if re.search("PASSWORD|TOKEN|SECRET|KEY|DATABASE_URL|BROKER_URL", variable):
            if variable.startswith("DEMO_"):
                continue  # known to everyone, and good for the sandbox alone
            assert variable.endswith("_FILE")
            assert value.removeprefix("/run/secrets/") in service["secrets"]


def test_each_secret_is_one_that_the_script_makes() -> None:
    assert set(COMPOSE["secrets"]) == set(re.findall(r"\| keep (\w+)$", SECRETS_SCRIPT, re.MULTILINE))


def test_the_parts_wait_for_the_migration_and_the_migration_for_the_database() -> None:
    for part in PARTS:
        wanted = SERVICES[part]["depends_on"]
        assert wanted["migrate"]["condition"] == "service_completed_successfully"
        assert wanted["redis"]["condition"] == "service_healthy"
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    program, group, command = SERVICES["migrate"]["command"]
    commands = cli.get_command(click.Context(cli), group)
    assert program == "spacebridge"
    assert isinstance(commands, click.Group)
    assert command in commands.commands


def test_the_parts_are_given_the_time_they_take_to_stop() -> None:
    graces = {name: int(SERVICES[name]["stop_grace_period"].removesuffix("s")) for name in PARTS}
    assert graces["receiver"] > gunicorn_setting("graceful_timeout")
    assert graces["worker"] > 90


def test_postgresql_and_redis_are_reached_from_the_bridge_alone() -> None:
    assert COMPOSE["networks"]["data"]["internal"] is True
    for name in ("postgres", "redis"):
        assert SERVICES[name]["networks"] == ["data"]
    in_it = {name for name, service in SERVICES.items() if "data" in service.get("networks", ())}
    assert in_it == PARTS | {"migrate", "demo", "postgres", "redis"}


def test_redis_keeps_what_it_has_and_drops_nothing() -> None:
    command = SERVICES["redis"]["command"]
    options = dict(zip(command[2::2], command[3::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"


@every_service
def test_what_is_mounted_is_there(name: str) -> None:
    for volume in SERVICES[name].get("volumes", ()):
        source, target, *mode = volume.split(":")
        if not source.startswith("./"):
            assert source in COMPOSE["volumes"]
            continue
        assert mode == ["ro"]
        # The dashboards' folder may be empty, and git keeps no empty ones.
        assert (ROOT / source).exists() or target == "/etc/grafana/dashboards"


def test_the_demo_is_a_project_of_its_own_that_sends_to_the_sandbox() -> None:
    demo = _environment_file("deploy/demo/demo.env")
    assert demo["COMPOSE_PROJECT_NAME"] != COMPOSE["name"]
    assert demo["COMPOSE_PROFILES"] == "demo"
    assert demo["SPACEBRIDGE_API_URL"] == "http://sandbox:8090/v1"
    arguments = [re.sub(r"\$\{\w+:-(.*)\}", r"\1", word) for word in SERVICES["sandbox"]["command"][2:]]
    assert sandbox.make_context("sandbox", arguments).params["port"] == 8090


def test_prometheus_asks_services_that_there_are_at_ports_that_they_have() -> None:
    config = yaml.safe_load((ROOT / "deploy/monitoring/prometheus.yml").read_text())
    asked = {
        (name, lookup["port"])
        for job in config["scrape_configs"]
        for lookup in job["dns_sd_configs"]
        for name in lookup["names"]
    }
    worker_port = int(SERVICES["worker"]["environment"]["SPACEBRIDGE_METRICS_PORT"])
    assert asked == {("receiver", 8080), ("worker", worker_port)}
