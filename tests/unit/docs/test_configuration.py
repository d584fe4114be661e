"""docs/configuration.md lists every setting with its default."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from bridge.settings import PREFIX, Settings
from tests import ROOT
from tests.support.documents import table

SETTINGS = {row[0].strip("`"): row[1] for row in table(ROOT / "docs" / "configuration.md", "Settings")}


def test_every_setting_is_documented() -> None:
    assert list(SETTINGS) == [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_documented_default_of_a_setting_is_the_codes(name: str) -> None:
    default = Settings.model_fields[name].default
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    documented = SETTINGS[f"{PREFIX}{name.upper()}"]
    if default in (None, "", ()):
        assert not documented.startswith("`")  # words say what holds without the setting
    else:
        assert documented == f"`{str(default).lower() if isinstance(default, bool) else default}`"
