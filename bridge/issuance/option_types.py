"""The types of options that a store can have: how people write each, what is checked, and what is stored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from bridge.issuance.shop import address_of
from bridge.issuance.status import STANDARD_STATUSES

ALL = "all"  # in the place of the moment from which orders are issued
NOTHING = ("none", "")  # as text


class OptionError(ValueError):
    """There is no such option, or it cannot have this value; the message says what it can be."""


@dataclass(frozen=True, slots=True)
class Option(ABC):
    """One option: how people write its values (`sample`), and the sentence that explains it.

    A value has three forms: text on the command line; JSON (or TOML) in a file, on the screen and in the
    option's column; Python where it is used. `parse` makes JSON of text, `read` makes Python of what people
    wrote in JSON, `dump` makes JSON of Python, and `load` makes Python of what `dump` returned.
    """

    sample: str
    meaning: str
    _: KW_ONLY
    name: str = ""
    nullable: bool = False
    """Whether its column may be NULL, which stands for the default: for lists that a migration adds."""
    is_learned: bool = False
    """Whether the bridge finds it out by itself: a file that does not name it leaves it as it is."""

    def parse(self, text: str, now: datetime) -> object:
        """The value that text means; raises OptionError. `now` is the moment that the word `now` means."""
        return text

    @abstractmethod
    def read(self, value: object) -> Any:
        """The value in Python; raises OptionError for one that the option cannot have."""

    def load(self, value: Any) -> Any:
        """The same for a value that `dump` has returned."""
        return value

    def dump(self, value: Any) -> Any:
        """The value as JSON has it."""
        return value


class Flag(Option):
    """Yes or no."""

    def parse(self, text: str, now: datetime) -> object:
        return text == "true" if text in {"true", "false"} else text

    def read(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise OptionError(f"{self.name} is true or false, not {value!r}.")
        return value


class Choice(Option):
    """One word of several: `sample` has them all."""

    def read(self, value: object) -> str:
        *words, last = self.sample.split("|")
        if not isinstance(value, str) or value not in {*words, last}:
            raise OptionError(f"{self.name} is {', '.join(words)} or {last}, not {value!r}.")
        return value


class _List(Option):
    """A list, which text separates by commas."""

    def parse(self, text: str, now: datetime) -> object:
        return [] if text.strip() in NOTHING else [part.strip() for part in text.split(",")]


class _Words(_List):
    """A set of words."""

    def load(self, value: Sequence[str]) -> frozenset[str]:
        return frozenset(value)

    def dump(self, value: frozenset[str]) -> Sequence[str]:
        return sorted(value)


class PaymentMethods(_Words):
    """Ids of payment methods, whose last character may be a wildcard."""

    def read(self, value: object) -> frozenset[str]:
        if not isinstance(value, list) or not all(
            _is_word(method) and "*" not in method[:-1] for method in value
        ):
            raise OptionError(
                f"{self.name} are ids of payment methods, such as bacs or bacs,cheque, not {value!r}. "
                "The last character may be a *, which stands for any ending."
            )
        if "*" in value:
            raise OptionError(f"{self.name}: * alone would make a bank payment of every payment.")
        return frozenset(value)


class MetadataKeys(_Words):
    """Keys of an order's metadata."""

    def read(self, value: object) -> frozenset[str]:
        if not isinstance(value, list) or not all(_is_word(key) for key in value):
            raise OptionError(f"{self.name} are keys of an order's metadata, not {value!r}.")
        return frozenset(value)


class Addresses(_List):
    """Addresses of sites, each in one form and once."""

    def read(self, value: object) -> Sequence[str]:
        urls = value if isinstance(value, list) else [value]
        for url in urls:
            if not address_of(url):
                raise OptionError(
                    f"{self.name} are the addresses of the shop, such as shop.example or "
                    f"https://shop.example/de, not {str(url)!r}."
                )
        return tuple(dict.fromkeys(address_of(url) for url in urls))

    def load(self, value: Sequence[str]) -> Sequence[str]:
        return tuple(value)

    def dump(self, value: Sequence[str]) -> Sequence[str]:
        return list(value)


class StatusMap(Option):
    """A status of WooCommerce's own for each custom one."""

    def parse(self, text: str, now: datetime) -> object:
        return {} if text.strip() in NOTHING else dict(self._pair(part) for part in text.split(","))

    def _pair(self, text: str) -> tuple[str, str]:
        custom, separator, standard = text.strip().partition(":")
        if not separator:
            raise OptionError(f"{self.name}: {text!r} is not CUSTOM:STANDARD, such as shipped:completed.")
        return custom.strip(), standard.strip()

    def read(self, value: object) -> Mapping[str, str]:
        if not isinstance(value, dict):
            raise OptionError(f"{self.name} gives custom statuses a standard one each, and is not {value!r}.")
        for custom, standard in value.items():
            if not _is_word(custom) or custom.startswith("wc-"):
                raise OptionError(
                    f"{self.name}: {custom!r} is no status as webhooks have it: that is one word, without "
                    "wc-."
                )
            if custom in STANDARD_STATUSES:
                raise OptionError(
                    f"{self.name}: {custom} is a status of WooCommerce's own, and means what it says."
                )
            if not isinstance(standard, str) or standard not in STANDARD_STATUSES:
                raise OptionError(
                    f"{self.name}: {custom} cannot be mapped to {standard!r}: that has to be one of "
                    f"{', '.join(STANDARD_STATUSES)}."
                )
        return value

    def dump(self, value: Mapping[str, str]) -> Mapping[str, str]:
        return dict(sorted(value.items()))


class StartDate(Option):
    """A moment, or None for `all`."""

    def parse(self, text: str, now: datetime) -> object:
        return now.isoformat() if text == "now" else text

    def read(self, value: object) -> datetime | None:
        try:
            return _moment(value)
        except (ValueError, OverflowError):
            raise OptionError(
                f"{self.name} is a date such as 2026-11-01, or all, not {str(value)!r}."
                + (" In a file, leave it out for now." if value == "now" else "")
            ) from None

    def load(self, value: str) -> datetime | None:
        return None if value == ALL else datetime.fromisoformat(value)

    def dump(self, value: datetime | None) -> str:
        return ALL if value is None else value.isoformat()


def _moment(value: object) -> datetime | None:
    """A moment in UTC, or None for `all`; raises ValueError. A date is its beginning in UTC."""
    match value:
        case str() if value == ALL:
            return None
        case str():
            moment = datetime.fromisoformat(value)
        case datetime():  # as TOML has it
            moment = value
        case date():
            moment = datetime.combine(value, time.min)
        case _:
            raise ValueError("no date")
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _is_word(value: object) -> bool:
    """Text without spaces, and without what no database takes."""
    if not isinstance(value, str) or not value.isprintable():
        return False
    return value != "" and not {" ", ",", ":"} & set(value)
