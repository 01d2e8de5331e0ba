"""The tour's everyday part: a question to the assistant, an invitation by mail, a rate limit, and an event for Google Analytics."""

from typing import Any

import httpx

from aura_cli.errors import AuraError
from aura_cli.sandbox.credentials import Addresses
from aura_cli.sandbox.demo_steps import Tour
from aura_cli.sandbox.population import Person

GUEST = "colleague@example.test"
AT_ONCE = 12  # of ten that the web app allows


def tour(going: Tour, addresses: Addresses, person: Person) -> None:
    """All of it is about `person`. Raises AuraError at the first step that is not what it must be."""
    who = person.email or person.uuid
    with httpx.Client(trust_env=False) as client:
        _chat(going, client, addresses.openai, who)
        _invite(going, client, addresses, who)
        why = f"The web app allows ten requests in ten seconds. {AT_ONCE} at once, counted where it counts them."
        going.step(why, "ratelimit", "try", "tour", "--count", str(AT_ONCE), exits=7, shows=f"of {AT_ONCE}")
        _count(going, client, addresses.analytics, who)


def _chat(going: Tour, client: httpx.Client, base: str, who: str) -> None:
    going.step("Ask the assistant about somebody.", "chat", "ask", "Are they paying?", "--user", who, shows="stand-in")
    asked = client.get(f"{base}/_sandbox/journal").json()[-1]["request"]
    known = [line for line in asked["messages"][0]["content"].splitlines() if line.startswith(("Plan:", "Connected"))]
    _require(len(known) == 2, "the assistant was told neither plan nor connections")
    going.console.emit(f"# What it was told of them, and no name or address: {'; '.join(known)}.")


def _invite(going: Tour, client: httpx.Client, addresses: Addresses, who: str) -> None:
    words = ("email", "invite", "--workspace", who, "--email", GUEST, "--role", "member")
    going.step("Invite somebody into their workspace; the link is tried before it is sent.", *words, shows="the mail is sent")
    mails = client.get(f"{addresses.resend}/_sandbox/journal").json()["mails"]
    opened = client.get(f"{addresses.web_app}/_sandbox/opened").json()
    got = [mail for mail in mails if GUEST in mail["to"]]
    _require(len(got) == 1 and any(path.startswith("/team/accept?token=") for path in opened), "the invitation did not arrive once")
    going.console.emit(f"# It is in the sandbox's inbox, {addresses.resend}/_sandbox/inbox: {got[0]['subject']}")


def _count(going: Tour, client: httpx.Client, base: str, who: str) -> None:
    going.step("Tell Google Analytics.", "analytics", "send", "tutorial_complete", "--user", who, shows="Sent tutorial_complete")
    taken: list[dict[str, Any]] = client.get(f"{base}/_sandbox/journal").json()
    _require(bool(taken) and not any(one["problems"] for one in taken), "Google would drop an event")
    _require(who not in str(taken), "Google was told an address")
    going.console.emit("# That is all it learns of them: a number made of their id.")


def _require(true: bool, otherwise: str) -> None:
    if not true:
        raise AuraError(f"The tour broke: {otherwise}")
