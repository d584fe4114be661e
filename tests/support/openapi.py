"""The OpenAPI document of the Woocommerce endpoints, as a check on requests that were really sent."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import jsonschema_rs
import schemathesis

from tests import ROOT

DOCUMENT = ROOT / "docs" / "space-invoices-woocommerce.openapi.yaml"
BASE = "/v1"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as a server got it. The names of `headers` are those of WSGI: `HTTP_AUTHORIZATION`."""

    method: str
    path: str
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes


class Recorder:
    """A WSGI app that keeps each request, and has another app answer it."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app
        self.requests: list[Request] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        query = parse_qsl(environ["QUERY_STRING"], keep_blank_values=True)
        headers = {name: value for name, value in environ.items() if isinstance(value, str)}
        self.requests.append(Request(environ["REQUEST_METHOD"], environ["PATH_INFO"], query, headers, body))
        return self._app(environ, start_response)


class Contract:
    """What the document says of requests."""

    def __init__(self) -> None:
        self._document: dict[str, Any] = dict(schemathesis.openapi.from_path(DOCUMENT).raw_schema)

    @property
    def operations(self) -> set[str]:
        """The ids of all operations."""
        return {operation["operationId"] for _, _, operation in self._operations()}

    def operation_of(self, request: Request) -> str:
        """The id of the operation that a request asks for; AssertionError unless it keeps to the document."""
        for pattern, parameters, operation in self._operations():
            found = re.fullmatch(BASE + pattern, request.path)
            if found and operation["method"] == request.method:
                self._check(request, operation, parameters, found.groupdict())
                return str(operation["operationId"])
        raise AssertionError(f"the document has no {request.method} {request.path}")

    def _operations(self) -> Iterable[tuple[str, list[dict[str, Any]], dict[str, Any]]]:
        for path, item in self._document["paths"].items():
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)
            for method in item.keys() - {"parameters"}:
                given = [*item.get("parameters", []), *item[method].get("parameters", [])]
                parameters = [self._resolved(one) for one in given]
                yield pattern, parameters, {**item[method], "method": method.upper()}

    def _check(
        self,
        request: Request,
        operation: Mapping[str, Any],
        parameters: Sequence[Mapping[str, Any]],
        in_path: Mapping[str, str],
    ) -> None:
        # The one security scheme there is: the bare token in this header.
        assert re.fullmatch(r"[!-~]+", request.headers.get("HTTP_AUTHORIZATION", "")), "no bare token"
        values = {("path", name): value for name, value in in_path.items()}
        values |= {("query", name): value for name, value in request.query}
        assert len(values) == len(in_path) + len(request.query), "a parameter is given twice"
        for parameter in parameters:
            value = values.pop((parameter["in"], parameter["name"]), None)
            if value is None:
                assert not parameter.get("required"), f"{parameter['name']} is missing"
            elif "content" in parameter:
                self._validate(json.loads(value), parameter["content"]["application/json"]["schema"])
            else:
                self._validate(value, parameter["schema"])
        assert not values, f"not documented: {values.keys()}"
        if "requestBody" not in operation:
            assert request.body == b"", "a body where none is documented"
            return
        assert request.headers.get("CONTENT_TYPE") == "application/json"
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        self._validate(json.loads(request.body), schema)

    def _validate(self, value: object, schema: Mapping[str, Any]) -> None:
        whole = {**schema, "components": self._document["components"]}
        errors = jsonschema_rs.Draft202012Validator(whole, validate_formats=True).iter_errors(value)
        assert [error.message for error in errors] == []

    def _resolved(self, parameter: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in parameter:
            return parameter
        name = parameter["$ref"].removeprefix("#/components/parameters/")
        resolved: dict[str, Any] = self._document["components"]["parameters"][name]
        return resolved
