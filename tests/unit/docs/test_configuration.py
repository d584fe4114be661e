"""docs/configuration.md and docs/stores.md list every setting and every option, with the code's defaults."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from bridge.admin import store_options
from bridge.settings import PREFIX, Settings
from tests.documents import ROOT, table

SETTINGS = {row[0].strip("`"): row[1] for row in table(ROOT / "docs" / "configuration.md", "Settings")}
OPTIONS = {row[0].strip("`"): row[1] for row in table(ROOT / "docs" / "stores.md", "Options")}


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


def test_every_option_of_a_store_is_documented() -> None:
    assert OPTIONS.keys() == set(store_options.NAMES)


@pytest.mark.parametrize("name", store_options.NAMES)
def test_the_documented_default_of_an_option_is_the_codes(name: str) -> None:
    defaults = store_options.as_mapping(store_options.of_new_store(datetime.now(UTC)))
    if name in store_options.LEARNED:
        assert not OPTIONS[name].startswith("`")  # words say where the bridge learns it
    else:
        assert OPTIONS[name] == f"`{store_options.written(defaults[name])}`"
