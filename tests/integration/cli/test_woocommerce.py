"""`spacebridge woocommerce`: each endpoint from the command line, against a sandbox in another process."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from bridge.cli import main
from tests.support import proc
from tests.support.misbehaving import MisbehavingServer, Visit
from tests.support.running import ORGANIZATION, Process, answers, run_command
from tests.support.servers import free_port, wait_until
from tests.support.shop import CARD

TOKEN = "t0ken-that-nothing-may-tell"
NOBODY = "5f00000000000000000000aa"
REQUIRED = {
    "name": "Shop",
    "active": True,
    "sendInvoiceAutomatically": True,
    "sendEstimateAutomatically": True,
    "organizationId": ORGANIZATION,
}


class Sandbox:
    """A running sandbox, and commands that go to it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        options = ["--organization", ORGANIZATION, "--rate-limit", "100000"]
        self._process = Process(
            ["bridge", "sandbox", "--port", str(self.port), *options],
            {"SPACEBRIDGE_SANDBOX_TOKEN": TOKEN},
            folder / "sandbox.log",
        )
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Sandbox:
        self._process.start()
        wait_until(lambda: answers(f"{self.url}/sandbox/documents"), "a ready sandbox")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    @property
    def environment(self) -> dict[str, str]:
        return {"SPACEBRIDGE_API_URL": f"{self.url}/v1", "SPACEBRIDGE_API_TOKEN": TOKEN}

    def run(
        self, *arguments: str, given: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `spacebridge woocommerce`; no token and no traceback is ever told."""
        settings = {**self.environment, **environment}
        ended = run_command(self.folder, "woocommerce", *arguments, given=given or "", **settings)
        assert TOKEN not in ended.stdout + ended.stderr
        assert "Traceback" not in ended.stderr
        return ended

    def run_json(self, *arguments: str) -> Any:
        """Run it with --json; what it prints is one document."""
        ended = self.run(*arguments, "--json")
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    def run_at_a_terminal(self, typed: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it where somebody types."""
        ours, theirs = pty.openpty()
        try:
            os.write(ours, typed.encode())
            return subprocess.run(
                [sys.executable, "-m", "bridge", "woocommerce", *arguments],
                env={**os.environ, "SPACEBRIDGE_DATA_DIR": str(self.folder), **self.environment},
                stdin=theirs,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        finally:
            os.close(ours)
            os.close(theirs)

    def look(self, path: str) -> Any:
        """What the sandbox tells of itself."""
        return requests.get(self.url + path, timeout=10).json()

    def objects(self, **filter_: object) -> list[dict[str, Any]]:
        """The objects that there are, asked for without the command."""
        found: list[dict[str, Any]] = requests.get(
            f"{self.url}/v1/Organizations/{ORGANIZATION}/woocommerce",
            params={"filter": json.dumps(filter_)},
            headers={"Authorization": TOKEN},
            timeout=10,
        ).json()
        return found

    def object_of(self, woocommerce_id: str) -> dict[str, Any]:
        (found,) = self.objects(where={"id": woocommerce_id}, deleted=True)
        return found

    def add(self, name: str, **properties: object) -> str:
        """The id of a new object, made without the command."""
        created: str = requests.post(
            f"{self.url}/v1/Organizations/{ORGANIZATION}/woocommerce",
            json={**REQUIRED, "name": name, **properties},
            headers={"Authorization": TOKEN},
            timeout=10,
        ).json()["id"]
        return created


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("woocommerce")) as running:
        yield running


# Each of the seven.


def test_create_makes_an_object_with_the_documents_defaults_and_what_is_given(sandbox: Sandbox) -> None:
    fields = ["sendEstimateAutomatically=false", "locale=sl", "unitId=", 'custom={"a": [1]}']
    unknown = ["number=5", 'text="5"', "free=zdravo ž", "object={}", "nan=NaN"]
    created = sandbox.run_json("create", ORGANIZATION, "Žiga & Søn = 1", *fields, *unknown)
    assert (
        sandbox.object_of(created["id"]).items()
        >= {
            "name": "Žiga & Søn = 1",
            "active": True,
            "sendInvoiceAutomatically": True,
            "sendEstimateAutomatically": False,
            "locale": "sl",
            "unitId": "",
            "custom": {"a": [1]},
            "number": 5,
            "text": "5",
            "free": "zdravo ž",
            "object": {},
            "nan": "NaN",
        }.items()
    )


def test_create_and_patch_show_the_object_to_people(sandbox: Sandbox) -> None:
    created = sandbox.run("create", ORGANIZATION, "žena\x1b[31m")
    assert created.returncode == 0
    shown = dict(line.split(maxsplit=1) for line in created.stdout.splitlines() if len(line.split()) > 1)
    assert shown["name"] == "žena?[31m"
    assert shown["active"] == "true"
    assert f"{shown['id']} is created" in created.stderr
    patched = sandbox.run("patch", shown["id"], "active=false")
    assert "active                      false" in patched.stdout
    assert f"{shown['id']} is changed" in patched.stderr


def test_patch_changes_what_is_given_and_nothing_else(sandbox: Sandbox) -> None:
    woocommerce_id = sandbox.add("Shop", active=False, locale="sl")
    before = sandbox.object_of(woocommerce_id)
    patched = sandbox.run_json("patch", woocommerce_id, "name=Trgovina ž", "issueInvoiceOnComplete=true")
    assert patched["name"] == "Trgovina ž"
    changes = {
        name: value for name, value in sandbox.object_of(woocommerce_id).items() if value != before[name]
    }
    assert changes.keys() - {"updatedAt"} == {"name", "issueInvoiceOnComplete"}


def test_find_and_count_take_loopbacks_filters(sandbox: Sandbox) -> None:
    for name in ("find-c", "find-a", "find-b"):
        sandbox.add(name)
    sandbox.run("delete", sandbox.add("find-gone"), "--yes")
    where = {"name": {"like": "find-"}}
    chosen = {"where": where, "order": "name DESC", "limit": 2, "fields": ["name"]}
    assert sandbox.run_json("find", ORGANIZATION, "--filter", json.dumps(chosen)) == [
        {"name": "find-c"},
        {"name": "find-b"},
    ]
    deleted = sandbox.run_json(
        "find", ORGANIZATION, "--filter", json.dumps({"where": where, "deleted": True})
    )
    assert {one["name"] for one in deleted} == {"find-a", "find-b", "find-c", "find-gone"}
    assert sandbox.run_json("count", ORGANIZATION, "--where", json.dumps(where)) == {"count": 3}
    assert sandbox.run("count", ORGANIZATION, "--where", json.dumps(where)).stdout == "3\n"
    assert sandbox.run_json("count", ORGANIZATION)["count"] == len(sandbox.objects())


def test_find_shows_people_a_table(sandbox: Sandbox) -> None:
    woocommerce_id = sandbox.add("table [red] ž", **{"[/b]": "x"})
    only = json.dumps({"where": {"id": woocommerce_id}})
    found = sandbox.run("find", ORGANIZATION, "--filter", only)
    heading, row = found.stdout.splitlines()
    assert heading.split()[:3] == ["id", "name", "active"]
    assert "_isDeleted" not in heading
    assert f"{woocommerce_id}  table [red] ž" in row
    sandbox.run("delete", woocommerce_id, "--yes")
    gone = sandbox.run("find", ORGANIZATION, "--filter", only)
    assert (gone.returncode, gone.stdout) == (0, "")
    assert "Nothing to show" in gone.stderr
    deleted = json.dumps({"where": {"id": woocommerce_id}, "deleted": True})
    assert "_isDeleted" in sandbox.run("find", ORGANIZATION, "--filter", deleted).stdout
    odd = json.dumps({"where": {"id": woocommerce_id}, "deleted": True, "fields": ["name", "[/b]"]})
    assert sandbox.run("find", ORGANIZATION, "--filter", odd).stdout.split()[0] == "name"


def test_delete_hides_an_object(sandbox: Sandbox) -> None:
    woocommerce_id = sandbox.add("Shop")
    assert sandbox.run_json("delete", woocommerce_id, "--yes") == {"count": 1}
    assert sandbox.object_of(woocommerce_id)["_isDeleted"] is True
    again = sandbox.run("delete", woocommerce_id, "--yes")
    assert again.returncode == 1
    assert "404" in again.stderr
    assert "was not deleted" in again.stderr


def test_import_starts_an_import(sandbox: Sandbox) -> None:
    woocommerce_id = sandbox.add("Shop")
    assert sandbox.run_json("import", woocommerce_id, "--type", "ž", "--options", '{"a": 1}') == {}
    told = sandbox.run("import", woocommerce_id, "--type", "orders")
    assert (told.returncode, told.stdout) == (0, "")
    assert "is started" in told.stderr
    started = sandbox.look("/sandbox/imports")["imports"][-2:]
    assert [(one["woocommerceId"], one["type"], one["importOptions"]) for one in started] == [
        (woocommerce_id, "ž", '{"a": 1}'),
        (woocommerce_id, "orders", None),
    ]


def issued(sandbox: Sandbox, woocommerce_id: str) -> list[str]:
    """The numbers of an object's documents."""
    documents = sandbox.look("/sandbox/documents")["documents"]
    return [one["number"] for one in documents if one["woocommerceId"] == woocommerce_id]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_order_hands_over_what_is_in_a_file_or_comes_by_standard_input(
    sandbox: Sandbox, tmp_path: Path, mark: bytes
) -> None:
    woocommerce_id = sandbox.add("Shop")
    body = json.dumps(CARD | REQUIRED | {"note": "ž"}, indent=1, ensure_ascii=False)
    file = tmp_path / "narocilo ž.json"
    file.write_bytes(mark + body.encode())
    assert sandbox.run_json("order", woocommerce_id, str(file), "--yes") == {}
    (number,) = issued(sandbox, woocommerce_id)
    sent = requests.get(f"{sandbox.url}/sandbox/documents/{number}/body", timeout=10)
    assert sent.content == body.encode()
    told = sandbox.run("order", woocommerce_id, "-", "--yes", given=body)
    assert (told.returncode, told.stdout) == (0, "")
    assert len(issued(sandbox, woocommerce_id)) == 2


# Confirmation.


def test_what_cannot_be_undone_is_asked_for(sandbox: Sandbox, tmp_path: Path) -> None:
    woocommerce_id = sandbox.add("Shop")
    file = tmp_path / "order.json"
    file.write_text(json.dumps(CARD | REQUIRED))
    no = sandbox.run_at_a_terminal("n\n", "order", woocommerce_id, str(file))
    assert (no.returncode, no.stdout) == (1, "")
    assert "may issue a document" in no.stderr
    assert "Nothing is sent." in no.stderr
    assert issued(sandbox, woocommerce_id) == []
    assert sandbox.run_at_a_terminal("y\n", "order", woocommerce_id, str(file)).returncode == 0
    assert len(issued(sandbox, woocommerce_id)) == 1

    assert sandbox.run_at_a_terminal("\n", "delete", woocommerce_id).returncode == 1
    assert sandbox.object_of(woocommerce_id)["_isDeleted"] is False
    yes = sandbox.run_at_a_terminal("y\n", "delete", woocommerce_id, "--json")
    assert json.loads(yes.stdout) == {"count": 1}
    assert sandbox.object_of(woocommerce_id)["_isDeleted"] is True


def test_nobody_is_asked_without_a_token(sandbox: Sandbox) -> None:
    for arguments in (["delete", NOBODY], ["order", NOBODY, "-"]):
        ended = sandbox.run(*arguments, given="{}", SPACEBRIDGE_API_TOKEN="")
        assert ended.returncode == 1
        assert ended.stderr.startswith("There is no access token")


def test_without_a_terminal_nothing_is_sent_unless_the_answer_is_given(sandbox: Sandbox) -> None:
    woocommerce_id = sandbox.add("Shop")
    body = json.dumps(CARD | REQUIRED)
    for arguments in (["delete", woocommerce_id], ["order", woocommerce_id, "-"]):
        refused = sandbox.run(*arguments, given=body if "order" in arguments else "y\n")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "add --yes" in refused.stderr
    assert sandbox.object_of(woocommerce_id)["_isDeleted"] is False
    assert issued(sandbox, woocommerce_id) == []


# The token.


def test_the_token_may_be_in_a_file_or_of_a_store(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert run_command(tmp_path, "db", "upgrade").returncode == 0
    ids = ["--organization", ORGANIZATION, "--woocommerce", NOBODY, "--offline"]
    added = run_command(tmp_path, "stores", "add", "shop", *ids, "--token-file", str(tmp_path / "token"))
    assert added.returncode == 0, added.stderr
    address = {"SPACEBRIDGE_API_URL": f"{sandbox.url}/v1"}
    count = ["woocommerce", "count", ORGANIZATION]
    for counted in (
        run_command(tmp_path, *count, SPACEBRIDGE_API_TOKEN_FILE=str(tmp_path / "token"), **address),
        run_command(tmp_path, *count, "--store", "shop", SPACEBRIDGE_API_TOKEN="another", **address),
    ):
        assert counted.returncode == 0, counted.stderr
        assert counted.stdout == f"{len(sandbox.objects())}\n"
    (tmp_path / "token").write_text("another")
    ids = ["--organization", ORGANIZATION, "--woocommerce", "f" * 24, "--offline"]
    run_command(tmp_path, "stores", "add", "other", *ids, "--token-file", str(tmp_path / "token"))
    refused = run_command(tmp_path, *count, "--store", "other", **address)
    assert refused.returncode == 1
    assert "the token of store other is right" in refused.stderr


# What goes wrong: in the test's own process, since there is much.


class Terminal:
    """Runs the command with what a process is given, and keeps what it prints and ends with."""

    def __init__(
        self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self._sandbox = sandbox
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def run(self, *arguments: str, **environment: str) -> tuple[object, str, str]:
        """Its exit status, standard output and standard error; no token is ever told."""
        settings = {**self._sandbox.environment, "SPACEBRIDGE_DATA_DIR": str(self._sandbox.folder)}
        for name, value in (settings | environment).items():
            self._monkeypatch.setenv(name, value)
        self._monkeypatch.setattr(sys, "argv", ["spacebridge", "woocommerce", *arguments])
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
        with pytest.raises(SystemExit) as ended:
            main()
        printed = self._capsys.readouterr()
        assert TOKEN not in printed.out + printed.err
        return ended.value.code, printed.out, printed.err


@pytest.fixture
def terminal(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    return Terminal(sandbox, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["find", ORGANIZATION, "--filter", "{bad"], "not a JSON object"),
        (["find", ORGANIZATION, "--filter", "[]"], "not a JSON object"),
        (["find", ORGANIZATION, "--filter", '{"limit": NaN}'], "not a JSON object"),
        (["find", ORGANIZATION, "--filter", '{"limit": 1e999}'], "not a JSON object"),
        (["find", ORGANIZATION, "--filter", "[" * 100_000], "not a JSON object"),
        (["find", "../x"], "not an id"),
        (["find", ""], "not an id"),
        (["find"], "ORG"),
        (["count", ORGANIZATION, "--where", "name"], "not a JSON object"),
        (["create", ORGANIZATION], "NAME"),
        (["create", ORGANIZATION, "active=true"], "name comes before"),
        (["create", ORGANIZATION, "Shop", "name=Other"], "given twice"),
        (["create", ORGANIZATION, "Shop", "active"], "FIELD=VALUE"),
        (["create", ORGANIZATION, "Shop", "=x"], "FIELD=VALUE"),
        (["create", ORGANIZATION, "Shop", "active=yes"], "true or false"),
        (["create", ORGANIZATION, "Shop", "active=True"], "true or false"),
        (["create", ORGANIZATION, "Shop", "custom=5"], "custom is a JSON object"),
        (["create", ORGANIZATION, "Shop", "custom=x"], "custom is a JSON object"),
        (["create", ORGANIZATION, "Shop", r'custom={"\ud800": 1}'], "custom is a JSON object"),
        (["create", ORGANIZATION, "\udcff"], "UTF-8"),
        (["patch", NOBODY], "FIELD=VALUE"),
        (["patch", NOBODY, "active="], "true or false"),
        (["patch", NOBODY, "active=true", "active=false"], "given twice"),
        (["patch", NOBODY, "id=x"], "read-only"),
        (["patch", NOBODY, "_isDeleted=false"], "read-only"),
        (["patch", NOBODY, "unit_id=x"], "unitId"),
        (["patch", NOBODY, "name=\udcff"], "UTF-8"),
        (["delete"], "ID"),
        (["import", NOBODY], "--type"),
        (["import", NOBODY, "--type", "\udcff"], "UTF-8"),
        (["order", NOBODY], "FILE"),
        (["nonsense"], "nonsense"),
    ],
)
def test_wrong_usage_ends_with_status_2_and_sends_nothing(
    sandbox: Sandbox, terminal: Terminal, arguments: list[str], said: str
) -> None:
    before = sandbox.look("/sandbox/documents")["counts"]["requests"]
    status, printed, errors = terminal.run(*arguments)
    assert (status, printed) == (2, "")
    assert said in errors
    assert sandbox.look("/sandbox/documents")["counts"]["requests"] == before


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["count", ORGANIZATION], {"SPACEBRIDGE_API_TOKEN": "wrong"}, ["401", "SPACEBRIDGE_API_TOKEN"]),
        (["count", ORGANIZATION], {"SPACEBRIDGE_API_TOKEN": ""}, ["SPACEBRIDGE_API_TOKEN", "--store"]),
        (["count", ORGANIZATION], {"SPACEBRIDGE_API_TOKEN": "tó"}, ["SPACEBRIDGE_API_TOKEN is wrong"]),
        (["count", NOBODY], {}, ["404", NOBODY, "id is right"]),
        (["patch", NOBODY, "locale=sl"], {}, ["404", NOBODY, "id is right"]),
        (["delete", NOBODY, "--yes"], {}, ["404", NOBODY, "id is right"]),
        (["import", NOBODY, "--type", "x"], {}, ["404", NOBODY, "id is right"]),
        (["create", ORGANIZATION, "x", "organizationId=y"], {}, ["422", "`organizationId` is not", "Mend"]),
        (["find", ORGANIZATION, "--filter", '{"wher": {}}'], {}, ["400", "no `wher`", "Mend"]),
        (
            ["count", ORGANIZATION],
            {"SPACEBRIDGE_API_URL": "http://127.0.0.1:9/v1"},
            ["127.0.0.1:9", "try again"],
        ),
        (["order", NOBODY, "/nowhere", "--yes"], {}, ["/nowhere", "No such file"]),
        (["order", NOBODY, "/", "--yes"], {}, ["/", "directory"]),
        (["order", NOBODY, "-", "--yes"], {}, ["Standard input", "nothing is sent"]),
        (["order", NOBODY, __file__, "--yes"], {}, [__file__, "nothing is sent"]),
        (["count", ORGANIZATION, "--store", "none"], {}, ["no ledger", "spacebridge up"]),
    ],
)
def test_what_goes_wrong_is_said_in_a_line(
    terminal: Terminal, arguments: list[str], environment: dict[str, str], said: list[str]
) -> None:
    status, printed, errors = terminal.run(*arguments, "--json", **environment)
    assert (status, printed) == (1, "")
    assert errors.count("\n") == 1
    for part in said:
        assert part in errors


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"429 X\r\nRetry-After: 7\r\nContent-Length: 0", "Try again in 7 s."),
        (b"503 X\r\nContent-Length: 0", "Try again later."),
        (b"502 X\r\nContent-Length: 0", "Try again later."),
        (b"403 X\r\nContent-Length: 0", "the token in SPACEBRIDGE_API_TOKEN is right"),
        (b"422 X\r\nContent-Length: 0", "See that what you have given is right."),
        (
            b"301 X\r\nLocation: http://elsewhere.invalid/\r\nContent-Length: 0",
            "the address of the API itself",
        ),
        (b"200 OK\r\nContent-Length: 2", "the address of the API itself"),
    ],
)
def test_what_to_do_next_is_said_of_each_answer(terminal: Terminal, answer: bytes, said: str) -> None:
    def answers_so(visit: Visit) -> None:
        visit.receive_request()
        visit.say(b"HTTP/1.1 " + answer + b"\r\n\r\n{}")

    with MisbehavingServer(answers_so) as server:
        url = server.url.replace("http://", "http://user:hunter2@")
        status, printed, errors = terminal.run("count", NOBODY, SPACEBRIDGE_API_URL=url)
    assert (status, printed) == (1, "")
    assert answer[:3].decode() in errors
    assert said in errors
    assert "hunter2" not in errors


