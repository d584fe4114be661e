"""The Woocommerce object, and what is sent to create or change one.

Attributes have Python's names, and the API's as aliases: `unit_id` is `unitId`. The API accepts properties
beyond those it documents. They keep their names, and are sent, too.
"""

from __future__ import annotations

import re
from collections.abc import Set
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

_OFFSET_AND_Z = re.compile(r"([+-]\d\d:?\d\d)Z$")


def read_date(value: object) -> datetime | str | None:
    """A date as an aware datetime; text that is no date stays as it is, and anything else is None.

    The API document's samples are ISO 8601 with both an offset and a `Z` (`2022-04-20T10:10:30+00:00Z`). A
    date with neither is taken as UTC.
    """
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        return None
    try:
        date = datetime.fromisoformat(_OFFSET_AND_Z.sub(r"\1", value))
    except ValueError:
        return value
    return date if date.tzinfo else date.replace(tzinfo=UTC)


Date = Annotated[
    datetime | str | None,
    BeforeValidator(read_date),
    PlainSerializer(lambda date: date.isoformat() if isinstance(date, datetime) else date),
]


class _Properties(BaseModel):
    """What can be set, by the API document's "The Woocommerce object"."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, alias_generator=to_camel)

    name: str | None = None  # of the store, for its users' own identification
    active: bool | None = None
    locale: str | None = None
    send_invoice_automatically: bool | None = None
    send_estimate_automatically: bool | None = None
    issue_invoice_for_bank_payment: bool | None = None  # instead of an estimate, on order received
    issue_invoice_on_complete: bool | None = None  # instead of immediately on order created
    business_premise_id: str | None = None
    electronic_device_id: str | None = None
    organization_id: str | None = None
    unit_id: str | None = None
    warehouse_id: str | None = None
    account_id: str | None = None

    def as_mapping(self) -> dict[str, Any]:
        """The properties that came or were given, by the API's names, as JSON has them; dates in ISO 8601."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class Woocommerce(_Properties):
    """A Woocommerce object as the API returns it. A property that it lacks, or a filter left out, is None."""

    id: str | None = None
    custom: Any = None  # free-form data: an object, as far as the document shows
    deleted_at: Date = None
    is_deleted: bool | None = Field(None, alias="_isDeleted")
    deleted_id: str | None = None
    created_at: Date = None
    updated_at: Date = None


class WoocommerceChanges(_Properties):
    """What to change of a Woocommerce object: only what is given is sent.

    The API document marks the same properties as required here as for a new object, with the same defaults.
    It is a PATCH nevertheless: a default that the caller did not give would switch something on.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    custom: dict[str, Any] | None = None


class NewWoocommerce(_Properties):
    """A Woocommerce object to be created. The API document's required properties are required, or have its
    defaults."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)
    _defaults: ClassVar[Set[str]] = frozenset(
        {"active", "send_invoice_automatically", "send_estimate_automatically", "custom"}
    )

    name: str
    active: bool = True
    send_invoice_automatically: bool = True
    send_estimate_automatically: bool = True
    custom: dict[str, Any] = Field(default_factory=dict)

    def as_mapping(self) -> dict[str, Any]:
        """The body of the request: what is given, and the API document's defaults for the rest."""
        return self.model_dump(by_alias=True, include=self.model_fields_set | self._defaults)
