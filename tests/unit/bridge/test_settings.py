"""The settings: where each is read from, and what is said of one that is wrong."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bridge.db import Ledger
from bridge.settings import KEY_FILE, Settings, SettingsError, load_settings
from bridge.vault import Vault
from bridge.vault.encryption import make_key

KEY, OTHER_KEY = make_key(), make_key()
HIDDEN = "hunter2"  # no error may quote it


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.upper().startswith("SPACEBRIDGE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Load the settings from these environment variables, named without their prefix."""

    def load(**environment: str) -> Settings:
        for name, value in environment.items():
            monkeypatch.setenv(f"SPACEBRIDGE_{name}", value)
        return load_settings()

    return load


def assert_says(error: pytest.ExceptionInfo[SettingsError], variable: str) -> str:
    """One line that names the variable and says how to mend it, and tells no secret."""
    said = str(error.value)
    assert said.startswith(variable)
    assert "\n" not in said
    assert said.endswith(".")
    assert "Give " in said or "Name " in said
    assert HIDDEN not in "".join(traceback.format_exception(error.value))
    return said


# Where they come from.


def test_without_any_variable_everything_has_its_default() -> None:
    settings = load_settings()

    assert settings.data_dir == Path("var")
    assert settings.database_url.get_secret_value() == ""
    assert settings.broker_url.get_secret_value() == ""
    assert settings.secret_key == ()
    assert settings.api_url == "https://api.spaceinvoices.com/v1"
    assert settings.api_token.get_secret_value() == ""
    assert settings.api_timeout == 30
    assert settings.request_rate == 50
    assert settings.config_ttl == 300
    assert settings.max_body_bytes == 8 * 1024 * 1024
    assert settings.web_workers is None  # by the cores
    assert settings.trusted_proxies == ()
    assert settings.metrics_port is None
    assert settings.public_url == ""
    assert settings.log_format is None  # as the output is


def test_every_setting_has_its_variable(given: Callable[..., Settings]) -> None:
    settings = given(
        DATA_DIR="/srv/bridge",
        DATABASE_URL="postgresql://user:pass@db/spacebridge",
        BROKER_URL="redis://broker:6379/3",
        SECRET_KEY=f"{KEY}, {OTHER_KEY},",
        API_URL="http://127.0.0.1:9/v1/",
        API_TOKEN="t0ken",
        API_TIMEOUT="1.5",
        REQUEST_RATE="0.5",
        CONFIG_TTL="1",
        MAX_BODY_BYTES="1024",
        WEB_WORKERS="3",
        TRUSTED_PROXIES="10.0.0.0/8, 192.0.2.1,2001:db8::/32,",
        METRICS_PORT="9540",
        PUBLIC_URL="https://bridge.example/orders/",
        LOG_FORMAT="text",
    )

    assert settings.data_dir == Path("/srv/bridge")
    assert settings.database_url.get_secret_value() == "postgresql://user:pass@db/spacebridge"
    assert settings.broker_url.get_secret_value() == "redis://broker:6379/3"
    assert [key.get_secret_value() for key in settings.secret_key] == [KEY, OTHER_KEY]
    assert settings.api_url == "http://127.0.0.1:9/v1"
    assert settings.api_token.get_secret_value() == "t0ken"
    assert (settings.api_timeout, settings.request_rate) == (1.5, 0.5)
    assert (settings.config_ttl, settings.max_body_bytes) == (1, 1024)
    assert settings.web_workers == 3
    assert settings.trusted_proxies == ("10.0.0.0/8", "192.0.2.1", "2001:db8::/32")
    assert settings.metrics_port == 9540
    assert settings.public_url == "https://bridge.example/orders"
    assert settings.log_format == "text"


def test_what_a_command_is_told_outweighs_the_environment(
    given: Callable[..., Settings], tmp_path: Path
) -> None:
    given(DATA_DIR="/elsewhere")

    assert load_settings({"data_dir": tmp_path}).data_dir == tmp_path


