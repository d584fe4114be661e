"""Requests to one shop: all is bounded, nothing is followed, and no key gets into a log or an error."""

from __future__ import annotations

import logging
import os
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from uuid import uuid4

import requests
from requests.utils import get_environ_proxies
from urllib3.exceptions import ConnectTimeoutError, HTTPError, ReadTimeoutError

from bridge import __version__
from bridge.deadline import Deadline, DeadlineAdapter
from bridge.shop.address import host_of, is_https
from bridge.shop.errors import AnswerError, CertificateError, ShopError, ShopUnreachableError
from bridge.shop.models import Login, ShopKeys
from bridge.shop.signature import encoded, signed

USER_AGENT = f"spacebridge/{__version__}"
MAX_ANSWER = 20 * 2**20  # bytes, decompressed
MAX_IDLE = 2.0  # seconds; then a server may be closing the connection, for instance Apache after 5
_CHUNK = 64 * 1024
_BOM = b"\xef\xbb\xbf"

# OpenSSL's codes, by which a certificate is refused.
_EXPIRED, _NOT_YET_VALID, _WRONG_HOST, _WRONG_ADDRESS = 10, 9, 62, 64
_SELF_SIGNED, _UNKNOWN_ISSUER = {18, 19}, {2, 20, 21}


class _WithoutQueries(logging.Filter):
    """Cuts queries off the addresses that urllib3 logs: they hold signatures, and with QUERY the key."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(_without_query(value) for value in record.args)
        return True


def _without_query(value: object) -> object:
    return f"{value.partition('?')[0]}?..." if isinstance(value, str) and "?" in value else value


for _name in ("urllib3.connectionpool", "urllib3.util.retry"):
    logging.getLogger(_name).addFilter(_WithoutQueries())


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, whatever its status. `body`: without a byte order mark. `headers` ignore case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def date(self) -> datetime | None:
        """When the shop's host says that it answered."""
        try:
            date = parsedate_to_datetime(self.headers.get("Date", ""))
            return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
        except (ValueError, OverflowError):
            return None


