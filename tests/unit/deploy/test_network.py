"""Who may reach whom in Kubernetes: each pair that the bridge needs, and no other."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
import yaml

from tests import ROOT
from tests.support.network_policies import Endpoint, may_connect

BASE = ROOT / "deploy" / "kubernetes" / "base"
NAME, COMPONENT = "app.kubernetes.io/name", "app.kubernetes.io/component"
NAMESPACE = "spacebridge"
POLICIES = list(yaml.safe_load_all((BASE / "network.yaml").read_text()))
for _policy in POLICIES:  # as kustomize does
    _policy["metadata"]["namespace"] = NAMESPACE

RECEIVES, SERVES_METRICS = 8080, 9540


def _pod(component: str, address: str) -> Endpoint:
    """A pod of the bridge, as its workload and kustomize label it."""
    [workload] = [
        one
        for one in yaml.safe_load_all((BASE / f"{component}.yaml").read_text())
        if one["kind"] in {"Deployment", "Job"}
    ]
    template = workload["spec"]["template"]
    [container] = template["spec"]["containers"]
    return Endpoint(
        address,
        NAMESPACE,
        {NAME: "spacebridge", **template["metadata"]["labels"]},
        {port["name"]: port["containerPort"] for port in container.get("ports", ())},
    )


BRIDGE = {
    name: _pod(name, f"10.1.0.{number}")
    for number, name in enumerate(["receiver", "worker", "migrate"], start=1)
}
OTHERS = {
    "ingress controller": Endpoint("10.1.1.1", "ingress", {"app": "traefik"}),
    "Prometheus": Endpoint("10.1.1.2", "monitoring", {"app": "prometheus"}),
    "DNS": Endpoint("10.1.1.3", "kube-system", {"k8s-app": "kube-dns"}),
    "another's pod": Endpoint("10.1.1.4", "shop", {"app": "wordpress"}),
    "a pod beside the bridge": Endpoint("10.1.1.5", NAMESPACE, {"app": "debug"}),
    "one that calls itself the bridge elsewhere": Endpoint(
        "10.1.1.6", "shop", {NAME: "spacebridge", COMPONENT: "receiver"}
    ),
    "PostgreSQL in the cluster": Endpoint("10.1.2.1", "databases", {"app": "postgres"}),
    "PostgreSQL of a provider": Endpoint("192.168.7.7"),
    "Redis in the cluster": Endpoint("10.1.2.2", "databases", {"app": "redis"}),
    "Redis of a provider": Endpoint("203.0.113.7"),
    "Space Invoices": Endpoint("203.0.113.80"),
    "Space Invoices by IPv6": Endpoint("2001:db8::80"),
    "a shop": Endpoint("198.51.100.80"),
    "the provider's metadata": Endpoint("169.254.169.254"),
    "a machine of the house": Endpoint("10.9.9.9"),
    "a machine of the house by IPv6": Endpoint("fd00::9"),
}
EVERYONE = {**BRIDGE, **OTHERS}
NUMBERS = {
    port["port"]
    for policy in POLICIES
    for rule in (*policy["spec"].get("egress", ()), *policy["spec"].get("ingress", ()))
    for port in rule.get("ports", ())
    if isinstance(port["port"], int)
}
# Those that a policy names, those that are served, and some that nobody has a use for.
PORTS = [("TCP", number) for number in sorted({*NUMBERS, RECEIVES, SERVES_METRICS, 22, 80, 40000})]
PORTS += [("UDP", 53), ("UDP", 443)]

Connection = tuple[str, str, str, int]


def _needed() -> set[Connection]:
    """What docs/deployment.md and the design name: who connects to whom, at which port."""
    named: set[Connection] = {
        ("ingress controller", "receiver", "TCP", RECEIVES),
        ("Prometheus", "receiver", "TCP", RECEIVES),
        ("Prometheus", "worker", "TCP", SERVES_METRICS),
        ("worker", "Space Invoices", "TCP", 443),
        ("worker", "Space Invoices by IPv6", "TCP", 443),
        ("worker", "a shop", "TCP", 443),
        ("receiver", "a shop", "TCP", 443),
    }
    for name in BRIDGE:
        named |= {(name, "DNS", "TCP", 53), (name, "DNS", "UDP", 53)}
        named |= {(name, f"PostgreSQL {where}", "TCP", 5432) for where in ("in the cluster", "of a provider")}
    for name in ("receiver", "worker"):
        named |= {(name, f"Redis {where}", "TCP", 6379) for where in ("in the cluster", "of a provider")}
    return named


NEEDED = _needed()


def allowed(policies: list[Any]) -> set[Connection]:
    """All connections from the bridge's pods, and to them, that these policies let through."""
    return {
        (source, target, protocol, port)
        for source, target in itertools.permutations(EVERYONE, 2)
        if source in BRIDGE or target in BRIDGE
        for protocol, port in PORTS
        if may_connect(policies, EVERYONE[source], EVERYONE[target], port, protocol)
    }


@pytest.mark.parametrize("connection", sorted(NEEDED), ids=repr)
def test_what_the_bridge_needs_may_connect(connection: Connection) -> None:
    source, target, protocol, port = connection
    assert may_connect(POLICIES, EVERYONE[source], EVERYONE[target], port, protocol)


