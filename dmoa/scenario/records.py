"""What all records of the schema share: where their keys carry meaning, unit and range."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Meta


def meta(description: str, unit: str = "", **limits: float) -> Meta:
    """Describe a key: its meaning, its unit, and the limits that the parser checks."""
    keywords: dict[str, Any] = dict(limits)
    return Meta(description=description, extra={"unit": unit}, **keywords)


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=False):
    """Base of all records: immutable, unknown keys refused."""
