"""The image is made of what the lock file names, holds no more than the bridge, and does not run as root."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

from bridge import __version__
from bridge.settings import Settings
from tests import ROOT

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
HADOLINT = Path(sysconfig.get_path("scripts")) / "hadolint"


@pytest.fixture
def instructions() -> list[tuple[str, str]]:
    """Each instruction with its arguments, in order."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in text.splitlines()) if word]


@pytest.fixture
def last_stage(instructions: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """What makes the image; the stages before it are thrown away."""
    start = max(place for place, (word, _) in enumerate(instructions) if word == "FROM")
    return instructions[start:]


def test_the_linter_has_nothing_to_say() -> None:
    result = subprocess.run(
        [HADOLINT, "--no-color", "--failure-threshold", "style", DOCKERFILE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "")


def test_the_linter_would_say_something(tmp_path: Path) -> None:
    sloppy = tmp_path / "Dockerfile"
    sloppy.write_text(DOCKERFILE.read_text() + "USER root\nRUN pip install flask\n")
    result = subprocess.run(
        [HADOLINT, "--no-color", "--failure-threshold", "style", sloppy],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert {"DL3002", "DL3013"} <= set(re.findall(r"DL\d+", result.stdout))


def test_the_base_is_a_slim_python_without_a_registry(instructions: list[tuple[str, str]]) -> None:
    bases = [rest.split()[0] for word, rest in instructions if word == "FROM"]
    assert set(bases) == {"${PYTHON}"}
    assert ("ARG", "PYTHON=python:3.13-slim") in instructions


def test_dependencies_are_the_locked_ones(instructions: list[tuple[str, str]]) -> None:
    installs = [rest for word, rest in instructions if word == "RUN" and re.search(r"\bpip\b", rest)]
    assert all("--require-hashes" in rest or "--no-index" in rest for rest in installs)
    assert any("--require-hashes --requirement requirements.lock" in rest for rest in installs)


def test_the_image_runs_by_number_and_not_as_root(last_stage: list[tuple[str, str]]) -> None:
    assert [rest for word, rest in last_stage if word == "USER"] == ["10001:10001"]


def test_signals_are_passed_on_by_an_init(last_stage: list[tuple[str, str]]) -> None:
    assert ("ENTRYPOINT", '["tini", "--"]') in last_stage


def test_the_image_tells_how_it_is(last_stage: list[tuple[str, str]]) -> None:
    assert [word for word, _ in last_stage].count("HEALTHCHECK") == 1


def test_the_image_is_labelled_with_the_version_it_holds(last_stage: list[tuple[str, str]]) -> None:
    assert ("ARG", f"VERSION={__version__}") in last_stage
    labels = next(rest for word, rest in last_stage if word == "LABEL")
    assert 'org.opencontainers.image.version="${VERSION}"' in labels


def test_no_secret_is_a_part_of_the_image(instructions: list[tuple[str, str]]) -> None:
    given = " ".join(rest for word, rest in instructions if word in {"ARG", "ENV"})
    secret = [name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)]
    assert secret
    assert not [name for name in secret if f"SPACEBRIDGE_{name.upper()}" in given]


def test_the_build_is_given_what_it_copies_and_nothing_else(instructions: list[tuple[str, str]]) -> None:
    copied = {
        source
        for word, rest in instructions
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == copied
    assert all((ROOT / source).exists() for source in copied)