class ShopConnection:
    """A connection to one shop that stays open between requests, which are apart by `pause` seconds.

    For one thread at a time. Redirects are answers like any other.
    """

    def __init__(
        self,
        url: str,
        *,
        pause: float,
        connect_timeout: float,
        read_timeout: float,
        sleep: Callable[[float], object],
    ) -> None:
        """`read_timeout`: for a request and all of its answer."""
        self.host = host_of(url)
        self.last_answer: Answer | None = None
        self._pause, self._sleep = pause, sleep
        self._timeouts = (connect_timeout, read_timeout)
        self._last_used = 0.0
        self._deadline = Deadline()
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, DeadlineAdapter(self._deadline))
        self._session.trust_env = False  # a .netrc would replace the login
        self._session.proxies = get_environ_proxies(url)
        self._session.verify = (
            os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        )
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.update(
            {"User-Agent": USER_AGENT, "Accept": "application/json", "Cache-Control": "no-cache"}
        )

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        self._session.close()

    def send(
        self,
        method: str,
        address: str,
        query: Mapping[str, str],
        *,
        login: Login | None = None,
        keys: ShopKeys | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Send a request once, with the keys if there is a login, and read its answer.

        Raises ShopUnreachableError, CertificateError, and AnswerError for an answer over MAX_ANSWER bytes.
        """
        headers = {} if body is None else {"Content-Type": "application/json"}
        if login is not None and keys is not None:
            query, more_headers = self._with_keys(method, address, query, login, keys)
            headers |= more_headers
        self._wait()
        self._deadline.start(self._timeouts[1])
        try:
            response = self._session.request(
                method,
                f"{address}?{encoded(query)}" if query else address,
                data=body,
                headers=headers,
                timeout=self._timeouts,
                allow_redirects=False,
                stream=True,
            )
            answer = _read(response)
        except (OSError, ValueError, HTTPError, HTTPException) as error:
            failure = self._failure(error, is_https(address))
        else:
            if answer is not None:
                self.last_answer = answer
                return answer
            self.close()
            failure = AnswerError(
                f"{self.host} answered with more than {MAX_ANSWER // 2**20} MB, which was not read.",
                is_lighter_better=True,
            )
        finally:
            self._last_used = time.monotonic()
        # Outside of `except`, so that the error of requests, which quotes the address, is not its context.
        raise failure

    def _wait(self) -> None:
        idle = time.monotonic() - self._last_used
        if self._last_used and idle < self._pause:
            self._sleep(self._pause - idle)
        if idle > MAX_IDLE:
            self.close()

    def _with_keys(
        self, method: str, address: str, query: Mapping[str, str], login: Login, keys: ShopKeys
    ) -> tuple[Mapping[str, str], dict[str, str]]:
        """The query and the headers of a request that proves that it has the key."""
        key, secret = keys.consumer_key, keys.consumer_secret
        if login is Login.BASIC:
            return query, {"Authorization": f"Basic {b64encode(f'{key}:{secret}'.encode()).decode()}"}
        if login is Login.QUERY:
            return {**query, "consumer_key": key, "consumer_secret": secret}, {}
        if login is Login.OAUTH_HTTP:
            address = f"http:{address.removeprefix('https:')}"
        last = None if self.last_answer is None else self.last_answer.date
        now = time.time() if last is None else last.timestamp() + time.monotonic() - self._last_used
        query = signed(method, address, query, key=key, secret=secret, timestamp=int(now), nonce=uuid4().hex)
        return query, {}

    def _failure(self, error: Exception, was_https: bool) -> ShopError:
        causes = list(_causes(error))
        for cause in causes:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return CertificateError(_of_certificate(self.host, cause.verify_code))
        if any(isinstance(cause, ssl.SSLError) for cause in causes) and was_https:
            return ShopUnreachableError(
                f"{self.host} does not speak https, or in no version that is still safe: the shop's host has "
                "to set it up."
            )
        if any(isinstance(cause, socket.gaierror) for cause in causes):
            return ShopUnreachableError(
                f"There is no host {self.host} by this name (DNS): check the address."
            )
        if any(type(cause) is ConnectTimeoutError for cause in causes):  # others are kinds of it
            seconds = f"{self._timeouts[0]:g} s"
            return ShopUnreachableError(
                f"{self.host} could not be connected to within {seconds}: it is down, or a firewall drops it."
            )
        if any(isinstance(cause, ReadTimeoutError | TimeoutError) for cause in causes):
            return ShopUnreachableError(
                f"{self.host} did not answer completely within {self._timeouts[1]:g} s.",
                is_lighter_better=True,
            )
        if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
            return ShopUnreachableError(
                f"{self.host} refuses connections: its web server is down, or the port is wrong."
            )
        kind = type(causes[-1]).__name__
        return ShopUnreachableError(
            f"There was no connection to {self.host}, or it broke off ({kind}): try again later."
        )


def _read(response: requests.Response) -> Answer | None:
    """The whole answer; None if its body is too large."""
    received = bytearray()
    with response:
        while chunk := response.raw.read1(_CHUNK, decode_content=True):
            received += chunk
            if len(received) > MAX_ANSWER:
                return None
    return Answer(response.status_code, response.headers, bytes(received).removeprefix(_BOM))


def _causes(error: BaseException | None, depth: int = 0) -> Iterator[BaseException]:
    """The error and what it was raised for; urllib3 keeps some of that in arguments."""
    if error is None or depth > 8:
        return
    yield error
    inner: list[Any] = [*error.args, getattr(error, "reason", None), error.__cause__, error.__context__]
    for cause in inner:
        if isinstance(cause, BaseException):
            yield from _causes(cause, depth + 1)


def _of_certificate(host: str, code: int) -> str:
    if code in _SELF_SIGNED:
        return f"The certificate of {host} is self-signed: the shop needs one of a public authority."
    if code == _EXPIRED:
        return f"The certificate of {host} has expired: the shop's host has to renew it."
    if code == _NOT_YET_VALID:
        return f"The certificate of {host} is not valid yet: check this machine's clock, and the certificate."
    if code in {_WRONG_HOST, _WRONG_ADDRESS}:
        return f"The certificate of {host} is of another host: check the address, or have one issued for it."
    if code in _UNKNOWN_ISSUER:
        return (
            f"The certificate of {host} is of an authority that is not known here, or its chain is "
            "incomplete: the shop's host has to install the certificates in between."
        )
    return f"The certificate of {host} cannot be verified (code {code}): the shop's host has to replace it."
