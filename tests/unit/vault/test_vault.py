"""The vault: secrets go in and come out under the right keys, and no key is ever told."""

from __future__ import annotations

import base64
import traceback

import pytest

from bridge.vault.encryption import Vault, WrongKeyError, make_key

OLD, NEW, OTHER = make_key(), make_key(), make_key()
SECRETS = ["", "s3cr3t", "žšč-Müller-株式会社-😀", "  spaces  ", "a\0b", "x" * 10_000]

# 32 bytes whose base64 holds both of the characters in which its two alphabets differ.
RAW = bytes([0xFB, 0xFF, 0xBF] * 10 + [0x3E, 0x3F])
STANDARD = base64.b64encode(RAW).decode()
URL_SAFE = base64.urlsafe_b64encode(RAW).decode()


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_comes_out_as_it_went_in(secret: str) -> None:
    token = Vault([NEW]).encrypt(secret)

    assert Vault([NEW]).decrypt(token) == secret
    assert token.isascii()
    assert not secret or secret not in token


def test_the_same_secret_never_looks_the_same() -> None:
    vault = Vault([NEW])

    assert vault.encrypt("s3cr3t") != vault.encrypt("s3cr3t")


def test_while_keys_are_changed_both_can_be_read_and_the_new_one_is_written() -> None:
    before = Vault([OLD]).encrypt("s3cr3t")
    both = Vault([NEW, OLD])

    after = both.encrypt("s3cr3t")

    assert both.decrypt(before) == "s3cr3t"
    assert both.decrypt(after) == "s3cr3t"
    assert Vault([NEW]).decrypt(after) == "s3cr3t"
    with pytest.raises(WrongKeyError):
        Vault([OLD]).decrypt(after)


def test_any_of_many_keys_decrypts() -> None:
    vault = Vault([NEW, OTHER, OLD])

    for key in (NEW, OTHER, OLD):
        assert vault.decrypt(Vault([key]).encrypt("s3cr3t")) == "s3cr3t"


def test_without_the_key_it_says_where_to_put_it() -> None:
    token = Vault([OLD]).encrypt("s3cr3t")

    with pytest.raises(WrongKeyError) as caught:
        Vault([NEW, OTHER]).decrypt(token)

    assert "SPACEBRIDGE_SECRET_KEY" in str(caught.value)
    told = "".join(traceback.format_exception(caught.value))
    assert all(untold not in told for untold in (NEW, OTHER, OLD, token, "s3cr3t"))


@pytest.mark.parametrize("token", ["", "x", "gAAAA", "g" * 100, "a b", "Žž"])
def test_what_is_no_token_decrypts_under_no_key(token: str) -> None:
    with pytest.raises(WrongKeyError):
        Vault([NEW]).decrypt(token)


def test_a_token_that_was_tampered_with_is_refused() -> None:
    token = Vault([NEW]).encrypt("s3cr3t")
    middle = len(token) // 2
    changed = token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]

    with pytest.raises(WrongKeyError):
        Vault([NEW]).decrypt(changed)


def test_both_alphabets_of_base64_give_the_same_key() -> None:
    assert "+" in STANDARD
    assert "/" in STANDARD
    assert "-" in URL_SAFE
    assert "_" in URL_SAFE

    assert Vault([URL_SAFE]).decrypt(Vault([STANDARD]).encrypt("s3cr3t")) == "s3cr3t"


@pytest.mark.parametrize(("before", "after"), [(" ", ""), ("", "\n"), ("\t", "\r\n")])
def test_space_around_a_key_does_not_matter(before: str, after: str) -> None:
    assert Vault([before + NEW + after]).decrypt(Vault([NEW]).encrypt("s3cr3t")) == "s3cr3t"


def test_a_made_key_is_new_and_fits() -> None:
    keys = {make_key() for _ in range(10)}

    assert len(keys) == 10
    assert all(len(base64.urlsafe_b64decode(key)) == 32 for key in keys)
    Vault(sorted(keys))


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("", id="empty"),
        pytest.param(" ", id="blank"),
        pytest.param("hunter2", id="a password"),
        pytest.param("hunter2" * 6, id="a long password"),
        pytest.param(NEW[:-1], id="without its padding"),
        pytest.param(NEW[1:], id="without its first character"),
        pytest.param(base64.b64encode(b"x" * 31).decode(), id="31 bytes"),
        pytest.param(base64.b64encode(b"x" * 33).decode(), id="33 bytes"),
        pytest.param(base64.b64encode(b"x" * 16).decode(), id="16 bytes"),
        pytest.param("x" * 32, id="32 characters"),
        pytest.param("ab" * 32, id="32 bytes in hexadecimal"),
        pytest.param("é" * 44, id="not ASCII"),
        pytest.param("\0" * 44, id="NUL"),
    ],
)
def test_a_key_of_another_form_is_refused_and_not_told(key: str) -> None:
    assert_refused(key)


