"""The options of `spacebridge sandbox --shop`."""

from __future__ import annotations

import click
import pytest

from bridge.cli.sandbox_shop import fault_of


def test_a_fault_names_the_answer_and_its_share() -> None:
    assert fault_of("busy=0.2") == ("busy", 0.2)
    assert fault_of("flood") == ("flood", 1.0)


@pytest.mark.parametrize("text", ["rain", "busy=often", "busy=2", "busy=nan", "=0.2"])
def test_what_is_no_fault_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"busy|0 to 1"):
        fault_of(text)
