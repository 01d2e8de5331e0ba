"""`aura analytics`: an event sent to Google Analytics, or looked at by its validation server."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

import typer

from aura_cli.errors import AttentionNeeded, UsageError
from aura_cli.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aura_cli.analytics.rules import Problem

app = typer.Typer(help="Google Analytics: send an event, check one.", rich_markup_mode=None, no_args_is_help=True)
EVENT = typer.Argument(..., metavar="EVENT", help="The event's name: purchase, sign_up, one of your own.")
PARAMETERS = typer.Option(None, "--param", "-p", metavar="NAME=VALUE", help="A parameter; its value is JSON, or else text.")
USER = typer.Option(None, "--user", metavar="WHO", help="Whose event it is: uuid, DID, e-mail, cus_… or sub_…; sent as a number alone.")
_NOBODY = "aura"  # whose event it is where nobody is named


@dataclass(frozen=True)
class Sent:
    """What was sent, and what is wrong with it: `problems` is empty, or nothing was sent. In a dry run Google's validation was asked."""

    event: str
    client_id: str
    params: dict[str, Any]
    problems: Sequence[Problem]
    sent: bool


@app.command()
def send(ctx: typer.Context, event: str = EVENT, params: list[str] | None = PARAMETERS, user: str | None = USER) -> None:
    """Send one event. Google takes whatever comes and drops what breaks a rule, so the rules are looked at first.

    Example: aura analytics send refund -p transaction_id=in_123 -p value=9.99 -p currency=EUR --user someone@example.com
    """
    from aura_cli.analytics.rules import problems

    runtime: Runtime = ctx.obj
    if runtime.options.dry_run:
        validate(ctx, event, params, user)
        return
    collector, body, person = _asked(runtime, event, params, user)
    if wrong := list(problems(body)):
        raise UsageError(f"Google would drop this: {wrong[0].what}", f"{wrong[0].path}; all that is wrong: aura analytics validate …")
    runtime.authorise()
    with collector:
        collector.send(body)
    _note(runtime, event, person, body)
    done = _result(body, (), sent=True)
    runtime.console.result(done, lambda: [f"Sent {event} for client {done.client_id}. Google does not say whether it counts."])


@app.command()
def validate(ctx: typer.Context, event: str = EVENT, params: list[str] | None = PARAMETERS, user: str | None = USER) -> None:
    """Ask Google's validation server about an event, which is not counted; exit code 3 where something is wrong with it.

    Example: aura analytics validate purchase -p value=9.99
    """
    runtime: Runtime = ctx.obj
    collector, body, _ = _asked(runtime, event, params, user)
    with collector:
        found = collector.validate(body)
    done = _result(body, found, sent=False)

    def lines() -> Iterator[str]:
        for one in found:
            yield f"{one.code}  {one.path or 'the request'}: {one.what}"
        if not found:
            yield "Google finds nothing wrong with it (it looks at neither the measurement id nor the secret)."

    runtime.console.result(done, lines)
    if found:
        raise AttentionNeeded(
            f"Google finds {len(found)} {'problem' if len(found) == 1 else 'problems'} with {event}", "It would be dropped"
        )


def _asked(runtime: Runtime, event: str, params: list[str] | None, user: str | None) -> tuple[Any, dict[str, Any], str | None]:
    """Who collects, the request, and our id of whom it is about."""
    from aura_cli.analytics.collecting import Collector, client_id, request_body
    from aura_cli.analytics.rules import personal

    parameters = _parameters(params or ())
    if names := list(personal(parameters)):
        raise UsageError(f"{', '.join(names)} holds an e-mail address: what names a person does not go to Google", "Leave it out")
    collector, person = Collector.of(runtime.settings), _person(runtime, user)
    return collector, request_body(client_id(person or _NOBODY), event, parameters), person


def _person(runtime: Runtime, user: str | None) -> str | None:
    from aura_cli.db.engine import reading
    from aura_cli.users.who import resolve

    if user is None:
        return None
    with reading(runtime.engine) as connection:
        return resolve(connection, user).id


def _parameters(given: Sequence[str]) -> dict[str, Any]:
    """Names and values. Raises UsageError for what is neither, and for a name that comes twice."""
    import json

    found: dict[str, Any] = {}
    for word in given:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise UsageError(f"{word!r} is no parameter", "Example: -p value=9.99")
        if name in found:
            raise UsageError(f"{name} is given twice")
        try:
            found[name] = json.loads(text, parse_constant=str, parse_float=_finite)  # NaN and Infinity are words
        except ValueError:
            found[name] = text
    return found


def _finite(text: str) -> float | str:
    return number if isfinite(number := float(text)) else text


def _result(body: dict[str, Any], found: Sequence[Problem], *, sent: bool) -> Sent:
    (event,) = body["events"]
    return Sent(event["name"], body["client_id"], event["params"], found, sent)


def _note(runtime: Runtime, event: str, person: str | None, body: dict[str, Any]) -> None:
    """In the log stand the parameters' names, not their values."""
    from aura_cli.audit.log import record
    from aura_cli.db.engine import writing

    details = {"params": sorted(body["events"][0]["params"])}
    with writing(runtime.engine) as connection:
        record(connection, runtime.settings.operator, "analytics.send", event, user_id=person, details=details)
