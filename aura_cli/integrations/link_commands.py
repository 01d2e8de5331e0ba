"""`aura integrations connect --link`: a one-time address on the listener, and waiting for what becomes of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aura_cli.console import brief
from aura_cli.errors import AuraError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aura_cli.integrations.connect_commands import Errand

_LOOK_SECONDS = 1.0
_PATIENCE = 5.0  # seconds for a look at the link's own page


@dataclass(frozen=True)
class Linked:
    """A link that was made: what `--no-wait` prints. `redirect_uri` is what has to be registered with the provider."""

    url: str
    provider: str
    user_id: str
    redirect_uri: str
    expires_at: datetime


def by_link(errand: Errand) -> Mapping[str, Any] | None:
    """Make a link and wait for its end: the connection's facts; None where nobody waits. Raises how it failed, if it did."""
    from aura_cli.db.engine import writing
    from aura_cli.integrations import linking
    from aura_cli.integrations.consent import digest
    from aura_cli.integrations.consent_commands import redirect_uri
    from aura_cli.integrations.linking import Status
    from aura_cli.integrations.redirects import LINKS

    means, console = errand.means, errand.runtime.console
    uri = redirect_uri(errand) or ""
    with writing(means.engine) as connection:
        token, expires_at = linking.make(
            connection,
            means.vault,
            errand.wish,
            whose=errand.whose,
            redirect_uri=uri,
            operator=means.operator,
            replaces=errand.runtime.options.yes,
            seconds=errand.asked.timeout or linking.LIFETIME,
        )
    made = Linked(f"{uri.rpartition(f'{LINKS}/')[0]}{LINKS}/{token}", errand.wish.provider.id, errand.wish.user_id, uri, expires_at)
    _look(errand, made)
    if not errand.asked.waits:
        console.result(made, lambda: _lines(made))
        return None
    try:
        console.say(f"Send this to whoever signs in to {errand.wish.provider.name}; it works once, until {brief(expires_at)}:")
        console.show(made.url)
        console.say("Waiting; Ctrl-C withdraws it.")
        return _awaited(errand, token)
    except KeyboardInterrupt:
        with writing(means.engine) as connection:
            linking.finish(connection, digest(token), Status.WITHDRAWN, {})
        raise


def _look(errand: Errand, made: Linked) -> None:
    """Say where the address is not what it should be: most often nobody told the proxy of `/connect/`. Looking changes nothing."""
    from aura_cli.integrations.wire import Wire

    try:
        with Wire(timeout=_PATIENCE) as wire:
            reply = wire.deliver("GET", made.url, headers={})
    except AuraError as error:
        hint = "does aura serve-webhooks run, and is AURA_PUBLIC_URL where it is reached?"
        errand.runtime.console.warn(f"The link could not be looked at from here: {error.message}; {hint}")
        return
    if reply.status != 200 or b"Connect " not in reply.body:
        hint = "does the proxy send /connect/ to aura serve-webhooks, on this database and with this key?"
        errand.runtime.console.warn(f"At its address there is no link ({reply.status}): {hint}")


def _lines(made: Linked) -> Iterator[str]:
    yield made.url


def _awaited(errand: Errand, token: str) -> Mapping[str, Any]:
    """Look until the link has ended."""
    from aura_cli.db.engine import reading
    from aura_cli.integrations import linking
    from aura_cli.integrations.linking import Status

    shown = Status.OPEN
    while True:
        with reading(errand.means.engine) as connection:
            status, result, expired = linking.outcome(connection, token)
        if status is Status.STARTED and shown is not status:
            errand.runtime.console.say(f"Somebody opened it, and is at {errand.wish.provider.name} now.")
            shown = status
        if status is Status.CONNECTED:
            return result
        if status in (Status.DENIED, Status.FAILED):
            raise _told(result)
        if expired or status is Status.WITHDRAWN:
            raise UnreachableError("Nobody finished in time", "Run it again: it makes a new link")
        time.sleep(_LOOK_SECONDS)


def _told(result: Mapping[str, Any]) -> AuraError:
    """How it failed on the listener, as the same error here."""
    from aura_cli.integrations.consent import Denied

    kinds: dict[str, type[AuraError]] = {one.kind: one for one in AuraError.__subclasses__()} | {Denied.kind: Denied}
    return kinds.get(result.get("kind", ""), AuraError)(result.get("message", "It was broken off"), result.get("hint", ""))
