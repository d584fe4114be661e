"""The webhook signature: what a real shop signed fits, and nothing else does."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from bridge.web.signature import is_signed, sign, unescape
from tests.support import recorded
from tests.support.recorded import Recorded

FILES = ["life-of-a-store", "not-a-current-order", "odd-secrets", "same-second-burst"]
SIGNED = [one for name in FILES for one in recorded.load(name) if not one.is_ping]
WITH_A_SECRET = [one for one in SIGNED if one.secret]
WITH_NONE = [one for one in SIGNED if not one.secret]
SECRETS = sorted({one.secret for one in WITH_A_SECRET})

BODY = b'{"id":355}'
SECRET = "s3cr3t-Plain_ascii.2026"


def signature_of(one: Recorded) -> str:
    return one.headers["X-WC-Webhook-Signature"]


def hmac_of(body: bytes, key: bytes) -> str:
    return base64.b64encode(hmac.new(key, body, hashlib.sha256).digest()).decode()


def signed_with(secret: str) -> list[Recorded]:
    found = [one for one in WITH_A_SECRET if one.secret == secret]
    assert found
    return found


@pytest.mark.parametrize("secret", SECRETS, ids=ascii)
def test_what_the_shop_signed_fits(secret: str) -> None:
    for one in signed_with(secret):
        assert is_signed(one.body, signature_of(one), secret)
        assert sign(one.body, secret) == signature_of(one)


@pytest.mark.parametrize("secret", SECRETS, ids=ascii)
def test_a_body_with_one_other_byte_does_not_fit(secret: str) -> None:
    for one in signed_with(secret):
        for at in (0, len(one.body) // 2, len(one.body) - 1):
            changed = bytearray(one.body)
            changed[at] ^= 1

            assert not is_signed(bytes(changed), signature_of(one), secret)


def test_an_empty_secret_fits_nothing_though_the_shop_signed_with_it() -> None:
    """With an empty key, anyone can sign."""
    for one in WITH_NONE:
        assert sign(one.body, "") == signature_of(one)
        assert not is_signed(one.body, signature_of(one), "")


def test_the_recordings_hold_secrets_of_every_kind() -> None:
    assert len(WITH_A_SECRET) == 136
    assert len(WITH_NONE) == 2
    assert len({one.secret for one in SIGNED}) == 8


@pytest.mark.parametrize("other", ["", "S3cr3t-Plain_ascii.2026", SECRET + " ", " " + SECRET, SECRET[:-1]])
def test_another_secret_does_not_fit(other: str) -> None:
    assert not is_signed(BODY, sign(BODY, SECRET), other)


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        # the names that WordPress undoes
        ("&amp;", "&"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", '"'),
        # the numbers, with any zeros before them
        ("&#039;", "'"),
        ("&#39;", "'"),
        ("&#0000039;", "'"),
        ("&#x27;", "'"),
        ("&#X27;", "'"),
        ("&#x0026;", "&"),
        ("&#x26;", "&"),
        ("&#38;", "&"),
        ("&#038;", "&"),
        ("&#60;", "<"),
        ("&#060;", "<"),
        ("&#62;", ">"),
        ("&#062;", ">"),
        ("&#34;", '"'),
        ("&#034;", '"'),
        ("&#x22;", '"'),
        # many at once
        ("x&amp;y&lt;z&quot;w&#039;v&gt;", "x&y<z\"w'v>"),
        # once, and not again
        ("&amp;lt;", "&lt;"),
        ("&amp;amp;amp;", "&amp;amp;"),
        ("&#38;#39;", "&#39;"),
        ("&&amp;;", "&&;"),
    ],
)
def test_an_escaped_secret_is_undone_as_wordpress_does(secret: str, key: str) -> None:
    assert unescape(secret) == key
    assert sign(BODY, secret) == hmac_of(BODY, key.encode())
    assert is_signed(BODY, hmac_of(BODY, key.encode()), secret)


@pytest.mark.parametrize(
    "secret",
    [
        "&apos;",
        "&#x3c;",
        "&#x3C;",
        "&#x3e;",
        "&nbsp;",
        "&#64;",
        "&#x40;",
        "&#x39;",
        "&AMP;",
        "&Lt;",
        "&amp",
        "&#39",
        "& amp;",
        "&#;",
        "&#x;",
        "&;",
        "&#0;",
        "&#\u0663\u0669;",  # 39 in other digits
        "&eacute;",
        "p&q<r>s\"t'u",
        "ab%41cd%zz+e",
        "  lead and trail  ",
        "žšč-Müller-株式会社-😀",
    ],
)
def test_what_wordpress_leaves_alone_is_the_key_itself(secret: str) -> None:
    assert unescape(secret) == secret
    assert sign(BODY, secret) == hmac_of(BODY, secret.encode())


@pytest.mark.parametrize(
    "signature",
    [
        "",
        " ",
        "=",
        "žšč",
        "é" * 44,
        "\udce9",  # bytes of a header that are not UTF-8
        "\ud800" * 44,
        "\0",
        "x" * 1_000_000,
        SECRET,
        hmac_of(BODY, SECRET.encode()).lower(),
        hmac_of(BODY, SECRET.encode())[:-1],
        hmac_of(BODY, SECRET.encode()) + "=",
        hmac_of(BODY, SECRET.encode()).rstrip("="),
        hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest(),
    ],
    ids=lambda value: ascii(value[:12]),
)
def test_any_other_signature_is_refused(signature: str) -> None:
    assert not is_signed(BODY, signature, SECRET)


@pytest.mark.parametrize(("before", "after"), [(" ", ""), ("", " "), ("\t", "\t"), ("", "\r\n")])
def test_space_around_the_signature_does_not_matter(before: str, after: str) -> None:
    assert is_signed(BODY, before + sign(BODY, SECRET) + after, SECRET)


def test_an_empty_body_can_be_signed() -> None:
    assert is_signed(b"", sign(b"", SECRET), SECRET)
    assert not is_signed(b"", "", SECRET)
