"""Alert rules, runbook and dashboard name what there is, and the rules fire when they are to."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.issuance import LABELS
from bridge.ledger.shop_webhooks import TOPICS
from tests import ROOT

MONITORING = ROOT / "deploy" / "monitoring"
SECTION = (ROOT / "docs" / "runbook.md").read_text().partition("\n## Alerts\n")[2].partition("\n## ")[0]
METRICS = (ROOT / "docs" / "configuration.md").read_text().partition("\n## Metrics\n")[2]

RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
TEST_FILES = ("alerts_test.yml", "silence_test.yml")
DASHBOARD: dict[str, Any] = json.loads(
    (MONITORING / "grafana" / "dashboards" / "spacebridge.json").read_text()
)
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
GRAPHS = [panel for panel in PANELS if panel["type"] != "row"]

ANY = None  # whatever value a label has
DELIVERED = {"accepted", "duplicate", "ignored", "refused", "too_large", "unknown_store", "unavailable"}
ATTEMPTED = {"issued", "refused", "account_refused", "not_taken", "unknown"}
# What the processes tell: each metric's labels, and which values they may have.
Labels = Mapping[str, set[str] | None]
TOLD: dict[str, Labels] = {
    "spacebridge_deliveries_total": {"store": ANY, "outcome": DELIVERED},
    "spacebridge_decisions_total": {"decision": set(LABELS), "reason": ANY},
    "spacebridge_attempts_total": {"store": ANY, "outcome": ATTEMPTED},
    "spacebridge_retries_total": {"store": ANY},
    "spacebridge_api_answers_total": {"request": ANY, "status": ANY},
    "spacebridge_issuances_open": {"state": {"due", "sending", "held", "failed"}},
    "spacebridge_deliveries_kept": {"state": {"failed", "unreadable", "quarantined"}},
    "spacebridge_orders_waiting": {"reason": {"pending", "pending_paid", "unknown_status"}},
    "spacebridge_late_seconds": {"store": ANY},
    "spacebridge_inactive_store_orders": {"store": ANY},
    "spacebridge_last_refused_timestamp_seconds": {"store": ANY},
    "spacebridge_shop_failing_seconds": {"store": ANY},
    "spacebridge_absences": {"store": ANY},
    "spacebridge_webhook_off": {"store": ANY, "topic": set(TOPICS), "status": ANY},
    "spacebridge_orders_found": {"store": ANY, "reason": ANY},
    "spacebridge_silent_seconds": {"store": ANY, "topic": {"order.created", "order.updated"}},
    "spacebridge_info": {"version": ANY},
    **{
        f"spacebridge_{name}": {}
        for name in (
            "deliveries_unprocessed",
            "oldest_unprocessed_seconds",
            "oldest_due_seconds",
            "stores_paused",
            "orders_attention",
            "orders_attention_recent",
            "stores_without_config",
            "queue_messages",
            "broker_up",
            "ledger_up",
            "last_sweep_timestamp_seconds",
        )
    },
    **{f"spacebridge_ack_seconds_{part}": {"le": ANY} for part in ("bucket", "sum", "count")},
    **{f"spacebridge_api_seconds_{part}": {"le": ANY, "request": ANY} for part in ("bucket", "sum", "count")},
}
# What Prometheus adds to that.
KNOWN: dict[str, Labels] = {
    **{
        name: {"job": {"spacebridge-receiver", "spacebridge-worker"}, "instance": ANY, **of}
        for name, of in TOLD.items()
    },
    "up": {"job": {"spacebridge-receiver", "spacebridge-worker"}, "instance": ANY},
    "ALERTS": {
        "alertname": ANY,
        "alertstate": {"pending", "firing"},
        "severity": {"page", "ticket"},
        "store": ANY,
        "instance": ANY,
        "reason": ANY,
        "topic": ANY,
        "status": ANY,
    },
    **{rule["record"]: {"store": ANY} for rule in RULES if "record" in rule},
}

_NO_METRICS = re.compile(r"\[[^\]]*\]|\boffset\s+\w+|\b(?:and|or|unless)\b|\b(?:by|on)\s*\([^)]*\)")
_NAMED = re.compile(r"(?<![\w:])([A-Za-z_:][\w:]*)\s*(\{[^}]*\}|\()?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPED = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")

with_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="there is no promtool here")
each_alert = pytest.mark.parametrize(
    "rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}"
)
each_graph = pytest.mark.parametrize("panel", GRAPHS, ids=lambda panel: panel["title"])


def _selectors(expression: str) -> Iterator[tuple[str, str]]:
    """The metrics that an expression names, each with its matchers."""
    for name, after in _NAMED.findall(_NO_METRICS.sub(" ", expression)):
        if after != "(":  # or else it is a function
            yield name, after


def _unknown_in(expression: str) -> list[str]:
    """What an expression names that there is not: metrics, their labels, and those labels' values."""
    expression = expression.replace("$__rate_interval", "5m")
    wrong: list[str] = []
    labels: set[str] = set()
    for name, matchers in _selectors(expression):
        if name not in KNOWN:
            wrong.append(name)
            continue
        labels |= KNOWN[name].keys()
        for label, operator, text in _MATCHER.findall(matchers):
            if label not in KNOWN[name]:
                wrong.append(f"{name}{{{label}}}")
            allowed = KNOWN[name].get(label)
            values = text.split("|") if operator.endswith("~") else [text]
            wrong += [value for value in values if allowed is not None and value not in allowed]
    grouped = {label.strip() for inside in _GROUPED.findall(expression) for label in inside.split(",")}
    return wrong + sorted(grouped - labels - {""})


