"""`aura balance`: what a person has, why, and a grant by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import typer

from aura_cli.console import brief, described
from aura_cli.runtime import Runtime

app = typer.Typer(help="Token balances and the grants behind them.", rich_markup_mode=None, no_args_is_help=True)
WHO = typer.Argument(..., metavar="WHO", help="A person: uuid, DID, e-mail, cus_… or sub_…")


@dataclass(frozen=True)
class Granted:
    """A grant by hand: who got how many tokens, under which cause, and the balance then (before, in a dry run)."""

    user: str
    tokens: int
    cause: str
    balance: int
    dry_run: bool


@app.command()
def show(ctx: typer.Context, who: str = WHO) -> None:
    """Show a person's balance and what was granted for which cause.

    Example: aura balance show someone@example.com
    """
    from aura_cli.db.engine import reading
    from aura_cli.subscriptions.grants import balance
    from aura_cli.users.who import resolve

    runtime: Runtime = ctx.obj
    with reading(runtime.engine) as connection:
        found = balance(connection, resolve(connection, who).id)

    def lines() -> Iterator[str]:
        if found.balance is None:
            yield "No balance yet."
        yield from described({**vars(found), "grants": len(found.grants)})
        for grant in found.grants:
            yield f"  {brief(grant.granted_at)}  {grant.kind:<9} {brief(grant.tokens):>13}  {grant.cause}  {grant.reason or ''}".rstrip()

    runtime.console.result(found, lines, asked=True)


@app.command()
def grant(
    ctx: typer.Context,
    who: str = WHO,
    tokens: int = typer.Argument(..., metavar="N", help="How many tokens to add."),
    reason: str = typer.Option(..., "--reason", help="Why; it is kept in the ledger."),
    cause: str | None = typer.Option(None, "--once", metavar="KEY", help="Grant only if nothing was granted under this key before."),
) -> None:
    """Add tokens to a person's balance by hand.

    Example: aura balance grant someone@example.com 500000 --reason "outage of 3 May" --once outage-0503
    """
    from secrets import token_hex

    from aura_cli.db.engine import writing
    from aura_cli.errors import UsageError
    from aura_cli.subscriptions.grants import balance
    from aura_cli.subscriptions.grants import grant as book
    from aura_cli.users.who import resolve

    runtime: Runtime = ctx.obj
    if not reason.strip():
        raise UsageError("--reason is empty", "Say why, for whoever reads the ledger")
    dry_run = runtime.options.dry_run
    if dry_run:
        runtime.check_binding()
    else:
        runtime.authorise(1)
    with writing(runtime.engine) as connection:
        person = resolve(connection, who)
        key = f"operator:{person.id}:{cause}" if cause else f"operator:{token_hex(8)}"
        book(connection, person.id, tokens, cause=key, reason=reason, operator=runtime.settings.operator)
        done = Granted(person.id, tokens, key, balance(connection, person.id).balance or 0, dry_run)
        if dry_run:
            connection.get_transaction().rollback()  # type: ignore[union-attr]
    said = (
        f"{tokens:,} tokens would be granted; the balance would be {done.balance:,}. Nothing was written."
        if dry_run
        else f"{tokens:,} tokens granted; the balance is {done.balance:,}."
    )
    runtime.console.result(done, lambda: [said])
