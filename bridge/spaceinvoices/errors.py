"""How a call fails: one error, which says whether trying again makes sense.

    Exception
    ├── SpaceInvoicesError
    │   ├── a token that no header can carry         permanent
    │   ├── no connection, or half a request         try again
    │   ├── no answer to a whole request             may have taken effect
    │   ├── 401, 403: the account is refused         permanent
    │   ├── 408, 429, 500, 503: it was not taken     try again, after `retry_after` if the answer names it
    │   ├── any other 3xx or 4xx: it is refused      permanent; `api_message` may say why
    │   ├── 502, 504, any other status               may have taken effect
    │   └── 2xx with a body that cannot be read      may have taken effect
    └── ValueError: an id or values that cannot be sent

A request that only reads has no effect, so it can always be tried again. `send_order` raises none of these:
it returns the same cases as an Effect (outcome.py).
"""

from __future__ import annotations

import json

MAX_API_MESSAGE = 500  # characters


class SpaceInvoicesError(Exception):
    """A call failed, or its answer cannot be read. The text has ids and statuses, and no other data.

    `status` is None without an answer. `permanent`: trying again makes no sense before something is changed.
    `may_have_taken_effect`: the request asked for a change that may have been made, and trying again may make
    it twice. `retry_after`: seconds, if the answer asked for them. `api_message`: what the API says, as one
    printable line. It may quote what was sent, so it is shown to the sender and never logged.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        permanent: bool = False,
        may_have_taken_effect: bool = False,
        retry_after: float | None = None,
        api_message: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.permanent = permanent
        self.may_have_taken_effect = may_have_taken_effect
        self.retry_after = retry_after
        self.api_message = api_message


def message_of(body: bytes) -> str | None:
    """What an answer of 400 or above says, as one printable line of bounded length; None if it says nothing.

    LoopBack's body is `{"error": {"statusCode", "name", "message", "details"}}`. The `details` of an invalid
    object have `messages`, lists of phrases by property, most of which the message has, too.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None  # from a proxy, not from the API
    error = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(error, str):
        return printable_line(error)
    if not isinstance(error, dict):
        return None
    message = error.get("message")
    phrases = [message] if isinstance(message, str) else []
    details = error.get("details")
    messages = details.get("messages") if isinstance(details, dict) else None
    for name, of_property in messages.items() if isinstance(messages, dict) else []:
        if name not in "".join(phrases[:1]) and isinstance(of_property, list):
            phrases += [f"{name} {phrase}" for phrase in of_property if isinstance(phrase, str)]
    return printable_line("; ".join(phrases))


def printable_line(text: str) -> str | None:
    """`text` as a line of at most MAX_API_MESSAGE characters; None if it has no visible character."""
    clean = "".join(character if character.isprintable() else " " for character in text)
    line = " ".join(clean.split())
    if len(line) > MAX_API_MESSAGE:
        line = line[: MAX_API_MESSAGE - 1] + "…"
    return line or None
