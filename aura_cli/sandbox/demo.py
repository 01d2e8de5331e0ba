"""The tour: what goes wrong between Privy, Stripe, a provider and the database, how it is mended, and what operators do daily.

Every step is the command that a person would type, run as a process of its own, with its real output; and each is held
to what it must find, so that the tour fails loudly where the program does.
"""

from collections.abc import Mapping
from pathlib import Path

from aura_cli.console import Console
from aura_cli.db.migrate import HEAD
from aura_cli.errors import AuraError
from aura_cli.sandbox import demo_connections, demo_everyday, demo_webhooks
from aura_cli.sandbox.demo_steps import Tour
from aura_cli.sandbox.run import Sandbox, fill_database, opened


def tour(users: int, seed: int, now: int, console: Console) -> None:
    """The whole tour. Raises AuraError (exit 1) at the first step that is not what it must be."""
    console.emit(f"A sandbox of every outside service with {users} people, and an empty database; nothing of yours is touched.")
    with opened(Sandbox(users, seed, now), fill=False) as (variables, population, addresses):
        going = Tour(console, variables, Path(variables["AURA_HOME"]))
        going.step("The database gets its tables.", "db", "upgrade", shows=HEAD)
        going.step("Everybody who signed in through Privy.", "users", "sync", shows=f"{users:,} created")
        planted = fill_database(variables["DATABASE_URL"], population, people=False)
        console.emit(f"\n# Meanwhile the web app has booked what Stripe told it, and got {len(planted)} kinds of things wrong.")
        going.step("What is wrong? This only looks.", "subscriptions", "reconcile", exits=3, shows="repair it with --apply")
        locked_out = _require(going, planted)
        going.step("Repair it: each row only if it still is as it was seen.", "subscriptions", "reconcile", "--apply", shows=" 0 left")
        going.step("And now?", "subscriptions", "reconcile", shows="no drift")
        going.step("One of those who had paid and were locked out.", "users", "show", locked_out, shows="entitles              yes")
        going.step("What the business looks like.", "subscriptions", "stats", shows="Monthly recurring revenue")
        demo_webhooks.tour(going, addresses, population)
        somebody = next(person for person in population.people if person.email and person.name)
        demo_connections.tour(going, addresses.providers, somebody)
        payer = next(one for one in population.people if one.email and one.name and any(it.status == "active" for it in one.contracts))
        demo_everyday.tour(going, addresses, payer)
    console.emit("\nThat was the tour: found, shown, repaired, and nothing left. Start with: aura --help")


def _require(going: Tour, planted: Mapping[str, int]) -> str:
    """Raise AuraError unless exactly what was planted is found; else return a user whose subscription was missing."""
    found = going.ask("subscriptions", "reconcile")
    if found["counts"] != dict(sorted(planted.items())):
        raise AuraError(f"The tour broke: planted {dict(sorted(planted.items()))}, found {found['counts']}")
    return next(str(change["user"]) for change in found["drift"] if change["kind"] == "missing_locally")
