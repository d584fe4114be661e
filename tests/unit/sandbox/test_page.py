"""The sandbox's pages for people: what they show, and that nothing on them runs or loads."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
from flask.testing import FlaskClient

from tests.unit.sandbox.test_sandbox import NEW, OBJECTS, STORE, hand_over, read, sandbox

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """A page's elements, as (name, attributes), and its text in pieces."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.pieces: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.pieces.append(data.strip())

    def links(self) -> list[str]:
        return [str(attributes["href"]) for name, attributes in self.elements if name == "a"]

    def has(self, *words: str) -> bool:
        """Whether the words are next to each other on the page."""
        return any(tuple(self.pieces[at : at + len(words)]) == words for at in range(len(self.pieces)))

    def numbers(self) -> list[str]:
        """The documents' numbers, in the order they are shown."""
        return [piece for piece in self.pieces if re.fullmatch(r"(INV|EST)-[0-9]{4}-[0-9]+", piece)]


def page(client: FlaskClient, path: str = "/sandbox") -> Page:
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    return Page(response.get_data(as_text=True))


def test_a_sandbox_that_did_nothing_says_so() -> None:
    shown = page(sandbox())
    assert shown.has("No document was issued twice, and no estimate after its invoice.")
    assert shown.has("invoices", "0")
    assert shown.has("Shop", STORE)
    assert shown.numbers() == []
    assert shown.pieces.count("None.") == 2  # no documents, no imports


def test_the_page_leads_everywhere_there_is_something_to_see() -> None:
    client = sandbox()
    hand_over(client)
    assert page(client, "/").links() == ["/sandbox", "/sandbox/documents", "/sandbox/imports"]
    links = page(client).links()
    assert links == ["/sandbox/documents/INV-2026-0001/body", "/sandbox/documents"]
    assert all(client.get(link).status_code == 200 for link in links)


def test_documents_are_shown_newest_first_with_all_that_tells_them_apart() -> None:
    client = sandbox()
    hand_over(client, id=1, number="A-1", total="12.50")
    hand_over(client, id=2, number="A-2", total="99.90", payment_method="bacs", status="on-hold")
    shown = page(client)
    assert shown.numbers() == ["EST-2026-0001", "INV-2026-0001"]
    assert shown.has("EST-2026-0001", "estimate", "A-2", "99.90 EUR", "Shop", "2026-03-01 09:30:00 UTC")
    assert shown.has("INV-2026-0001", "invoice", "A-1", "12.50 EUR", "Shop", "2026-03-01 09:30:00 UTC")
    assert shown.has("Shop", STORE, "1", "1")  # its invoices and estimates


def test_what_must_not_be_is_in_plain_sight() -> None:
    client = sandbox()
    hand_over(client, id=1)
    hand_over(client, id=1)
    hand_over(client, id=1, payment_method="bacs", status="on-hold")
    for order_id in range(2, 200):
        hand_over(client, id=order_id)  # so many that they would be pages away
    shown = page(client)
    assert shown.has(
        "Issued again (DUPLICATE): 1.\nEstimates after their invoice (OUT OF ORDER): 1.", "What must not be"
    )
    marks = [piece for piece in shown.pieces if piece in {"DUPLICATE", "OUT OF ORDER"}]
    assert marks == ["OUT OF ORDER", "DUPLICATE"]
    assert shown.numbers()[:3] == ["EST-2026-0001", "INV-2026-0002", "INV-2026-0200"]
    assert not shown.has("No document was issued twice, and no estimate after its invoice.")


def test_a_document_that_is_both_is_marked_as_both() -> None:
    client = sandbox()
    hand_over(client, payment_method="bacs", status="on-hold")
    hand_over(client)
    hand_over(client, payment_method="bacs", status="on-hold")
    assert page(client).has("DUPLICATE", "OUT OF ORDER")


