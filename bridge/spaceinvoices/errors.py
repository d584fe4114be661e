"""How a call fails: one error, which says whether trying again makes sense."""

from __future__ import annotations

import json

MAX_API_MESSAGE = 500  # characters


class SpaceInvoicesError(Exception):
    """A call failed, or its answer cannot be understood. Its text quotes ids and statuses, and nothing else.

    `status` is None without an answer. `permanent`: trying again makes no sense before something is changed.
    `may_have_taken_effect`: the request asked for a change, and whether that was made is not known, so that
    trying again may make it twice. `retry_after`: seconds, if the answer asked for them. `api_message`: what
    the API says of it, as one printable line. It may quote what was sent, so it is for whoever sent that.
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
    """What an answer of 400 or above says, as one printable line of bounded length; None if nothing.

    LoopBack's body is `{"error": {"statusCode", "name", "message", "details"}}`. The `details` of an invalid
    object have `messages`, lists of phrases by property, which the message has in itself as a rule.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None  # whatever it is, it does not come from the API
    error = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(error, str):
        return printable_line(error)
    if not isinstance(error, dict):
        return None
    message = error.get("message")
    said = [message] if isinstance(message, str) else []
    details = error.get("details")
    messages = details.get("messages") if isinstance(details, dict) else None
    for name, phrases in messages.items() if isinstance(messages, dict) else []:
        if name not in "".join(said[:1]) and isinstance(phrases, list):
            said += [f"{name} {phrase}" for phrase in phrases if isinstance(phrase, str)]
    return printable_line("; ".join(said))


def printable_line(text: str) -> str | None:
    """`text` as a line of at most MAX_API_MESSAGE characters; None if there is nothing to be seen in it."""
    clean = "".join(character if character.isprintable() else " " for character in text)
    line = " ".join(clean.split())
    if len(line) > MAX_API_MESSAGE:
        line = line[: MAX_API_MESSAGE - 1] + "…"
    return line or None
