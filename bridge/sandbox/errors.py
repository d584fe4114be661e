"""The errors that the API answers, with bodies like LoopBack's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

Problems = Mapping[str, Sequence[str]]
"""What is wrong with each property of a body, such as `must be a boolean`; never its value."""


class ApiError(Exception):
    """An answer with a status of 400 or above; `counted_as` is its count in `GET /sandbox/documents`."""

    def __init__(
        self, status: int, message: str, *, problems: Problems | None = None, counted_as: str = "refused"
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.problems = problems
        self.counted_as = counted_as

    def body(self) -> dict[str, object]:
        """`{"error": {"statusCode", "name", "message"}}`, and `details` if properties are invalid."""
        error: dict[str, object] = {
            "statusCode": self.status,
            "name": "ValidationError" if self.problems else _name(self.status),
            "message": self.message,
        }
        if self.problems:
            error["details"] = {"context": "Woocommerce", "messages": self.problems}
        return {"error": error}


def refuse_invalid(problems: Problems) -> None:
    """Raise the 422 for a body that has any problems."""
    if problems:
        details = "; ".join(f"`{name}` {phrase}" for name, phrases in problems.items() for phrase in phrases)
        message = f"The `Woocommerce` instance is not valid. Details: {details}."
        raise ApiError(422, message, problems=problems)


def _name(status: int) -> str:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:  # 499 and the like have no name of their own
        return "Error"
    return "".join(word.capitalize() for word in phrase.split()).removesuffix("Error") + "Error"
