"""`aura status`: the service on one screen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from aura_cli.runtime import Runtime

if TYPE_CHECKING:
    from aura_cli.ratelimit.pressure import Pressure

WIDTH = 80
LIMIT_SECONDS = 2.5  # that Upstash may take


def status(ctx: typer.Context) -> None:
    """Show the service on one screen: people, money, webhooks, mails, tokens, jobs, limits, and how they moved since yesterday.

    Keeps the day's figures, once a day, for tomorrow to be compared with; -n keeps none. Example: aura status
    """
    from aura_cli.db.engine import reading
    from aura_cli.insight import status as work
    from aura_cli.insight.figures import keep_where_possible

    runtime: Runtime = ctx.obj
    if not runtime.options.dry_run:
        keep_where_possible(runtime.engine)  # what it writes tells of the database that it is in, whoever is configured
    limits, note = _limits(runtime)
    jobs = [work.Job(one.job, one.state, one.last) for one in runtime.jobs()]
    with reading(runtime.engine) as connection:
        found = work.status(connection, runtime.settings.environment, jobs, limits, note)
    found = replace(found, attention=[replace(one, command=runtime.pasted(one.command)) for one in found.attention])
    width = min(runtime.console.width or WIDTH, WIDTH)
    runtime.console.result(found, lambda: work.lines(found, width))


def _limits(runtime: Runtime) -> tuple[list[Pressure], str | None]:
    """How hard each limit is pressed, or why that is not known."""
    from aura_cli.errors import AuraError
    from aura_cli.insight.deadline import answers
    from aura_cli.ratelimit.limits import lacking
    from aura_cli.ratelimit.pressure import pressures

    if why := lacking(runtime.settings):
        return [], f"nothing is limited: {why}"
    answer = answers({"Upstash": lambda: pressures(runtime.settings)}, LIMIT_SECONDS)["Upstash"]
    return ([], answer.message) if isinstance(answer, AuraError) else (answer, None)
