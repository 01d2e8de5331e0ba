"""Do the person's connected services still let us in?"""

from collections.abc import Callable, Iterator, Mapping

from aura_cli.db.shared import integrations
from aura_cli.db.types import among
from aura_cli.insight.case import Break, Case, command
from aura_cli.integrations.state import Health, Seen, scan
from aura_cli.integrations.strikes import stopped

LINK = "connections"


def breaks(case: Case) -> Iterator[Break]:
    """Consent that was lost, values that no key opens, refreshes that fail, a provider that is stopped for everybody."""
    if not case.users:
        return
    halted = stopped(case.connection, case.catalogue)
    for one in scan(case.connection, case.vault, case.catalogue, among(integrations.c.user_id, case.users)):
        say = _SAYS.get(one.health(case.now))
        if say:
            yield Break(LINK, *say(one))
        elif one.provider and one.provider.id in halted:
            why = halted[one.provider.id]
            yield Break(
                LINK,
                f"{one.provider.name} is left alone for everybody: {why.error or why.failure}",
                command("integrations refresh --provider {}", one.provider.id),
            )


def _lost(one: Seen) -> tuple[str, str]:
    known = one.provider
    said = f": {one.known.error}" if one.known.error else ""
    name = known.id if known else one.read.provider
    how = "" if one.by_hand else " --link"
    return f"{known.name if known else name} needs consent anew{said}", command(
        "integrations connect {} --user {}" + how, name, one.read.user_id
    )


def _failing(one: Seen) -> tuple[str, str]:
    name = one.provider.id if one.provider else one.read.provider
    said = f"{one.provider.name if one.provider else name} has failed {one.known.failures} times: {one.known.error or one.known.failure}"
    return said, command("integrations refresh {} --provider {} --force", one.read.user_id, name)


def _unreadable(one: Seen) -> tuple[str, str]:
    name = one.provider.name if one.provider else one.read.provider
    return f"No key that is configured opens the connection with {name}: INTEGRATION_ENCRYPTION_KEY is of elsewhere", command("keys status")


_SAYS: Mapping[Health, Callable[[Seen], tuple[str, str]]] = {
    Health.NEEDS_CONSENT: _lost,
    Health.FAILING: _failing,
    Health.UNREADABLE: _unreadable,
}