@pytest.mark.parametrize(
    ("expression", "unknown"),
    [
        ('sum by (store) (rate(spacebridge_deliveries_total{outcome="accepted"}[5m])) > 1', []),
        ("max(spacebridge_brokerup) == 0", ["spacebridge_brokerup"]),
        ('up{job="receiver"} unless on () max(up offset 1h)', ["receiver"]),
        ('spacebridge_issuances_open{stat=~"held"}', ["spacebridge_issuances_open{stat}"]),
        ('spacebridge_attempts_total{outcome=~"issued|lost"}', ["lost"]),
        ("sum by (store) (spacebridge_stores_paused)", ["store"]),
    ],
)
def test_what_an_expression_names_and_there_is_not_is_found(expression: str, unknown: list[str]) -> None:
    assert _unknown_in(expression) == unknown


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_names_only_what_the_bridge_tells(rule: dict[str, Any]) -> None:
    assert list(_selectors(rule["expr"]))
    assert _unknown_in(rule["expr"]) == []


@each_alert
def test_an_alert_says_how_urgent_it_is_what_it_means_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert all(text.endswith(".") for key, text in rule["annotations"].items() if key != "runbook_url")
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_each_alert_has_a_paragraph_in_the_runbook_and_each_paragraph_an_alert() -> None:
    headings = re.findall(r"^### (.+)$", SECTION, flags=re.MULTILINE)
    assert len(headings) == len(set(headings))
    assert {heading for heading in headings if heading.startswith("Spacebridge")} == {
        rule["alert"] for rule in ALERTS
    }


def test_panels_that_the_runbook_names_are_on_the_dashboard() -> None:
    named = re.findall(r'[Dd]ashboard[,\s]+\(?"([^"]+)"', " ".join(SECTION.split()))
    assert named
    assert set(named) <= {panel["title"] for panel in GRAPHS}


def test_every_metric_is_documented() -> None:
    documented = set(re.findall(r"`(spacebridge_\w+)", METRICS))
    assert documented == {re.sub("_(bucket|sum|count)$", "", name) for name in TOLD}


def test_each_alert_is_tried_with_figures_under_which_it_fires_and_others_under_which_it_does_not() -> None:
    fires, is_quiet = set(), set()
    for file in TEST_FILES:
        for test in yaml.safe_load((MONITORING / file).read_text())["tests"]:
            for case in test["promql_expr_test"]:
                if not case["exp_samples"]:
                    is_quiet |= {
                        name for label, _, name in _MATCHER.findall(case["expr"]) if label == "alertname"
                    }
                for sample in case["exp_samples"]:
                    labels = {label: text for label, _, text in _MATCHER.findall(sample["labels"])}
                    fires.add((labels["alertname"], labels["severity"]))
    assert fires == {(rule["alert"], rule["labels"]["severity"]) for rule in ALERTS}
    assert is_quiet >= {rule["alert"] for rule in ALERTS}


def _promtool(*arguments: str) -> None:
    result = subprocess.run(
        ["promtool", *arguments], cwd=MONITORING, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


@with_promtool
def test_prometheus_takes_the_rules() -> None:
    _promtool("check", "rules", "alerts.yml")


@with_promtool
@pytest.mark.parametrize("file", TEST_FILES)
def test_the_alerts_fire_when_they_are_to_and_only_then(file: str) -> None:
    _promtool("test", "rules", file)


def test_the_dashboard_can_be_provisioned() -> None:
    assert DASHBOARD["uid"] == "spacebridge"
    assert DASHBOARD["schemaVersion"] >= 38  # Grafana 10
    assert "id" not in DASHBOARD  # which is Grafana's to give
    assert "__inputs" not in DASHBOARD  # which only an import by hand fills in
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["datasource", "store"]


def test_panels_have_ids_of_their_own_and_lie_side_by_side() -> None:
    ids = [panel["id"] for panel in PANELS]
    assert len(ids) == len(set(ids))
    for panel in PANELS:
        at = panel["gridPos"]
        assert at["x"] >= 0
        assert at["x"] + at["w"] <= 24
    for one, other in combinations([panel["gridPos"] for panel in PANELS], 2):
        is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        is_below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert is_beside or is_below, (one, other)


@each_graph
def test_a_panel_says_what_it_shows_and_asks_for_what_there_is(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"]
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert panel["datasource"] == chosen
    assert panel["targets"]
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    for target in panel["targets"]:
        assert target["datasource"] == chosen
        assert list(_selectors(target["expr"]))
        assert _unknown_in(target["expr"]) == []


def test_all_that_the_bridge_tells_is_on_the_dashboard() -> None:
    shown = {
        name for panel in GRAPHS for target in panel["targets"] for name, _ in _selectors(target["expr"])
    }
    assert shown >= {name for name in TOLD if not name.endswith(("_sum", "_count"))}


@with_promtool
def test_prometheus_understands_what_the_panels_ask_for(tmp_path: Path) -> None:
    asked = [target["expr"] for panel in GRAPHS for target in panel["targets"]]
    rules = [
        {
            "record": f"panel:{number}",
            "expr": expr.replace("$__rate_interval", "5m").replace("$store", "shop|other"),
        }
        for number, expr in enumerate(asked)
    ]
    assert not any("$" in rule["expr"] for rule in rules)
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    _promtool("check", "rules", str(file))