def test_nothing_else_may_connect() -> None:
    # The policies name PostgreSQL and Redis by their ports alone, for they may be anywhere.
    by_port = {"receiver": {5432, 6379}, "worker": {5432, 6379}, "migrate": {5432}}
    left = {
        (source, target, protocol, port)
        for source, target, protocol, port in allowed(POLICIES) - NEEDED
        if not (protocol == "TCP" and port in by_port.get(source, set()) and target not in BRIDGE)
    }
    # Any server of the internet may be Space Invoices or a shop.
    in_the_internet = ("Redis of a provider", "Space Invoices", "Space Invoices by IPv6")
    left -= {(name, there, "TCP", 443) for name in ("receiver", "worker") for there in in_the_internet}
    assert left == set()


@pytest.mark.parametrize("name", [policy["metadata"]["name"] for policy in POLICIES])
def test_without_any_one_of_the_policies_something_is_wrong(name: str) -> None:
    others = [policy for policy in POLICIES if policy["metadata"]["name"] != name]
    assert allowed(others) != allowed(POLICIES)


@pytest.mark.parametrize("component", ["receiver", "worker", "migrate"])
def test_a_part_that_one_policy_forgets_is_not_helped_by_what_another_lets_out(component: str) -> None:
    changed = copy.deepcopy(POLICIES)
    [postgresql] = [policy for policy in changed if policy["metadata"]["name"] == "postgresql"]
    [expression] = postgresql["spec"]["podSelector"]["matchExpressions"]
    expression["values"].remove(component)
    lost = allowed(POLICIES) - allowed(changed)
    assert {(source, port) for source, _, _, port in lost} == {(component, 5432)}


# The rules that the above goes by.

WEB = Endpoint("10.0.0.1", "a", {"app": "web"}, {"http": 8080})
DATABASE = Endpoint("10.0.0.2", "a", {"app": "database"})
ELSEWHERE = Endpoint("10.0.0.3", "b", {"app": "web"})


def policy(selector: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "x", "namespace": "a"}, "spec": {"podSelector": selector, **spec}}


OF_WEB, OF_DATABASE = {"matchLabels": {"app": "web"}}, {"matchLabels": {"app": "database"}}


def test_without_a_policy_everyone_may_talk_to_everyone() -> None:
    assert may_connect([], WEB, DATABASE, 5432)


def test_a_policy_of_the_target_is_not_made_up_for_by_one_of_the_source() -> None:
    lets_out = policy(OF_WEB, policyTypes=["Egress"], egress=[{}])
    lets_none_in = policy(OF_DATABASE, policyTypes=["Ingress"])
    assert may_connect([lets_out], WEB, DATABASE, 5432)
    assert not may_connect([lets_out, lets_none_in], WEB, DATABASE, 5432)
    lets_web_in = policy(OF_DATABASE, ingress=[{"from": [{"podSelector": OF_WEB}]}])
    assert may_connect([lets_out, lets_none_in, lets_web_in], WEB, DATABASE, 5432)
    assert not may_connect([lets_out, lets_none_in, lets_web_in], ELSEWHERE, DATABASE, 5432)


def test_a_policy_without_types_is_about_egress_only_if_it_has_rules_for_it() -> None:
    assert may_connect([policy(OF_WEB)], WEB, DATABASE, 5432)
    assert not may_connect([policy(OF_WEB)], DATABASE, WEB, 8080)
    assert not may_connect([policy(OF_WEB, egress=[{"ports": [{"port": 53}]}])], WEB, DATABASE, 5432)


@pytest.mark.parametrize(
    ("ports", "is_let_in"),
    [
        (None, True),
        ([], True),
        ([{"port": 8080}], True),
        ([{"port": "http"}], True),
        ([{"port": "metrics"}], False),
        ([{"port": 8080, "protocol": "UDP"}], False),
        ([{"port": 8000, "endPort": 9000}], True),
        ([{"port": 8081, "endPort": 9000}], False),
        ([{"protocol": "TCP"}], True),
    ],
)
def test_a_rule_is_about_its_ports(ports: list[Any] | None, is_let_in: bool) -> None:
    rule = {} if ports is None else {"ports": ports}
    assert may_connect([policy(OF_WEB, ingress=[rule])], DATABASE, WEB, 8080) is is_let_in


@pytest.mark.parametrize(
    ("peer", "is_let_in"),
    [
        ({"podSelector": {}}, False),  # of the policy's own namespace
        ({"namespaceSelector": {}}, True),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "b"}}}, True),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "c"}}}, False),
        ({"namespaceSelector": {}, "podSelector": OF_DATABASE}, False),
        ({"namespaceSelector": {}, "podSelector": OF_WEB}, True),
        ({"podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}}, False),
        (
            {
                "namespaceSelector": {},
                "podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["x"]}]},
            },
            True,
        ),
        (
            {
                "namespaceSelector": {},
                "podSelector": {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]},
            },
            False,
        ),
        ({"ipBlock": {"cidr": "10.0.0.0/24"}}, True),
        ({"ipBlock": {"cidr": "10.0.0.0/24", "except": ["10.0.0.3/32"]}}, False),
    ],
)
def test_a_rule_is_about_its_peers(peer: dict[str, Any], is_let_in: bool) -> None:
    assert may_connect([policy(OF_WEB, ingress=[{"from": [peer]}])], ELSEWHERE, WEB, 8080) is is_let_in
