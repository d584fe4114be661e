"""The sandbox keeps to the OpenAPI document of the Woocommerce endpoints, and the document to OpenAPI."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.generation.stateful import run_state_machine_as_test
from werkzeug.serving import WSGIRequestHandler, make_server

from bridge.sandbox import create_sandbox
from bridge.sandbox.validation import PROPERTIES, READ_ONLY, REQUIRED
from tests import ROOT

DOCUMENT = ROOT / "docs" / "space-invoices-woocommerce.openapi.yaml"
ORGANIZATION = "5f0000000000000000000001"
STORE = "5f00000000000000000000aa"
TOKEN = "a-token-of-nobody"
AUTHORIZED = {"Authorization": TOKEN}
CONFIG: Mapping[str, Any] = {
    "name": "Shop",
    "active": True,
    "sendInvoiceAutomatically": True,
    "sendEstimateAutomatically": True,
    "organizationId": ORGANIZATION,
    "custom": {},
}
# The same cases at each run, and as many as there is time for.
CASES = settings(
    derandomize=True, database=None, deadline=None, max_examples=50, suppress_health_check=list(HealthCheck)
)
LIVES = settings(CASES, max_examples=25, stateful_step_count=8)
SETTINGS = {
    # The token is given with each call. That others are refused is what the check `ignored_auth` tries.
    "generation": {"with-security-parameters": False},
    # A method that a path does not have would have to be a 405. For LoopBack it is no route: 404.
    "checks": {"unsupported_method": {"enabled": False}},
    # Whether an order is valid depends on the store it is handed to, which no schema can tell.
    "phases": {"stateful": {"checks": {"positive_data_acceptance": {"enabled": False}}}},
    # Every variant of a filter would be some thousand cases, for finding and for counting:
    # tests/unit/sandbox/test_filters.py has those that differ for the sandbox.
    "operations": [
        {"include-operation-id": name, "phases": {"coverage": {"enabled": False}}}
        for name in ("findWoocommerces", "countWoocommerces")
    ],
}

Case = schemathesis.Case[Any]

schema = schemathesis.openapi.from_path(DOCUMENT, config=schemathesis.Config.from_dict(SETTINGS))


class QuietHandler(WSGIRequestHandler):
    """One that does not log each of some thousand requests."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


@contextmanager
def serving(**options: Any) -> Iterator[str]:
    """Where a sandbox serves the API."""
    sandbox = create_sandbox(organization_id=ORGANIZATION, token=TOKEN, **options)
    server = make_server("127.0.0.1", 0, sandbox, threaded=True, request_handler=QuietHandler)
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    yield f"http://127.0.0.1:{server.port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(rate_limit=math.inf) as address:
        yield address


def add_store(address: str) -> str:
    created = requests.post(
        f"{address}/Organizations/{ORGANIZATION}/woocommerce", json=CONFIG, headers=AUTHORIZED, timeout=10
    )
    assert created.status_code == 200, created.text
    woocommerce_id: str = created.json()["id"]
    return woocommerce_id


def make_fit(case: Case) -> None:
    """Have a body fit the organization and the store that there are, which no schema can tell.

    What is of another type than it ought to be stays: it has to be refused for that, and for nothing else.
    """
    if not isinstance(case.body, dict):
        return
    is_order = case.path.endswith("/order")
    for name, value in CONFIG.items() if is_order else [("organizationId", ORGANIZATION)]:
        if isinstance(case.body.get(name), type(value)):
            case.body[name] = value
    if is_order:
        case.body.setdefault("organizationId", ORGANIZATION)


def documented(name: str) -> dict[str, Any]:
    """The schema of a component."""
    found: dict[str, Any] = schema.raw_schema["components"]["schemas"][name]
    return found


# --- The document


def test_the_document_is_valid_openapi() -> None:
    schema.validate()
    assert schema.raw_schema["openapi"].startswith("3.1.")


