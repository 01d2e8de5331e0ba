"""`aura explain ANYTHING`: one person's story over all systems."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from aura_cli.console import brief
from aura_cli.errors import AttentionNeeded
from aura_cli.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aura_cli.audit.story import Moment
    from aura_cli.insight.explain import Explained

SHOWN = 15  # moments


def explain(
    ctx: typer.Context,
    anything: str = typer.Argument(
        ..., metavar="ANYTHING", help="A person (uuid, DID, e-mail, cus_…, sub_…), evt_…, in_…, cs_…, ch_…, pi_…, or a mail's id."
    ),
    everything: bool = typer.Option(False, "--all", help="Every moment, not the last 15."),
) -> None:
    """Tell one person's story: the first broken link and the command that repairs it, then what happened, over all systems.

    Exit 3 where a link is broken. Example: aura explain someone@example.com
    """
    from aura_cli.insight import explain as work

    runtime: Runtime = ctx.obj
    means = work.Means(runtime.engine, runtime.settings, runtime.vault, runtime.catalogue, runtime.console.say)
    found = work.explain(means, anything)
    breaks = [replace(one, fix=runtime.pasted(one.fix)) for one in (found.verdict, *found.others) if one]
    found = replace(found, verdict=breaks[0] if breaks else None, others=breaks[1:])
    width = runtime.console.width
    runtime.console.result(found, lambda: _lines(found, None if everything else SHOWN, width))
    if found.verdict:
        raise typer.Exit(AttentionNeeded.exit_code)


def _lines(found: Explained, most: int | None, width: int | None) -> Iterator[str]:
    if found.verdict:
        yield f"BROKEN  {found.verdict.link}: {found.verdict.what}"
        yield f"Repair  {found.verdict.fix}"
    elif found.erased and all(one.id in found.erased for one in found.people):
        yield "ERASED  Nothing is left here but what the payments need, and Stripe bills nothing that is known of."
    else:
        yield "WHOLE   No link is broken."
    for one in found.others:
        yield f"Also    {one.link}: {one.what} → {one.fix}"
    for person in found.people:
        yield f"Who     {person.id}  {person.email or 'no address'}  {person.stripe_customer_id or 'no customer'}"
    if not found.people:
        yield f"Who     {', '.join([*found.customers, *found.addresses]) or found.asked}, nobody here"
    yield from (f"Now     {line}" for line in found.standing)
    yield from (f"Note    {line}" for line in found.away)
    yield ""
    yield from _timeline(found.timeline, most, width)


def _timeline(moments: Sequence[Moment], most: int | None, width: int | None) -> Iterator[str]:
    """The last `most` moments; of what is older what went wrong goes before what went well."""
    shown = moments
    if most is not None and len(moments) > most:
        numbers = sorted(range(len(moments)), key=lambda number: (moments[number].broken, number))[-most:]
        shown = [moments[number] for number in sorted(numbers)]
        yield f"{len(shown)} of {len(moments)} moments; --all shows every one"
    for one in shown:
        line = f"{brief(one.at)} {'✗' if one.broken else ' '} {one.source:<11} {one.what}{'  ' if one.detail else ''}{one.detail}"
        yield line if width is None or len(line) <= width else line[: width - 1] + "…"
