"""What a provider file cannot say: named behaviour, which files ask for by `quirks = ["name"]`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aura_cli.integrations.failures import Failure, Refused
from aura_cli.integrations.provider import Provider

if TYPE_CHECKING:
    from aura_cli.integrations.verify import Account
    from aura_cli.integrations.wire import Reply


Asked = Mapping[str, str]  # the placeholders' values with which a verify request was sent


@dataclass(frozen=True)
class Quirk:
    """Where one provider differs. `account`: what else a verify answer says of the account; it may raise Refused."""

    what: str
    account: Callable[[Account, Reply, Asked], Account] | None = None


def _number_is_listed(account: Account, reply: Reply, asked: Asked) -> Account:
    if isinstance(reply.document, list) and asked.get("phone_number") not in reply.document:
        raise Refused("This bridge does not know the number that was given", Failure.NEEDS_CONSENT, status=reply.status)
    return account


QUIRKS: Mapping[str, Quirk] = {
    "number_is_listed": Quirk("The answer is a list of numbers, and the one that was given must be in it", _number_is_listed),
}


def quirks_of(provider: Provider) -> Iterator[Quirk]:
    """The quirks that a provider's file asks for."""
    return (QUIRKS[name] for name in provider.quirks)
