"""The client of the Space Invoices API, version 1: its seven endpoints for WooCommerce."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, BaseModel, TypeAdapter, ValidationError

from bridge.retry_after import parse_retry_after
from bridge.spaceinvoices.api import Answer
from bridge.spaceinvoices.errors import SpaceInvoicesError, message_of
from bridge.spaceinvoices.filters import Filter, Where, as_json
from bridge.spaceinvoices.models import NewWoocommerce, Woocommerce, WoocommerceChanges
from bridge.spaceinvoices.outcome import (
    MAX_EXCERPT,
    Effect,
    effect_of,
    outcome_of_answer,
)
from bridge.spaceinvoices.transport import ApiConnection, NoReply, Reply

_Read = TypeVar("_Read")


class _Count(BaseModel, strict=True):
    count: int


def _with_id(woocommerce: Woocommerce) -> Woocommerce:
    if woocommerce.id is None:
        raise ValueError("the answer is no object of the account's")
    return woocommerce


_COUNT = TypeAdapter(_Count)
_OBJECT = TypeAdapter(dict[str, Any])  # whose properties the API does not document
_OBJECTS = TypeAdapter(list[dict[str, Any]])
_WOOCOMMERCE = TypeAdapter(Annotated[Woocommerce, AfterValidator(_with_id)])
_WOOCOMMERCES = TypeAdapter(list[Woocommerce])

Observe = Callable[[str, Sequence[str], int | None, float], None]
"""Called after each request, with its method, the parts of its path, the status of the answer (None if there
is none), and the seconds that it took."""


class SpaceInvoices:
    """One account's access to the API: a `SpaceInvoicesApi`, with all endpoints. Keeps its connection open.

    For use by one thread at a time. Every method but `send_order` raises SpaceInvoicesError, and ValueError
    for an id that cannot be a part of an address, or for values that JSON does not have. None sends anything
    twice.
    """

    def __init__(
        self, api: str | ApiConnection, token: str, *, timeout: float = 30.0, observe: Observe | None = None
    ) -> None:
        """`api`: the address, which ends in `/v1`, or a connection that is shared with other accounts.

        `timeout`: seconds to connect, and then for all of the request and its answer. `observe` must not
        raise. Raises SpaceInvoicesError for a token that no header can carry.
        """
        if not (token.isascii() and token.isprintable()):
            # The error that requests would raise quotes the token.
            raise SpaceInvoicesError(
                "The access token has characters that no header can carry: copy it once more.", permanent=True
            )
        self._connection = ApiConnection(api) if isinstance(api, str) else api
        # The bare token, as the API documents it; never in a query, which would end in logs.
        self._headers = {"Authorization": token}
        self._timeout = timeout
        self._observe = observe

    def __repr__(self) -> str:
        return f"SpaceInvoices({self._connection.base_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def find(
        self, organization_id: str, filter: Filter | Mapping[str, Any] | None = None
    ) -> Sequence[Woocommerce]:
        """`GET /Organizations/:id/woocommerce`: what the filter selects, a hundred at most."""
        mapping = filter.as_mapping() if isinstance(filter, Filter) else filter
        return self._find(organization_id, mapping, _WOOCOMMERCES)

    def find_config(self, organization_id: str, woocommerce_id: str) -> Mapping[str, Any] | None:
        """The same as JSON, each value as the API gave it, of one id; None if there is none (any more)."""
        configs = self._find(organization_id, {"where": {"id": woocommerce_id}}, _OBJECTS)
        return next((config for config in configs if config.get("id") == woocommerce_id), None)

    def list_configs(
        self, organization_id: str, woocommerce_ids: Sequence[str] | None = None
    ) -> Sequence[Mapping[str, Any]]:
        """The same of these ids, or of all; a hundred at most."""
        of_these = None if woocommerce_ids is None else {"where": {"id": {"inq": woocommerce_ids}}}
        return self._find(organization_id, of_these, _OBJECTS)

    def _find(
        self, organization_id: str, filter: Mapping[str, Any] | None, answer: TypeAdapter[_Read]
    ) -> _Read:
        path = ("Organizations", _id(organization_id), "woocommerce")
        action = f"find the Woocommerce objects of organization {organization_id}"
        query = {"filter": as_json(filter)} if filter else {}
        return self._ask(action, "GET", path, answer, query=query)

    def count(self, organization_id: str, where: Where | None = None) -> int:
        """`GET /Organizations/:id/woocommerce/count`: how many meet `where`; deleted ones never do."""
        path = ("Organizations", _id(organization_id), "woocommerce", "count")
        action = f"count the Woocommerce objects of organization {organization_id}"
        return self._ask(action, "GET", path, _COUNT, query={"where": as_json(where)} if where else {}).count

    def create(self, organization_id: str, new: NewWoocommerce) -> Woocommerce:
        """`POST /Organizations/:id/woocommerce`: the object as it was created."""
        path = ("Organizations", _id(organization_id), "woocommerce")
        action = f"create a Woocommerce object in organization {organization_id}"
        return self._ask(action, "POST", path, _WOOCOMMERCE, body=as_json(new.as_mapping()).encode())

    def patch(self, woocommerce_id: str, changes: WoocommerceChanges) -> Woocommerce:
        """`PATCH /Woocommerce/:id`: the object with the changes. All other properties stay as they are."""
        action = f"change Woocommerce object {woocommerce_id}"
        path = ("Woocommerce", _id(woocommerce_id))
        return self._ask(action, "PATCH", path, _WOOCOMMERCE, body=as_json(changes.as_mapping()).encode())

    def delete(self, woocommerce_id: str) -> int:
        """`DELETE /Woocommerce/:id`: how many were deleted, which is one.

        The deletion is soft: only a filter with `deleted` still finds the object.
        """
        action = f"delete Woocommerce object {woocommerce_id}"
        return self._ask(action, "DELETE", ("Woocommerce", _id(woocommerce_id)), _COUNT).count

    def order(self, woocommerce_id: str, order: Mapping[str, Any] | bytes) -> Mapping[str, Any]:
        """`POST /Woocommerce/:id/order`: send an order, which may have a document issued.

        `order` is an order with the Woocommerce object's properties beside it, or such JSON, which is sent
        unchanged. Returns the answer, an object whose properties are not documented. After an error that
        `may_have_taken_effect`, a document may exist.
        """
        action = f"take an order for Woocommerce object {woocommerce_id}"
        path = ("Woocommerce", _id(woocommerce_id), "order")
        body = order if isinstance(order, bytes) else as_json(order).encode()
        return self._ask(action, "POST", path, _OBJECT, body=body)

    def start_import(self, woocommerce_id: str, type: str, options: str | None = None) -> Mapping[str, Any]:
        """`POST /Woocommerce/:id/import`: start an import, with `options` as the API's `importOptions`.

        Returns the answer, an object. The API document names neither the types nor the options.
        """
        action = f"start an import for Woocommerce object {woocommerce_id}"
        path = ("Woocommerce", _id(woocommerce_id), "import")
        body = {"type": type} if options is None else {"type": type, "importOptions": options}
        return self._ask(action, "POST", path, _OBJECT, body=as_json(body).encode())

    def send_order(
        self, woocommerce_id: str, body: bytes, *, idempotency_key: str, is_too_late: Callable[[], bool]
    ) -> Answer:
        """`POST /Woocommerce/:id/order`, as SpaceInvoicesApi has it.

        The API documents no idempotency key; it is sent for people who read the account's logs.
        """
        reply, duration = self._send(
            "POST",
            ("Woocommerce", woocommerce_id, "order"),
            body=body,
            headers={**self._headers, "Idempotency-Key": idempotency_key},
            is_too_late=is_too_late,
        )
        if isinstance(reply, NoReply):
            return Answer(reply.outcome, duration)
        outcome = outcome_of_answer(
            reply.status,
            retry_after=reply.retry_after,
            excerpt=reply.body[: 4 * MAX_EXCERPT].decode("utf-8", "replace"),
            is_object=_is_object(reply),
            now=datetime.now(UTC),
        )
        return Answer(outcome, duration)

    def _ask(
        self,
        action: str,
        method: str,
        path: Sequence[str],
        answer: TypeAdapter[_Read],
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> _Read:
        """Send a request, and read its answer; `action` is what the API is asked to do, for messages."""
        is_change = method != "GET"
        reply, _ = self._send(method, path, headers=self._headers, query=query, body=body)
        if isinstance(reply, NoReply):
            raise _no_answer(action, reply, is_change=is_change)
        if effect_of(reply.status) is not Effect.ISSUED:
            raise _refusal(action, reply, is_change=is_change)
        try:
            return _read(reply, answer)
        except (ValueError, RecursionError) as error:
            # Pydantic's own text would quote the answer.
            place = _place(error) if isinstance(error, ValidationError) else ""
        where = f" ({place})" if place else ""
        raise SpaceInvoicesError(
            f"Space Invoices answered {reply.status} when asked to {action}, "
            f"with what cannot be read{where}.",
            status=reply.status,
            may_have_taken_effect=is_change,
        )

    def _send(self, method: str, path: Sequence[str], **options: Any) -> tuple[Reply | NoReply, float]:
        """Send a request with these options of ApiConnection.send; also returns how many seconds it took."""
        started = time.monotonic()
        reply = self._connection.send(method, path, timeout=self._timeout, **options)
        seconds = time.monotonic() - started
        if self._observe is not None:
            self._observe(method, path, reply.status if isinstance(reply, Reply) else None, seconds)
        return reply, seconds


def _no_answer(action: str, reply: NoReply, *, is_change: bool) -> SpaceInvoicesError:
    is_unknown = reply.outcome.effect is Effect.UNKNOWN
    template = "was asked to {}, and no answer came ({})" if is_unknown else "could not be asked to {} ({})"
    return SpaceInvoicesError(
        f"Space Invoices {template.format(action, reply.kind)}.",
        may_have_taken_effect=is_unknown and is_change,
    )


def _refusal(action: str, reply: Reply, *, is_change: bool) -> SpaceInvoicesError:
    effect = effect_of(reply.status)
    return SpaceInvoicesError(
        f"Space Invoices answered {reply.status} when asked to {action}.",
        status=reply.status,
        permanent=effect in {Effect.REFUSED, Effect.ACCOUNT_REFUSED},
        may_have_taken_effect=effect is Effect.UNKNOWN and is_change,
        retry_after=parse_retry_after(reply.retry_after, now=datetime.now(UTC)),
        api_message=message_of(reply.body),
    )


def _id(text: str) -> str:
    """An id as a part of an address; raises ValueError for one that would make another address."""
    if not text or text in {".", ".."} or not text.isprintable():
        raise ValueError("an id is neither empty nor dots, and has no control characters")
    return text


def _read(reply: Reply, answer: TypeAdapter[_Read]) -> _Read:
    """An answer as it is documented; raises ValueError or RecursionError for any other."""
    if not reply.is_whole:
        raise ValueError("the answer came only in part")
    return answer.validate_python(json.loads(reply.body))


def _is_object(reply: Reply) -> bool:
    try:
        _read(reply, _OBJECT)
    except (ValueError, RecursionError):
        return False
    return True


def _place(error: ValidationError) -> str:
    """Where an answer differs from its documentation: `3.active`; empty if all of it does."""
    place = error.errors(include_url=False, include_context=False, include_input=False)[0]["loc"]
    return ".".join(map(str, place))
