"""The errors that the API answers, with a body as LoopBack's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

Messages = Mapping[str, Sequence[str]]
"""What is wrong with each property of a body, such as `must be a boolean`; never its value."""


class ApiError(Exception):
    """An answer with a status of 400 or above; `counted_as` is its count in `GET /sandbox/documents`."""

    def __init__(
        self, status: int, message: str, *, messages: Messages | None = None, counted_as: str = "refused"
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.messages = messages
        self.counted_as = counted_as

    def body(self) -> dict[str, object]:
        """`{"error": {"statusCode", "name", "message"}}`, and `details` if properties are invalid."""
        error: dict[str, object] = {
            "statusCode": self.status,
            "name": "ValidationError" if self.messages else _name(self.status),
            "message": self.message,
        }
        if self.messages:
            error["details"] = {"context": "Woocommerce", "messages": self.messages}
        return {"error": error}


def invalid(messages: Messages) -> ApiError:
    """The 422 for a body with these problems."""
    details = "; ".join(f"`{name}` {phrase}" for name, phrases in messages.items() for phrase in phrases)
    return ApiError(422, f"The `Woocommerce` instance is not valid. Details: {details}.", messages=messages)


def _name(status: int) -> str:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:  # 499 and the like have no name of their own
        return "Error"
    return "".join(word.capitalize() for word in phrase.split()).removesuffix("Error") + "Error"
