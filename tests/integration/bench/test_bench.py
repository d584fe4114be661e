"""The benchmark runs: every case in its small form, whose ratios do not count, and its exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.load import quantile
from bench.results import Bound, Result, alternate
from tests import ROOT

# Each case on one of its databases, those of a group on the same: the other differs in what it is given.
CASES = {
    *("ack-embedded", "ack-broker-down-embedded", "ack-repeats-embedded"),
    *("drain-embedded", "latency-embedded", "start-worker-embedded", "ack-backlog-embedded"),
    *("drain-latency-postgresql", "growth-postgresql", "memory", "rate", "start-up", "reconcile-postgresql"),
}


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the small form of the cases has found."""
    file = tmp_path_factory.mktemp("bench") / "found.json"
    cases = [f"--case={case}" for case in sorted(CASES)]
    done = bench("--smoke", *cases, "--json", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(file.read_text())


def test_every_case_is_measured(smoke: Any) -> None:
    listed = [line.split()[0] for line in bench("--list").stdout.splitlines()]
    assert {_kind(name) for name in listed} == {_kind(name) for name in CASES}
    assert {case["name"] for case in smoke["cases"]} == CASES
    for case in smoke["cases"]:
        assert case["results"], case["name"]
        for result in case["results"]:
            assert len(result["measured"]) == 1
            is_counting = result["what"] == "answers of 429"
            assert is_counting or result["measured_median"] > 0, result


def _kind(case: str) -> str:
    return case.removesuffix("-embedded").removesuffix("-postgresql")


def test_the_machine_is_described(smoke: Any) -> None:
    described = smoke["machine"]
    assert {"processor", "memory", "file system", "fsync", "python", "postgresql", "redis"} <= set(described)
    assert "unknown" not in " ".join(described.values())


def test_a_case_that_cannot_be_run_is_told_and_fails_it_all(tmp_path: Path) -> None:
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "__init__.py").write_text("raise SystemExit('this checkout is broken')")
    file = tmp_path / "found.json"
    done = bench("--smoke", "--case", "start-up", "--checkout", str(tmp_path), "--json", str(file))
    assert done.returncode == 1
    (case,) = json.loads(file.read_text())["cases"]
    assert case["error"]
    assert "failed" in done.stdout


def test_a_case_of_no_such_name_is_refused() -> None:
    done = bench("--case", "acknowledge")
    assert done.returncode == 2
    assert "no case 'acknowledge'" in done.stderr


def test_a_case_is_chosen_with_or_without_its_database() -> None:
    named = bench("--list", "--case", "ack-embedded", "--case", "drain", "--case", "rate")
    assert [line.split()[0] for line in named.stdout.splitlines()] == [
        *("ack-embedded", "drain-embedded", "drain-postgresql", "rate")
    ]


@pytest.mark.parametrize(
    ("bound", "measured", "baseline", "is_reached"),
    [
        (Bound(at_least=0.85), [85.0, 1.0, 900.0], [100.0], True),
        (Bound(at_least=0.85), [84.0], [100.0], False),
        (Bound(at_most=1.5), [15.0], [10.0, 10.0, 1.0], True),
        (Bound(at_most=1.5), [15.1], [10.0], False),
        (Bound(at_least=0.97, at_most=1.03), [51.6], [50.0], False),
        (Bound(at_least=0.97, at_most=1.03), [48.4], [50.0], False),
        (Bound(at_least=0.97, at_most=1.03), [50.9], [50.0], True),
        (Bound(at_most=2.0, is_difference=True), [12.0], [10.0], True),
        (Bound(at_most=2.0, is_difference=True), [12.1], [10.0], False),
        (Bound(at_most=0, is_difference=True), [0.0], [0.0], True),
        (None, [1.0], [100.0], True),
    ],
)
def test_a_bound_is_kept_by_the_medians(
    bound: Bound | None, measured: Sequence[float], baseline: Sequence[float], is_reached: bool
) -> None:
    assert Result("answers", "/s", measured, baseline, bound).is_reached is is_reached


def test_both_sides_are_measured_in_turn_and_each_is_first_as_often() -> None:
    order: list[str] = []
    ours, theirs = alternate(4, lambda: order.append("ours"), lambda: order.append("theirs"))
    assert len(ours) == len(theirs) == 4
    assert order == ["ours", "theirs", "theirs", "ours"] * 2


def test_a_quantile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(1, 101)]
    assert quantile(values, 0.5) == 51
    assert quantile(values, 0.99) == 100
    assert quantile([3.0], 0.99) == 3