def test_the_document_has_the_seven_endpoints_and_what_each_may_answer() -> None:
    answers = {
        f"{method.upper()} {path}": set(operation["responses"])
        for path, methods in schema.raw_schema["paths"].items()
        for method, operation in methods.items()
        if method != "parameters"
    }
    always = {"200", "401", "404", "429", "500", "503"}
    assert answers == {
        "GET /Organizations/{id}/woocommerce": always | {"400"},
        "POST /Organizations/{id}/woocommerce": always | {"400", "422"},
        "GET /Organizations/{id}/woocommerce/count": always | {"400"},
        "DELETE /Woocommerce/{id}": always,
        "PATCH /Woocommerce/{id}": always | {"400", "422"},
        "POST /Woocommerce/{id}/order": always | {"400", "422"},
        "POST /Woocommerce/{id}/import": always | {"400", "422"},
    }


@pytest.mark.parametrize("name", ["FoundWoocommerce", "WoocommerceChanges"])
def test_the_document_has_every_property_of_a_store_config(name: str) -> None:
    properties = documented(name)["properties"]
    assert set(properties) == {"id", *PROPERTIES, *READ_ONLY}
    assert documented(name)["additionalProperties"] is True


def test_an_order_has_the_properties_of_a_store_config_beside_its_own() -> None:
    order = documented("OrderWithConfig")
    assert {*PROPERTIES, *READ_ONLY} <= set(order["properties"])
    assert set(REQUIRED) <= set(order["required"])
    assert set(REQUIRED) == set(documented("NewWoocommerce")["required"])


# --- The sandbox


@schema.parametrize()
@CASES
def test_the_sandbox_takes_what_is_valid_refuses_what_is_not_and_answers_as_documented(
    case: Case, address: str
) -> None:
    # Each case has a store of its own, since some delete it.
    case.path_parameters["id"] = ORGANIZATION if "Organizations" in case.path else add_store(address)
    make_fit(case)
    case.call_and_validate(base_url=address, headers=AUTHORIZED)


@pytest.mark.parametrize(
    ("status", "options", "path", "headers"),
    [
        (401, {}, f"/Woocommerce/{STORE}/order", {}),
        (404, {}, "/Woocommerce/5f00000000000000000000bb/order", AUTHORIZED),
        (429, {"failures": {429: 1}}, f"/Woocommerce/{STORE}/order", AUTHORIZED),
        (500, {"failures": {500: 1}}, f"/Woocommerce/{STORE}/order", AUTHORIZED),
        (503, {"failures": {503: 1}}, f"/Woocommerce/{STORE}/order", AUTHORIZED),
    ],
)
def test_what_goes_wrong_is_answered_as_documented(
    status: int, options: dict[str, Any], path: str, headers: dict[str, str]
) -> None:
    with serving(woocommerces=[{"id": STORE, "name": "Shop"}], **options) as address:
        response = requests.post(f"{address}{path}", json={}, headers=headers, timeout=10)
    assert response.status_code == status
    schema["/Woocommerce/{id}/order"]["POST"].validate_response(response)


def test_objects_live_and_die_as_documented() -> None:
    answers: set[tuple[str, int]] = set()

    class Lives(schema.as_state_machine()):  # type: ignore[misc]
        """Creates objects and follows the document's links to what can be done with them, in any order."""

        def setup(self) -> None:
            # A sandbox of its own for each life: what an earlier one has left would change its answers.
            self.sandbox = ExitStack()
            self.address = self.sandbox.enter_context(serving(rate_limit=math.inf))

        def teardown(self) -> None:
            self.sandbox.close()

        def get_call_kwargs(self, case: Case) -> dict[str, Any]:
            return {"base_url": self.address, "headers": AUTHORIZED}

        def before_call(self, case: Case) -> None:
            if "Organizations" in case.path:
                case.path_parameters["id"] = ORGANIZATION
            make_fit(case)

        def after_call(self, response: schemathesis.Response, case: Case) -> None:
            super().after_call(response, case)
            answers.add((case.method, response.status_code))

    run_state_machine_as_test(Lives, settings=LIVES)
    assert ("DELETE", 200) in answers
    assert 404 in {status for _, status in answers}