def test_an_order_that_was_sent_and_not_answered_may_have_its_document(sandbox: Sandbox) -> None:
    def hangs_up(visit: Visit) -> None:
        visit.receive_request()

    with MisbehavingServer(hangs_up) as server:
        ended = sandbox.run("order", NOBODY, "-", "--yes", given="{}", SPACEBRIDGE_API_URL=server.url)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "may be done all the same: look before you try again" in ended.stderr
    assert len(server.requests) == 1


@pytest.mark.parametrize("arguments", [["find", ORGANIZATION, "--json"], ["find", ORGANIZATION]])
def test_a_reader_that_has_gone_is_no_traceback(sandbox: Sandbox, arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "bridge", "woocommerce", *arguments],
            env={**os.environ, "SPACEBRIDGE_DATA_DIR": str(sandbox.folder), **sandbox.environment},
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_an_interrupted_order_may_have_its_document(sandbox: Sandbox) -> None:
    def has_it_interrupted(visit: Visit) -> None:
        visit.receive_request()
        # A signal just before a call that waits is seen by Python only once the call has ended.
        wait_until(lambda: proc.state(process.pid) == "S", "a command that waits for its answer")
        process.send_signal(signal.SIGINT)
        visit.wait()

    # Tests that run in the background may be deaf to it, and their children would be, too.
    usual = signal.signal(signal.SIGINT, signal.SIG_DFL)
    with (
        MisbehavingServer(has_it_interrupted) as server,
        subprocess.Popen(
            [sys.executable, "-m", "bridge", "woocommerce", "order", NOBODY, "-", "--yes"],
            env={**os.environ, **sandbox.environment, "SPACEBRIDGE_API_URL": server.url},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        signal.signal(signal.SIGINT, usual)
        try:
            said, errors = process.communicate("{}", timeout=30)
        finally:
            process.kill()
    assert (process.returncode, said) == (1, "")
    assert "may be done all the same" in errors
    assert "Traceback" not in errors
