"""Where a provider's addresses are on the stand-in, and the overriding files that lead there.

`https://HOST/PATH` of provider ID is `BASE/ID/HOST/PATH`; an address that begins with a placeholder, `{NAME}/PATH`, is
`BASE/ID/NAME/PATH`. Other placeholders stay what they are.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from aura_cli.integrations.checking import addresses, requests
from aura_cli.integrations.provider import Field, Provider

_BASE = re.compile(r"\{(\w+)\}")
_BARE = re.compile(r"[A-Za-z0-9_-]+")

Key = tuple[str, ...]  # the tables that lead to a key of a file, and the key


def local(provider: str, url: str) -> str:
    """The path on the stand-in of one of a provider's addresses; a query stays with it."""
    if base := _BASE.match(url):
        return f"/{provider}/{base[1]}{url[base.end() :]}"
    return f"/{provider}/{url.partition('://')[2]}"


def every(provider: Provider) -> Iterator[tuple[str, str]]:
    """Every address in a provider's file, with its dotted key."""
    if provider.oauth:
        yield from addresses(provider.oauth)
    for key, request in requests(provider):
        yield f"{key}.url", request.url


def bases(provider: Provider) -> frozenset[str]:
    """The placeholders that stand for a whole address."""
    return frozenset(found[1] for _, url in every(provider) if (found := _BASE.match(url)))


def override(provider: Provider, base: str) -> dict[Key, str]:
    """What a file of AURA_PROVIDERS_DIR says, so that nothing of this provider's leads off this machine. `base`: the stand-in's."""
    found: dict[Key, str] = {tuple(key.split(".")): base + local(provider.id, url) for key, url in every(provider) if not _BASE.match(url)}
    whole = bases(provider)
    for prefix, fields in fields_of(provider):
        for name, field in fields.items():
            if name in whole:
                found[*prefix, name, "default"] = f"{base}/{provider.id}/{name}"
                if field.pattern is not None:
                    found[*prefix, name, "pattern"] = r"https?://\S+"
            for choice, given in field.choices.items():
                for placeholder in whole & given.keys():
                    found[*prefix, name, "choices", choice, placeholder] = f"{base}/{provider.id}/{placeholder}"
    return found


def fields_of(provider: Provider) -> Iterator[tuple[Key, Mapping[str, Field]]]:
    """The fields of a provider's file, with the table that they stand in."""
    yield ("fields",), provider.fields
    if provider.credentials:
        yield ("credentials", "fields"), provider.credentials.fields


def write(providers: Mapping[str, Provider], base: str, folder: Path) -> None:
    """Write the overriding files of all `providers` into `folder`."""
    folder.mkdir(exist_ok=True)
    for provider in providers.values():
        text = "".join(f"{'.'.join(map(_key, key))} = {json.dumps(value)}\n" for key, value in override(provider, base).items())
        (folder / f"{provider.id}.toml").write_text(f"# Leads to the sandbox's stand-in of {provider.name}.\n{text}", encoding="utf-8")


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name)
