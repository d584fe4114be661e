"""The endpoints of the Space Invoices API that the bridge calls."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import requests
from requests.utils import get_environ_proxies
from urllib3.exceptions import HTTPError

from bridge import __version__
from bridge.spaceinvoices.outcome import Outcome, Sent, outcome_of_answer, outcome_of_failure

# A connection that lay idle for longer is not used again: its far end may be closing it just now, and a
# request that meets that is of unknown outcome.
MAX_IDLE = 1.0  # seconds
_CHUNK = 64 * 1024


class SpaceInvoicesError(Exception):
    """A call failed. `status` is None without an answer; `permanent`: trying again makes no sense."""

    def __init__(self, message: str, *, status: int | None = None, permanent: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.permanent = permanent


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of handing over an order, and how long it took in seconds."""

    outcome: Outcome
    duration: float


class SpaceInvoices:
    """One account's access to the API. For use by one thread at a time; keeps its connection open."""

    def __init__(self, base_url: str, token: str, *, timeout: float = 30.0) -> None:
        """`base_url` ends in `/v1`; `timeout`: seconds to connect, and between bytes of the answer."""
        self._base_url = base_url.rstrip("/")
        self._timeout = timeout
        self._last_used = 0.0
        self._session = _Session()
        # What the environment says of proxies and certificates is read once, not for each request.
        self._session.trust_env = False
        self._session.proxies = get_environ_proxies(self._base_url)
        self._session.verify = (
            os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        )
        # The bare token, as the API documents it; never in a query, which would end in logs.
        self._session.headers.update({"Authorization": token, "User-Agent": f"spacebridge/{__version__}"})

    def __repr__(self) -> str:
        return f"SpaceInvoices({self._base_url!r})"

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def find_woocommerces(
        self, organization_id: str, *, where: Mapping[str, object] | None = None
    ) -> Sequence[Mapping[str, Any]]:
        """`GET /Organizations/:id/woocommerce`: the organization's store configs that match `where`.

        Raises SpaceInvoicesError.
        """
        path = f"/Organizations/{quote(organization_id, safe='')}/woocommerce"
        query = {"filter": json.dumps({"where": where})} if where else {}
        try:
            response = self._fresh_session().get(
                self._base_url + path, params=query, timeout=self._timeout, allow_redirects=False
            )
            found = response.json() if response.status_code == 200 else None
        except (requests.RequestException, HTTPError, ValueError) as error:
            raise SpaceInvoicesError(
                f"Space Invoices could not be asked for the store's config ({type(error).__name__})."
            ) from None
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            status = response.status_code
            raise SpaceInvoicesError(
                f"Space Invoices answered {status} when asked for the store's config.",
                status=status,
                permanent=400 <= status < 500 and status != 429,
            )
        return found

    def send_order(
        self, woocommerce_id: str, body: bytes, *, idempotency_key: str, deadline: float
    ) -> Answer:
        """`POST /Woocommerce/:id/order`: hand over an order. Never raises.

        After `deadline` (by time.monotonic) nothing is sent any more: connecting may take longer than the
        timeout says, since it is tried for each address that the host's name has.
        The API documents no idempotency key; it is sent for those who read the account's logs.
        """
        started = time.monotonic()
        outgoing = _TrackedBody(body, deadline)
        try:
            response = self._fresh_session().post(
                f"{self._base_url}/Woocommerce/{quote(woocommerce_id, safe='')}/order",
                data=outgoing,
                headers={"Content-Type": "application/json", "Idempotency-Key": idempotency_key},
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            )
        except Exception as error:  # whatever it is, the outcome has to be told
            outcome = outcome_of_failure(error, sent=outgoing.sent)
        else:
            outcome = outcome_of_answer(
                response.status_code,
                retry_after=response.headers.get("Retry-After"),
                excerpt=_beginning(response, within=self._timeout),
                now=datetime.now(UTC),
            )
        self._last_used = time.monotonic()
        return Answer(outcome, self._last_used - started)

    def _fresh_session(self) -> requests.Session:
        if time.monotonic() - self._last_used > MAX_IDLE:
            self._session.close()  # its adapters open new connections as they are needed
        self._last_used = time.monotonic()
        return self._session


class _Session(requests.Session):
    """A session that tells an answer's status whatever else comes with it."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None, always: to see where a redirect leads, requests reads on, and may lose the status."""

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request, and give its connection up if the answer is still to come.

        http.client skips a 100 and takes any other 1xx for the answer. On the same connection, the true one
        would then be read as that of the next request.
        """
        response = super().send(request, **kwargs)
        if response.status_code < 200:
            self.close()
        return response


class _TrackedBody:
    """A request's body that knows how much of it the connection took."""

    def __init__(self, body: bytes, deadline: float) -> None:
        self._body = body
        self._deadline = deadline
        self.sent = Sent.IN_PART

    def __len__(self) -> int:
        return len(self._body)

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._body), _CHUNK):
            if time.monotonic() > self._deadline:
                raise TimeoutError("the time to send the order is over")
            if start + _CHUNK >= len(self._body):
                self.sent = Sent.PERHAPS
            yield self._body[start : start + _CHUNK]
        # urllib3 asks for the next chunk when sendall of the last one has returned. If it raised, it never
        # asks, not even where it passes over the error to read an answer that came early.
        self.sent = Sent.WHOLE


def _beginning(response: requests.Response, *, within: float) -> str:
    """The start of an answer's body, as far as it comes `within` seconds.

    The status has come, so whatever cuts this short changes nothing. A short body is read to its end, which
    frees the connection for the next request.
    """
    start = bytearray()
    give_up_at = time.monotonic() + within
    with contextlib.suppress(Exception), response:
        while len(start) < _CHUNK and time.monotonic() < give_up_at:
            # What there is by now: to wait for a whole chunk of a trickle could take hours.
            piece = response.raw.read1(_CHUNK, decode_content=True)
            if not piece:
                break
            start += piece
    return start.decode("utf-8", "replace")
