"""What a provider file cannot say: named behaviour, which files ask for by `quirks = ["name"]`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aura_cli.integrations.provider import Provider

if TYPE_CHECKING:
    from aura_cli.integrations.verify import Account
    from aura_cli.integrations.wire import Reply


@dataclass(frozen=True)
class Quirk:
    """Where one provider differs. `account`: what else a verify answer says of the account."""

    what: str
    account: Callable[[Account, Reply], Account] | None = None


QUIRKS: Mapping[str, Quirk] = {}


def quirks_of(provider: Provider) -> Iterator[Quirk]:
    """The quirks that a provider's file asks for."""
    return (QUIRKS[name] for name in provider.quirks if name in QUIRKS)
