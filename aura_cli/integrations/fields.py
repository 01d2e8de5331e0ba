"""What a person is asked for, checked before it goes anywhere: a subdomain with a slash would lead a key to somebody else."""

import json
import re
from collections.abc import Callable, Mapping

from aura_cli.errors import UsageError
from aura_cli.integrations.provider import Field, Provider

LONGEST = 16_384  # characters


def asked(provider: Provider, *, by_hand: bool) -> dict[str, Field]:
    """The fields of one way to connect, in the order of the file."""
    return {**provider.fields, **(provider.credentials.fields if by_hand and provider.credentials else {})}


def checked(name: str, field: Field, text: str) -> str:
    """A field's value, trimmed. Raises UsageError, which never repeats a secret, for one that the field does not take."""
    value = text.strip()
    said = "it" if field.secret else repr(value[:80])
    where = f"{field.label} ({name})"
    if len(value) > LONGEST:
        raise UsageError(f"{where}: {len(value):,} characters are too many")
    if field.choices and value not in field.choices:
        raise UsageError(f"{where}: {said} is none of its choices", f"There are: {', '.join(field.choices)}")
    if field.pattern is not None and not re.fullmatch(field.pattern, value):
        raise UsageError(f"{where}: {said} does not have its form", field.hint or f"It matches {field.pattern}")
    if field.pattern is None and not value.isprintable():
        raise UsageError(f"{where}: {said} has characters that cannot be meant", field.hint or "Copy it again")
    return value


def complete(
    fields: Mapping[str, Field],
    given: Mapping[str, str],
    setting: Callable[[str], str | None] = lambda name: None,
    ask: Callable[[str, Field], str] | None = None,
) -> dict[str, str]:
    """A value for every field: what was given, else its setting's, else what `ask` (name, field → text) gets, else its default.

    Optional fields without a value are left out. Raises UsageError for a field that does not exist, lacks, or is malformed.
    """
    if unknown := [name for name in given if name not in fields]:
        raise UsageError(f"No field {', '.join(map(repr, unknown))} is asked for", f"There are: {', '.join(fields) or 'none'}")
    found: dict[str, str] = {}
    for name, field in fields.items():
        text = given.get(name) or (setting(field.env) if field.env else None) or (ask(name, field) if ask else None) or field.default or ""
        if text.strip():
            found[name] = checked(name, field, text)
        elif field.required:
            raise UsageError(f"{field.label} ({name}) is missing", field.hint or _how(name, field))
    return found


def _how(name: str, field: Field) -> str:
    return f'Give {{"{name}": …}} on standard input with --credentials -' if field.secret else f"Give it with --set {name}=…"


def placeholders(fields: Mapping[str, Field], values: Mapping[str, str]) -> dict[str, str]:
    """What the values stand for in a provider's addresses: themselves, and what a choice among them gives."""
    return {**values, **{key: text for name, value in values.items() for key, text in fields[name].choices.get(value, {}).items()}}


def read(text: str, fields: Mapping[str, Field], known: Mapping[str, str]) -> dict[str, str]:
    """The fields in what came on standard input: a JSON object of them, or the one secret that is still missing, as it is.

    Raises UsageError, which repeats nothing of it.
    """
    if not text.lstrip().startswith("{"):
        missing = [name for name, field in fields.items() if field.secret and name not in known]
        if len(missing) == 1 and text.strip():
            return {missing[0]: text}
        raise UsageError("Standard input holds no JSON object of credentials", f"Its names are: {', '.join(fields)}")
    try:
        found = json.loads(text)
    except ValueError:
        raise UsageError("Standard input is no JSON object") from None
    if not all(isinstance(value, str | int) and not isinstance(value, bool) for value in found.values()):
        raise UsageError("Every credential in the JSON object is a text")
    return {name: str(value) for name, value in found.items()}