@pytest.mark.parametrize(
    "key",
    [
        f"{NEW} {OLD}",  # two keys without their comma: the second would never be used
        f"{NEW}\n{OLD}",
        f"{NEW};{OLD}",
        NEW + OLD,
        NEW + "x",
        "!" + NEW,
        NEW[:20] + "?" + NEW[20:],
    ],
    ids=["space", "newline", "semicolon", "nothing", "after", "before", "within"],
)
def test_a_key_with_anything_else_in_it_is_refused_and_not_told(key: str) -> None:
    assert_refused(key)


def assert_refused(key: str) -> None:
    with pytest.raises(ValueError, match="base64") as caught:
        Vault([OTHER, key])

    told = "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in told
    assert all(untold not in told for untold in (OTHER, NEW, OLD))


def test_a_vault_without_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="no key"):
        Vault([])


# Keys that change while the process runs.


class Source:
    """Where a vault reads its keys anew."""

    def __init__(self, *keys: str) -> None:
        self.keys: list[str] = list(keys)
        self.reads = 0
        self.error: Exception | None = None

    def read(self) -> list[str]:
        self.reads += 1
        if self.error is not None:
            raise self.error
        return self.keys


def test_a_secret_of_a_new_key_is_read_by_a_vault_that_knew_the_old_one() -> None:
    source = Source(OLD)
    vault = Vault(source.keys, reread=source.read)
    source.keys = [NEW]
    assert vault.decrypt(Vault([NEW]).encrypt("s3cr3t")) == "s3cr3t"


def test_what_is_of_a_known_key_is_read_without_asking_for_keys() -> None:
    source = Source(OLD)
    vault = Vault(source.keys, reread=source.read)
    assert vault.decrypt(Vault([OLD]).encrypt("s3cr3t")) == "s3cr3t"
    assert source.reads == 0


def test_a_row_that_was_read_before_a_change_of_keys_is_read_after_it() -> None:
    source = Source(OLD)
    vault = Vault(source.keys, reread=source.read)
    row = Vault([OLD]).encrypt("old")
    source.keys = [NEW]
    assert vault.decrypt(Vault([NEW]).encrypt("new")) == "new"
    assert vault.decrypt(row) == "old"


def test_whatever_is_encrypted_is_of_the_first_key_there_is_now() -> None:
    source = Source(OLD)
    vault = Vault(source.keys, reread=source.read)
    source.keys = [NEW, OLD]
    assert Vault([NEW]).decrypt(vault.encrypt("s3cr3t")) == "s3cr3t"


@pytest.mark.parametrize("keys", [[], ["hunter2"]])
def test_keys_that_are_none_leave_those_that_are_known(keys: list[str]) -> None:
    source = Source(OLD)
    vault = Vault(source.keys, reread=source.read)
    source.keys = keys
    assert Vault([OLD]).decrypt(vault.encrypt("s3cr3t")) == "s3cr3t"
    with pytest.raises(WrongKeyError):
        vault.decrypt(Vault([NEW]).encrypt("s3cr3t"))


def test_a_file_that_is_away_leaves_the_keys_that_are_known() -> None:
    source = Source(OLD)
    vault = Vault(source.keys, reread=source.read)
    source.error = FileNotFoundError("gone")
    assert Vault([OLD]).decrypt(vault.encrypt("s3cr3t")) == "s3cr3t"
    with pytest.raises(WrongKeyError):
        vault.decrypt(Vault([NEW]).encrypt("s3cr3t"))


def test_only_a_token_of_another_than_the_first_key_is_reencrypted() -> None:
    vault = Vault([NEW, OLD])
    renewed = vault.reencrypted(Vault([OLD]).encrypt("s3cr3t"))
    assert renewed is not None
    assert Vault([NEW]).decrypt(renewed) == "s3cr3t"
    assert vault.reencrypted(renewed) is None
    with pytest.raises(WrongKeyError):
        vault.reencrypted(Vault([OTHER]).encrypt("s3cr3t"))
    with pytest.raises(WrongKeyError):
        vault.reencrypted("")
