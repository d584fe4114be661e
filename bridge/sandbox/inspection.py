"""The pages and the JSON under `/sandbox`, for people and tests; no part of the API, and without a token."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from flask import Response, jsonify, render_template, request
from markupsafe import Markup

from bridge.sandbox.errors import ApiError
from bridge.sandbox.state import Account

DOCUMENTS_ON_A_PAGE = 100
OTHERS_ON_A_PAGE = 50
_STYLE = (Path(__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
# Strangers write the orders: a page that shows them runs no script, loads nothing and leads nowhere.
_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Inspection:
    """The pages for people, and the same as JSON for programs."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def about(self) -> Response:
        """`GET /`: what this is, and where to look."""
        return _page("about.html")

    def page(self) -> Response:
        """`GET /sandbox?before=n`: the newest documents, or those before the nth, stores, imports, counts."""
        before = _whole_number("before") if "before" in request.args else None
        overview = self._account.overview(
            before=before, documents=DOCUMENTS_ON_A_PAGE, others=OTHERS_ON_A_PAGE
        )
        return _page("sandbox.html", is_newest=before is None, **overview)

    def documents(self) -> Response:
        """`GET /sandbox/documents?since=n`: the documents after the first n, and the counts."""
        documents, counts = self._account.documents(_whole_number("since"))
        return jsonify({"documents": documents, "counts": counts})

    def body(self, number: str) -> Response:
        """`GET /sandbox/documents/<number>/body`: the request that was answered with this document."""
        body = self._account.body(number)
        if body is None:
            raise ApiError(404, f"There is no document {number}.")
        return Response(body, mimetype="application/json", headers=_HEADERS)

    def imports(self) -> Response:
        """`GET /sandbox/imports`: the newest imports, oldest first."""
        return jsonify({"imports": self._account.imports()})


def _whole_number(name: str) -> int:
    text = request.args.get(name, "0")
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ApiError(400, f"`{name}` has to be a number of documents.")
    return int(text)


def _page(template: str, **context: object) -> Response:
    # The style is the sandbox' own text, and must not be escaped, since its hash is that of the text.
    text = render_template(template, style=Markup(_STYLE), **context)  # noqa: S704
    # JSON can hold half a character, and UTF-8 cannot.
    return Response(text.encode("utf-8", "replace"), mimetype="text/html", headers=_HEADERS)
