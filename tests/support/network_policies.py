"""Who may talk to whom, by the rules of Kubernetes' NetworkPolicies (networking.k8s.io/v1).

A connection needs both: its source may send it, and its target may receive it. A pod that no policy selects
for a direction is free in it; one that policies select has what any one of them allows, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

NAMESPACE_NAME = "kubernetes.io/metadata.name"  # a label that Kubernetes gives each namespace

Policy = Mapping[str, Any]


@dataclass(frozen=True)
class Endpoint:
    """A pod, or with no namespace an address outside of the cluster. `ports`: those that have a name."""

    address: str
    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)


def may_connect(
    policies: Iterable[Policy], source: Endpoint, target: Endpoint, port: int, protocol: str = "TCP"
) -> bool:
    """Whether these policies let a connection from the one to the other's port."""
    policies = list(policies)
    return _allows(policies, "Egress", source, target, (target, protocol, port)) and _allows(
        policies, "Ingress", target, source, (target, protocol, port)
    )


def _allows(
    policies: list[Policy], direction: str, pod: Endpoint, peer: Endpoint, at: tuple[Endpoint, str, int]
) -> bool:
    """Whether `pod` may have such a connection with `peer`, as far as its own policies go."""
    chosen = [one for one in policies if direction in _types(one) and _is_selected(pod, one)]
    if not chosen:
        return True
    peers = {"Egress": "to", "Ingress": "from"}[direction]
    return any(
        _is_peer(peer, rule.get(peers), policy["metadata"]["namespace"]) and _is_port(rule.get("ports"), *at)
        for policy in chosen
        for rule in policy["spec"].get(direction.lower()) or ()
    )


def _types(policy: Policy) -> list[str]:
    """The directions it is about. Egress is, unless said otherwise, only if it has a rule for it."""
    spec = policy["spec"]
    types: list[str] = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    return types


def _is_selected(pod: Endpoint, policy: Policy) -> bool:
    return pod.namespace == policy["metadata"]["namespace"] and _matches(
        pod.labels, policy["spec"]["podSelector"]
    )


def _is_peer(peer: Endpoint, choices: list[Mapping[str, Any]] | None, own_namespace: str) -> bool:
    """No list, and an empty one, mean everyone."""
    return not choices or any(_is_this_peer(peer, one, own_namespace) for one in choices)


def _is_this_peer(peer: Endpoint, choice: Mapping[str, Any], own_namespace: str) -> bool:
    if (block := choice.get("ipBlock")) is not None:
        address = ip_address(peer.address)
        return address in ip_network(block["cidr"]) and not any(
            address in ip_network(one) for one in block.get("except", ())
        )
    if peer.namespace is None:
        return False
    if "namespaceSelector" in choice:
        namespace_fits = _matches({NAMESPACE_NAME: peer.namespace}, choice["namespaceSelector"])
    else:
        namespace_fits = peer.namespace == own_namespace
    return namespace_fits and _matches(peer.labels, choice.get("podSelector", {}))


def _is_port(choices: list[Mapping[str, Any]] | None, target: Endpoint, protocol: str, port: int) -> bool:
    if not choices:
        return True
    for one in choices:
        if one.get("protocol", "TCP") != protocol:
            continue
        first = one.get("port")
        if isinstance(first, str):
            first = target.ports.get(first, -1)  # a pod without a port of that name has none to match
        if first is None or first <= port <= one.get("endPort", first):
            return True
    return False


def _matches(labels: Mapping[str, str], selector: Mapping[str, Any]) -> bool:
    """Whether all that the selector asks for holds; it may ask for nothing."""
    return all(
        labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items()
    ) and all(_holds(labels, one) for one in selector.get("matchExpressions") or ())


def _holds(labels: Mapping[str, str], expression: Mapping[str, Any]) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case operator:
            raise ValueError(f"no operator of a label selector: {operator}")