def test_documents_come_a_hundred_at_a_time() -> None:
    client = sandbox()
    for order_id in range(1, 251):
        hand_over(client, id=order_id)
    seen: list[str] = []
    path = "/sandbox"
    while path:
        shown = page(client, path)
        seen += shown.numbers()
        path = next((link for link in shown.links() if "before" in link), "")
        hand_over(client, id=1_000 + len(seen))  # what is new does not shift the pages
    assert seen == [f"INV-2026-{position:04d}" for position in range(250, 0, -1)]


@pytest.mark.parametrize("before", ["x", "-1", "1" * 20, ""])
def test_a_page_that_cannot_be_is_a_bad_request(before: str) -> None:
    assert sandbox().get("/sandbox", query_string={"before": before}).status_code == 400


@pytest.mark.parametrize("before", [0, 1, 5])
def test_a_page_beyond_the_documents_there_are_is_a_page(before: int) -> None:
    client = sandbox()
    hand_over(client)
    assert len(page(client, f"/sandbox?before={before}").numbers()) == (before == 5)


def test_stores_are_shown_with_what_they_are_set_to_and_the_deleted_ones_too() -> None:
    client = sandbox({"issueInvoiceOnComplete": True})
    inactive = read(client.post(OBJECTS, json={**NEW, "name": "Closed", "active": False}))["id"]
    gone = read(client.post(OBJECTS, json={**NEW, "name": "Gone"}))["id"]
    client.delete(f"/v1/Woocommerce/{gone}")
    shown = page(client)
    assert shown.has("Shop", STORE, "issueInvoiceOnComplete", "0", "0")
    assert shown.has("Closed", inactive, "0", "0", "inactive")
    assert shown.has("Gone", gone, "0", "0", "deleted")


def test_imports_are_shown_newest_first() -> None:
    client = sandbox()
    for body in ({"type": "orders", "importOptions": "all"}, {"type": "items"}):
        client.post(f"/v1/Woocommerce/{STORE}/import", json=body)
    shown = page(client)
    assert shown.has("items", "Shop", "2026-03-01 09:30:00 UTC", "orders", "all", "Shop")


def test_long_lists_are_cut_and_say_so() -> None:
    client = sandbox()
    for number in range(60):
        client.post(OBJECTS, json={**NEW, "name": f"Shop {number}"})
        client.post(f"/v1/Woocommerce/{STORE}/import", json={"type": "orders"})
        hand_over(client, id=1)
    shown = page(client)
    assert shown.has("The first 50 of 61.")
    assert shown.has("The newest 50;", "more as JSON")
    assert shown.has("The newest 50 of 59.")  # duplicates


def test_whatever_an_order_or_a_store_holds_is_text() -> None:
    client = sandbox({"name": HOSTILE})
    hand_over(client, name=HOSTILE, number=HOSTILE)
    client.post(f"/v1/Woocommerce/{STORE}/import", json={"type": HOSTILE, "importOptions": HOSTILE})
    shown = page(client)
    assert {name for name, _ in shown.elements}.isdisjoint({"script", "img"})
    assert not [attributes for _, attributes in shown.elements if "onerror" in attributes]
    assert shown.pieces.count(HOSTILE) == 6  # an order's number, two imports' values, and thrice the store


def test_half_a_character_which_json_can_hold_breaks_no_page() -> None:
    client = sandbox()
    assert hand_over(client, number="\ud800").status_code == 200
    assert page(client).has("INV-2026-0001", "invoice")


@pytest.mark.parametrize("path", ["/", "/sandbox"])
def test_nothing_on_a_page_runs_loads_or_is_framed(path: str) -> None:
    response = sandbox().get(path)
    html = response.get_data(as_text=True)
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert response.headers["Content-Security-Policy"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    loading = {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
    shown = Page(html)
    assert {name for name, _ in shown.elements}.isdisjoint(loading)
    assert not any("style" in attributes for _, attributes in shown.elements)
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in shown.elements


def test_the_body_of_a_document_is_never_taken_for_a_page() -> None:
    client = sandbox()
    hand_over(client, billing={"first_name": HOSTILE})
    response = client.get("/sandbox/documents/INV-2026-0001/body")
    assert response.mimetype == "application/json"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