def test_a_variable_of_another_program_does_not_matter(given: Callable[..., Settings]) -> None:
    assert given(API_URI="ftp://x") == load_settings()


@pytest.mark.parametrize(
    ("name", "content", "read"),
    [
        ("SECRET_KEY", KEY, lambda settings: settings.secret_key[0].get_secret_value()),
        (
            "DATABASE_URL",
            "postgresql://u:p@h/d",
            lambda settings: settings.database_url.get_secret_value(),
        ),
        ("BROKER_URL", "redis://h/1", lambda settings: settings.broker_url.get_secret_value()),
        ("BROKER_URL", "redis+socket:///run/x.sock", lambda settings: settings.broker_url.get_secret_value()),
        ("API_URL", "http://h/v1", lambda settings: settings.api_url),
        ("API_TOKEN", "t0ken", lambda settings: settings.api_token.get_secret_value()),
        ("LOG_FORMAT", "text", lambda settings: settings.log_format),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isupper() else "",
)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_setting_may_be_in_a_file(
    given: Callable[..., Settings],
    tmp_path: Path,
    name: str,
    content: str,
    read: Callable[[Settings], str],
    end: str,
) -> None:
    (tmp_path / "value").write_text(content + end, encoding="utf-8", newline="")

    assert read(given(**{f"{name}_FILE": str(tmp_path / "value")})) == content


def test_a_token_is_taken_without_the_space_around_it(given: Callable[..., Settings]) -> None:
    assert given(API_TOKEN="\t t0ken \n").api_token.get_secret_value() == "t0ken"


def test_delivery_urls_begin_with_the_public_address_where_it_is_known(
    given: Callable[..., Settings],
) -> None:
    assert load_settings().delivery_url("shop") == "https://<this bridge>/webhooks/shop"
    settings = given(PUBLIC_URL=" https://bridge.example:8443/ ")
    assert settings.delivery_url("shop") == "https://bridge.example:8443/webhooks/shop"


def test_a_file_may_hold_many_keys(given: Callable[..., Settings], tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"{KEY},{OTHER_KEY}\n")

    assert len(given(SECRET_KEY_FILE=str(tmp_path / "keys")).secret_key) == 2


def test_the_variable_outweighs_its_file(given: Callable[..., Settings], tmp_path: Path) -> None:
    (tmp_path / "value").write_text("http://of-the-file/v1")

    settings = given(API_URL="http://of-the-variable/v1", API_URL_FILE=str(tmp_path / "value"))

    assert settings.api_url == "http://of-the-variable/v1"


def test_an_empty_file_variable_names_no_file(given: Callable[..., Settings]) -> None:
    assert given(SECRET_KEY_FILE="").secret_key == ()


def test_a_file_that_cannot_be_read_is_named(given: Callable[..., Settings], tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        given(SECRET_KEY_FILE=str(tmp_path / "nowhere"))

    said = assert_says(caught, "SPACEBRIDGE_SECRET_KEY_FILE")
    assert "nowhere" in said
    assert "No such file" in said


def test_a_file_that_is_no_text_is_named_and_not_quoted(
    given: Callable[..., Settings], tmp_path: Path
) -> None:
    (tmp_path / "value").write_bytes(HIDDEN.encode() + b"\xff")

    with pytest.raises(SettingsError) as caught:
        given(SECRET_KEY_FILE=str(tmp_path / "value"))

    assert "not UTF-8" in assert_says(caught, "SPACEBRIDGE_SECRET_KEY_FILE")


def test_a_wrong_value_in_a_file_is_not_quoted(given: Callable[..., Settings], tmp_path: Path) -> None:
    (tmp_path / "value").write_text(HIDDEN)

    with pytest.raises(SettingsError) as caught:
        given(SECRET_KEY_FILE=str(tmp_path / "value"))

    assert_says(caught, "SPACEBRIDGE_SECRET_KEY")


# What is wrong is said in one line.


@pytest.mark.parametrize(
    ("name", "value"),
    [
        # numbers
        ("API_TIMEOUT", ""),
        ("API_TIMEOUT", f"{HIDDEN} seconds"),
        ("API_TIMEOUT", "0"),
        ("API_TIMEOUT", "-1"),
        ("API_TIMEOUT", "600.1"),
        ("API_TIMEOUT", "nan"),
        ("API_TIMEOUT", "inf"),
        ("CONFIG_TTL", "five minutes"),
        ("CONFIG_TTL", "-0.1"),
        ("CONFIG_TTL", "nan"),
        ("CONFIG_TTL", "inf"),  # more than a timedelta holds
        ("CONFIG_TTL", "1e300"),
        ("MAX_BODY_BYTES", "8M"),
        ("MAX_BODY_BYTES", "0"),
        ("MAX_BODY_BYTES", "-1"),
        ("MAX_BODY_BYTES", "1.5"),
        ("WEB_WORKERS", ""),
        ("WEB_WORKERS", "0"),
        ("WEB_WORKERS", "65"),
        ("WEB_WORKERS", "2.5"),
        # networks
        ("TRUSTED_PROXIES", f"{HIDDEN}.example"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),  # an address in a network is neither
        ("TRUSTED_PROXIES", "10.0.0.0/8;192.0.2.1"),
        # choices
        ("LOG_FORMAT", ""),
        ("LOG_FORMAT", "xml"),
        ("LOG_FORMAT", f"JSON{HIDDEN}"),
        # addresses
        ("API_URL", ""),
        ("API_URL", "api.spaceinvoices.com/v1"),
        ("API_URL", f"ftp://user:{HIDDEN}@host/v1"),
        ("API_URL", "https://"),
        ("API_URL", "https:///v1"),
        ("API_URL", f"https://[{HIDDEN}/v1"),
        ("PUBLIC_URL", f"{HIDDEN}.example"),
        ("PUBLIC_URL", f"ftp://{HIDDEN}.example"),
        ("PUBLIC_URL", "https://"),
        ("PUBLIC_URL", f"https://bridge.example:{HIDDEN}"),
        ("PUBLIC_URL", f"https://user:{HIDDEN}@bridge.example"),
        ("PUBLIC_URL", f"https://bridge.example/?{HIDDEN}"),
        ("PUBLIC_URL", f"https://bridge.example/#{HIDDEN}"),
        ("PUBLIC_URL", f"https://bridge.example/ {HIDDEN}"),
        ("DATABASE_URL", HIDDEN),
        ("DATABASE_URL", f"mysql://user:{HIDDEN}@host/db"),
        ("DATABASE_URL", f"postgresql://user:{HIDDEN}@host:port/db"),
        ("DATABASE_URL", f"postgresql+nothing://user:{HIDDEN}@host/db"),
        ("DATABASE_URL", f"postgresql+asyncpg://user:{HIDDEN}@host/db"),  # a driver that is not there
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "sqlite:///:memory:"),
        ("BROKER_URL", HIDDEN),
        ("BROKER_URL", f"http://user:{HIDDEN}@host"),
        ("BROKER_URL", f"redis://user:{HIDDEN}@host:port/0"),
        # a token
        ("API_TOKEN", f"{HIDDEN} {HIDDEN}"),
        ("API_TOKEN", f"{HIDDEN}ž"),
        ("API_TOKEN", f"{HIDDEN}\n{HIDDEN}"),
        ("API_TOKEN", f"\ufeff{HIDDEN}"),
        # keys
        ("SECRET_KEY", HIDDEN),
        ("SECRET_KEY", HIDDEN * 6),
        ("SECRET_KEY", f"{KEY},{HIDDEN}"),
        ("SECRET_KEY", "é" * 44),
    ],
    ids=lambda value: "a list of keys" if KEY in value else value[:24],
)
def test_a_wrong_value_is_told_in_one_line_that_names_its_variable(
    given: Callable[..., Settings], name: str, value: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        given(**{name: value})

    assert KEY not in assert_says(caught, f"SPACEBRIDGE_{name} is wrong: ")


@pytest.mark.parametrize(
    "url",
    [
        "redis://broker",
        "redis://:p%40ss@broker:6379/1",
        "rediss://broker:6379/0?ssl_cert_reqs=required",
        "redis+socket:///run/broker.sock",
        "redis://[::1]:6379/0",
        "sentinel://one:26379;sentinel://two:26379",  # as Celery's documentation has it
    ],
)
def test_any_broker_that_celery_speaks_to_is_taken(given: Callable[..., Settings], url: str) -> None:
    assert given(BROKER_URL=url).broker_url.get_secret_value() == url


def test_what_is_wrong_with_a_database_is_told_whole(given: Callable[..., Settings]) -> None:
    with pytest.raises(SettingsError, match=r"it is neither postgresql://\.\.\. nor sqlite:///\.\.\."):
        given(DATABASE_URL="mysql://h/d")


def test_settings_print_no_secret(given: Callable[..., Settings]) -> None:
    settings = given(
        SECRET_KEY=KEY,
        DATABASE_URL=f"postgresql://u:{HIDDEN}@h/d",
        BROKER_URL=f"redis://u:{HIDDEN}@h/0",
        API_TOKEN=HIDDEN,
    )

    for text in (repr(settings), str(settings), settings.model_dump_json()):
        assert HIDDEN not in text
        assert KEY not in text


# The ledger's place.


def test_without_a_database_the_ledger_is_a_file_in_the_data_folder(
    given: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = given(DATA_DIR=str(tmp_path / "data"))

    assert settings.is_embedded
    assert settings.ledger_url == f"sqlite:///{tmp_path}/data/ledger.db"


@pytest.mark.parametrize("folder", ["a b", "ž", "50%", "a%20b", "a#b", "a@b:c", "a?b"])
def test_the_data_folder_may_have_any_name(
    given: Callable[..., Settings], tmp_path: Path, folder: str
) -> None:
    settings = given(DATA_DIR=str(tmp_path / folder))
    ledger = Ledger(settings.ledger_url)
    ledger.upgrade()
    ledger.close()

    assert (tmp_path / folder / "ledger.db").exists()


def test_a_database_is_used_as_it_is_given(given: Callable[..., Settings]) -> None:
    settings = given(DATABASE_URL="postgresql://u:p@h/d")

    assert not settings.is_embedded
    assert settings.ledger_url == "postgresql://u:p@h/d"


# The key.


def test_keys_of_the_settings_make_the_vault(given: Callable[..., Settings]) -> None:
    vault = given(SECRET_KEY=f"{KEY},{OTHER_KEY}").vault()

    assert Vault([KEY]).decrypt(vault.encrypt("x")) == "x"
    assert vault.decrypt(Vault([OTHER_KEY]).encrypt("x")) == "x"


@pytest.mark.parametrize("database", ["postgresql://u:p@h/d", "sqlite:///elsewhere.db"])
def test_a_database_of_its_own_needs_a_key_of_the_settings(
    given: Callable[..., Settings], tmp_path: Path, database: str
) -> None:
    """A key in one container's data folder would be another one in the next container's."""
    settings = given(DATABASE_URL=database, DATA_DIR=str(tmp_path))

    settings.make_key_file()

    assert not (tmp_path / KEY_FILE).exists()
    with pytest.raises(SettingsError) as caught:
        settings.vault()
    assert_says(caught, "SPACEBRIDGE_SECRET_KEY is not set")


def test_a_key_file_is_no_key_for_another_database(given: Callable[..., Settings], tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_text(KEY)

    with pytest.raises(SettingsError):
        given(DATABASE_URL="postgresql://u:p@h/d", DATA_DIR=str(tmp_path)).vault()


def test_without_a_key_the_embedded_ledger_says_so(given: Callable[..., Settings], tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        given(DATA_DIR=str(tmp_path / "new")).vault()

    assert_says(caught, "SPACEBRIDGE_SECRET_KEY is not set")
    assert not (tmp_path / "new").exists()


def test_the_embedded_ledgers_key_is_made_once(given: Callable[..., Settings], tmp_path: Path) -> None:
    settings = given(DATA_DIR=str(tmp_path / "not" / "there" / "yet"))
    file = settings.data_dir / KEY_FILE

    settings.make_key_file()
    made = file.read_text()
    token = settings.vault().encrypt("x")
    settings.make_key_file()

    assert file.read_text() == made
    assert settings.vault().decrypt(token) == "x"
    assert [path.name for path in settings.data_dir.iterdir()] == [KEY_FILE]


def test_a_key_that_is_there_is_never_replaced(given: Callable[..., Settings], tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_text(KEY)
    settings = given(DATA_DIR=str(tmp_path))

    settings.make_key_file()

    assert (tmp_path / KEY_FILE).read_text() == KEY
    assert settings.vault().decrypt(Vault([KEY]).encrypt("x")) == "x"


def test_a_key_of_the_settings_needs_no_file(given: Callable[..., Settings], tmp_path: Path) -> None:
    settings = given(DATA_DIR=str(tmp_path), SECRET_KEY=KEY)

    settings.make_key_file()

    assert not (tmp_path / KEY_FILE).exists()


@pytest.fixture
def _careless_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_careless_umask")
def test_nobody_else_may_read_the_key(given: Callable[..., Settings], tmp_path: Path) -> None:
    settings = given(DATA_DIR=str(tmp_path))

    settings.make_key_file()

    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600


def test_what_a_crash_left_behind_does_not_prevent_the_key(
    given: Callable[..., Settings], tmp_path: Path
) -> None:
    """In a container, the process that makes the key has the same id at every start."""
    (tmp_path / f"{KEY_FILE}.{os.getpid()}").write_text("")
    settings = given(DATA_DIR=str(tmp_path))

    settings.make_key_file()

    assert settings.vault().decrypt(settings.vault().encrypt("x")) == "x"


@pytest.mark.parametrize("content", ["", "\n", HIDDEN, "\xff"])
def test_a_damaged_key_file_is_named_and_not_quoted(
    given: Callable[..., Settings], tmp_path: Path, content: str
) -> None:
    (tmp_path / KEY_FILE).write_bytes(content.encode("latin-1"))
    settings = given(DATA_DIR=str(tmp_path))

    with pytest.raises(SettingsError, match=KEY_FILE) as caught:
        settings.vault()

    assert HIDDEN not in "".join(traceback.format_exception(caught.value))


def test_threads_that_make_the_key_at_once_make_one(given: Callable[..., Settings], tmp_path: Path) -> None:
    for attempt in range(5):
        settings = given(DATA_DIR=str(tmp_path / str(attempt)))
        keys = _made_at_once(settings)

        assert len(set(keys)) == 1
        assert [path.name for path in settings.data_dir.iterdir()] == [KEY_FILE]


def _made_at_once(settings: Settings) -> list[str]:
    together = threading.Barrier(8)

    def make(_: int) -> str:
        together.wait(timeout=10)
        settings.make_key_file()
        return (settings.data_dir / KEY_FILE).read_text()

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(make, range(8)))


MAKE_A_KEY = f"""
import sys
from bridge.settings import load_settings
settings = load_settings()
print("ready", flush=True)
sys.stdin.readline()
settings.make_key_file()
print((settings.data_dir / {KEY_FILE!r}).read_text().strip(), flush=True)
"""


def test_processes_that_make_the_key_at_once_make_one(tmp_path: Path) -> None:
    environment = {**os.environ, "SPACEBRIDGE_DATA_DIR": str(tmp_path / "data")}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MAKE_A_KEY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    keys = {process.communicate(timeout=30)[0] for process in processes}

    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(keys) == 1
    Vault([keys.pop()])
    assert [path.name for path in (tmp_path / "data").iterdir()] == [KEY_FILE]
