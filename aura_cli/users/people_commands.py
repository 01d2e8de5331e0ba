"""Verbs of `aura users` about whole people: duplicates, merge, takeout, erase."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from aura_cli.console import Format
from aura_cli.errors import AttentionNeeded, ConflictError
from aura_cli.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aura_cli.drift.apply import Applied
    from aura_cli.users.erasing import Erasure, Receipt
    from aura_cli.users.merging import Merge
    from aura_cli.users.takeout import Takeout
    from aura_cli.users.who import Person

WHO_HELP = "A user id (uuid), DID, e-mail address, cus_… or sub_…"
COLUMNS = ("by", "shared", "merge", "proven", "stays_subscription", "goes_subscription")


def duplicates(
    ctx: typer.Context,
    form: Format | None = typer.Option(None, "--format", help="How to write it."),
    columns: str | None = typer.Option(None, "--columns", help="Which columns, with commas between."),
) -> None:
    """List rows that look like one person: the same address or customer, or a login that was merged before.

    Example: aura users duplicates --format csv
    """
    from aura_cli.users.duplicates import find

    runtime: Runtime = ctx.obj
    runtime.console.listing(find(runtime.engine), COLUMNS, form=form, chosen=columns)


def merge(
    ctx: typer.Context,
    gone: str = typer.Argument(metavar="FROM", help=f"The row that goes. {WHO_HELP}"),
    stays: str = typer.Argument(metavar="INTO", help="The row that stays."),
    apply: bool = typer.Option(False, "--apply", help="Do it."),
    save_plan: Path | None = typer.Option(None, "--save-plan", metavar="FILE", help="Write the plan to FILE, for aura apply."),
) -> None:
    """Make one person of two rows: whatever names FROM names INTO then, in tables that aura does not know, too.

    Shows what it would do; --apply does it. Exit 3 where a second customer at Stripe is left.
    Example: aura users merge old@example.com new@example.com
    """
    from aura_cli.db.engine import reading, writing
    from aura_cli.db.leases import lease
    from aura_cli.users import merging

    runtime: Runtime = ctx.obj
    kinds, apply = runtime.kinds(), apply and not runtime.options.dry_run
    save_plan = None if runtime.options.dry_run else save_plan
    if save_plan:
        from aura_cli.drift.planfile import require_writable, save

        require_writable(save_plan)
    with reading(runtime.engine) as connection:
        found = merging.foresee(connection, *merging.pair(connection, gone, stays))
    if not apply and not save_plan:
        runtime.check_binding()
        _tell_merge(runtime, found, None)
        return
    identity = runtime.authorise(1 + sum(step.rows for step in found.steps)) if apply else runtime.bind()
    with lease(runtime.engine, merging.COMMAND) as held:
        with writing(runtime.engine) as connection:
            plan = merging.make_plan(connection, found)
        if save_plan:
            save(runtime.engine, plan, identity, save_plan)
        done = None
        if apply:
            from aura_cli.drift.apply import apply as carry_out

            done = carry_out(runtime.engine, plan, kinds, runtime.settings.operator, lease=held)
    _tell_merge(runtime, found, done, saved=save_plan)
    if done and done.skipped:
        raise ConflictError("One of the two rows changed meanwhile; nothing was merged", "Look again: aura users duplicates")


def _tell_merge(runtime: Runtime, found: Merge, done: Applied | None, *, saved: Path | None = None) -> None:
    from dataclasses import asdict

    applied = done is not None and not done.skipped
    attention = None
    if found.left:
        attention = f"{found.left} at Stripe is left without a user; {found.customer} stays. Move by hand what it still pays for"

    def lines() -> Iterator[str]:
        yield f"{found.gone.id} ({found.gone.email or 'no address'}) into {found.stays.id} ({found.stays.email or 'no address'})"
        for step in found.steps:
            dropped = f", {step.dropped:,} dropped: there can be one" if step.dropped else ""
            yield f"  {step.table}.{step.column}: {step.rows:,}{dropped}"
        if found.twice:
            yield f"  both are connected with {', '.join(found.twice)}: the newest of each counts; erasing them revokes all"
        if attention:
            yield f"  {attention}: {'exit 3' if applied else '--apply ends with exit 3'}."
        if done is None:
            yield f"Nothing was written; do it with {f'aura apply {saved}' if saved else runtime.options.to_write}."
        elif not done.skipped:
            yield f"Merged. Look at the money: aura subscriptions reconcile {found.stays.id}"

    runtime.console.result({**asdict(found), "applied": applied, "attention": attention}, lines)
    if applied and attention:
        raise typer.Exit(AttentionNeeded.exit_code)


def takeout(
    ctx: typer.Context,
    who: str = typer.Argument(metavar="WHO", help=WHO_HELP),
    out: Path = typer.Option(..., "--out", metavar="DIR", help="The folder to make; only its owner can read it."),
) -> None:
    """Write everything that is kept about a person to a folder: a page to read and JSON files. No secret is among it.

    Example: aura users takeout ada@example.com --out ada
    """
    from aura_cli.audit.log import record
    from aura_cli.db.engine import writing
    from aura_cli.users.takeout import write

    runtime: Runtime = ctx.obj
    person = _person(runtime, who)
    if not runtime.options.dry_run:
        runtime.bind()
        with writing(runtime.engine) as connection:
            record(connection, runtime.settings.operator, "users.takeout", person.id, user_id=person.id)
    found = write(runtime.engine, runtime.persons, person, out, runtime.clock(), dry_run=runtime.options.dry_run)
    runtime.console.result(found, lambda: _takeout_lines(found))


def _takeout_lines(found: Takeout) -> Iterator[str]:
    yield from (f"  {name}: {count:,}" for name, count in found.rows.items())
    yield f"{sum(found.rows.values()):,} rows; " + ("nothing was written." if found.dry_run else f"read them in {found.folder}/index.html")


def erase(
    ctx: typer.Context,
    who: str = typer.Argument(metavar="WHO", help=WHO_HELP),
    apply: bool = typer.Option(False, "--apply", help="Do it."),
    stripe: bool | None = typer.Option(None, "--stripe/--no-stripe", help="Delete the customer at Stripe, too, or leave it there."),
    privy: bool | None = typer.Option(None, "--privy/--no-privy", help="Delete the login at Privy, too, or leave it there."),
    even_subscribed: bool = typer.Option(False, "--even-subscribed", help="Though a subscription has not ended."),
    receipt: Path | None = typer.Option(None, "--receipt", metavar="FILE", help="Write the receipt, which names nobody, to FILE."),
) -> None:
    """Erase a person: connections revoked, rows deleted, and what payments need left without a name. Nothing brings them back.

    Shows what it would do; --apply does it. Exit 3 where a connection is still to be revoked.
    Example: aura users erase ada@example.com --apply --stripe --privy
    """
    from aura_cli.db.leases import lease
    from aura_cli.users import erasing

    runtime: Runtime = ctx.obj
    runtime.check_binding()
    if receipt:
        from aura_cli.drift.planfile import require_writable

        require_writable(receipt)
    person = _person(runtime, who)
    planned = erasing.foresee(runtime.engine, runtime.persons, person, runtime.elsewhere)
    if not apply or runtime.options.dry_run:
        runtime.console.result(planned, lambda: _plan_lines(planned))
        runtime.console.say(f"Nothing was erased; {runtime.options.to_write} does it.")
        return
    if planned.living and not even_subscribed:
        raise ConflictError(
            f"{', '.join(planned.living)} has not ended: the web app stops what runs for a customer when its subscription ends",
            "Cancel it at Stripe and wait for the event, or add --even-subscribed",
        )
    if not runtime.options.as_json:
        for line in _plan_lines(planned):
            runtime.console.say(line)
    at_stripe = bool(planned.customers) and _wanted(runtime, stripe, f"Delete {', '.join(planned.customers)} at Stripe, too?", "--stripe")
    at_privy = _wanted(runtime, privy, f"Delete {len(planned.dids)} login(s) at Privy, too?", "--privy")
    runtime.console.confirm("Erase this person for good?")
    runtime.authorise(sum(planned.rows.values()))
    stripe_service, privy_service = (
        runtime.stripe if at_stripe else None,
        runtime.privy if at_privy else None,
    )  # raises before anything is done
    with lease(runtime.engine, f"{erasing.LEASE} {person.id}"):
        revoked = runtime.elsewhere.revoke(person)
        if stripe_service:
            erasing.remember_leaving(runtime.engine, planned)
        stripe_gone = erasing.delete_at_stripe(stripe_service, planned.customers) if stripe_service else None
        privy_gone = erasing.delete_at_privy(privy_service, planned.dids) if privy_service else None
        outside = erasing.Outside(*revoked, stripe_gone, privy_gone)
        done = erasing.erase(runtime.engine, runtime.persons, planned, runtime.settings.operator, outside, runtime.elsewhere)
    _hand_over(runtime, done, receipt)
    if done.not_revoked:
        raise typer.Exit(AttentionNeeded.exit_code)


def _wanted(runtime: Runtime, said: bool | None, question: str, option: str) -> bool:
    """What the option says, or whoever is asked. Raises ConflictError where neither is there."""
    if said is not None:
        return said
    if not runtime.console.is_attended:
        raise ConflictError(f"{question} Nobody is here to say", f"Add {option} or --no-{option[2:]}")
    return runtime.console.ask(f"{question} yes or no", "no").lower() in ("y", "yes")


def _hand_over(runtime: Runtime, done: Receipt, file: Path | None) -> None:
    from aura_cli.console import dump

    if file:
        from aura_cli.users.export import private_file

        with private_file(file) as out:
            out.write(dump(done) + "\n")

    def lines() -> Iterator[str]:
        yield f"Rows erased: {sum(done.rows.values()):,}; connections revoked: {done.revoked:,}" + (
            f"; {done.not_revoked:,} that aura integrations refresh goes on revoking" if done.not_revoked else ""
        )
        for place, count in (("Stripe", done.stripe), ("Privy", done.privy)):
            yield f"{place}: {'left alone' if count is None else f'{count:,} deleted'}"
        yield f"Receipt {done.id}"

    runtime.console.result(done, lines)


def _plan_lines(planned: Erasure) -> Iterator[str]:
    yield f"Erasing {planned.user} would take out of the database:"
    yield from (f"  {name}: {count:,}" for name, count in planned.rows.items())
    if planned.pseudonym:
        yield "Payments stay, on a user without name, address and login."
    if planned.connections:
        yield f"Revoked at their providers: {', '.join(planned.connections)}"
    if planned.living:
        yield f"Not ended yet: {', '.join(planned.living)}"
    yield f"Asked about, or said by --stripe and --privy: {', '.join((*planned.customers, *planned.dids))}"


def _person(runtime: Runtime, who: str) -> Person:
    from aura_cli.db.engine import reading
    from aura_cli.users.who import resolve

    with reading(runtime.engine) as connection:
        return resolve(connection, who)
