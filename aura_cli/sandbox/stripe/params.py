"""Which parameters an endpoint takes, and how their strings become values."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aura_cli.sandbox.stripe.errors import invalid_parameter, missing_parameter, unknown_parameter

Kind = Callable[[str, Any], Any]
Fields = Mapping[str, Kind]
RANGE_SIGNS = ("gt", "gte", "lt", "lte")


@dataclass(frozen=True)
class CreatedRange:
    """Seconds: at least `low`, less than `high`."""

    low: int = -1
    high: int = 1 << 62


def text(name: str, raw: Any) -> str:
    if not isinstance(raw, str):
        raise invalid_parameter(name, f"Invalid string: {name} must be a string")
    return raw


def optional_text(name: str, raw: Any) -> str | None:
    """An empty string unsets the attribute, as at Stripe."""
    return text(name, raw) or None


def integer(name: str, raw: Any) -> int:
    """Up to eleven digits, which is enough for any moment until the year 5138."""
    if not re.fullmatch("-?[0-9]{1,11}", text(name, raw)):
        raise invalid_parameter(name, f"Invalid integer: {raw}", "parameter_invalid_integer")
    return int(raw)


def between(low: int, high: int) -> Kind:
    """An integer from `low` to `high`."""

    def bounded(name: str, raw: Any) -> int:
        value = integer(name, raw)
        if not low <= value <= high:
            bound = f"greater than or equal to {low}" if value < low else f"less than or equal to {high}"
            raise invalid_parameter(name, f"This value must be {bound} (it currently is '{value}').", "parameter_invalid_integer")
        return value

    return bounded


page_size = between(1, 100)
amount = between(0, 99_999_999)  # eight digits, as at Stripe
quantity = between(0, 1_000_000)
trial_days = between(1, 730)


def boolean(name: str, raw: Any) -> bool:
    if raw not in ("true", "false"):
        raise invalid_parameter(name, f"Invalid boolean: {raw}")
    return bool(raw == "true")


def created_range(name: str, raw: Any) -> CreatedRange:
    """`created=N` or `created[gte|gt|lt|lte]=N`."""
    if not isinstance(raw, dict):
        moment = integer(name, raw)
        return CreatedRange(moment, moment + 1)
    if unknown := [sign for sign in raw if sign not in RANGE_SIGNS]:
        raise unknown_parameter(f"{name}[{unknown[0]}]")
    bounds = {sign: integer(f"{name}[{sign}]", value) for sign, value in raw.items()}
    low = max(bounds.get("gte", -1), bounds.get("gt", -2) + 1)
    high = min(bounds.get("lt", 1 << 62), bounds.get("lte", (1 << 62) - 1) + 1)
    return CreatedRange(low, high)


def mapping(name: str, raw: Any) -> dict[str, str] | None:
    """Metadata: string to string; an empty string instead of the map (None here) clears it."""
    if raw == "":
        return None
    if not isinstance(raw, dict) or not all(isinstance(value, str) for value in raw.values()):
        raise invalid_parameter(name, f"Invalid object: {name} must be a map of strings")
    if len(raw) > 50 or any(len(key) > 40 or len(value) > 500 for key, value in raw.items()):
        raise invalid_parameter(name, "Metadata can have up to 50 keys, with names of up to 40 and values of up to 500 characters")
    return raw


def texts(name: str, raw: Any) -> tuple[str, ...]:
    if not isinstance(raw, list):
        raise invalid_parameter(name, "Invalid array")
    return tuple(text(name, value) for value in raw)


def web_address(name: str, raw: Any) -> str:
    """An http or https URL with a host."""
    address = text(name, raw)
    with suppress(ValueError):
        parts = urlsplit(address)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return address
    raise invalid_parameter(name, "Invalid URL: an explicit scheme (such as https) and a host must be provided.", "url_invalid")


def one_of(*choices: str) -> Kind:
    def choose(name: str, raw: Any) -> str:
        if raw not in choices:
            raise invalid_parameter(name, f"Invalid {name}: must be one of {', '.join(choices)}")
        return str(raw)

    return choose


def nested(fields: Fields, required: Sequence[str] = ()) -> Kind:
    def read_one(name: str, raw: Any) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise invalid_parameter(name, "Invalid object")
        return read(raw, fields, required, within=name)

    return read_one


def many(kind: Kind) -> Kind:
    def read_all(name: str, raw: Any) -> list[Any]:
        if not isinstance(raw, list):
            raise invalid_parameter(name, "Invalid array")
        return [kind(f"{name}[{position}]", value) for position, value in enumerate(raw)]

    return read_all


def ignored(_name: str, _raw: Any) -> None:
    """Stripe takes it; nothing here depends on it."""


def read(raw: Mapping[str, Any], fields: Fields, required: Sequence[str] = (), within: str = "") -> dict[str, Any]:
    """The given parameters as values. Raises ApiError 400 for a missing, unknown or malformed one."""

    def full(name: str) -> str:
        return f"{within}[{name}]" if within else name

    if unknown := [name for name in raw if name not in fields]:
        raise unknown_parameter(full(unknown[0]))
    if absent := [name for name in required if raw.get(name, "") == ""]:
        raise missing_parameter(full(absent[0]))
    return {name: fields[name](full(name), value) for name, value in raw.items()}
