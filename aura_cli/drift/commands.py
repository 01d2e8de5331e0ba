"""`aura apply`: carry out a plan file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import typer

from aura_cli.errors import AttentionNeeded
from aura_cli.runtime import Runtime


@dataclass(frozen=True)
class AppliedPlan:
    """What became of a plan file: rows written, rows that had moved, and rows that only a person can settle."""

    plan: str
    counts: dict[str, int]
    applied: int
    skipped: int
    reported: int
    dry_run: bool


def apply(
    ctx: typer.Context,
    file: Path = typer.Argument(..., metavar="PLAN", help="A file from --save-plan."),
    max_changes: int | None = typer.Option(
        None, "--max-changes", min=0, help="Stop if more existing rows would change (default: 50 or 5 %)."
    ),
) -> None:
    """Apply a plan file that a reconcile saved: each row only if it still is as it was then.

    Example: aura apply plan.jsonl
    """
    from collections import Counter

    from aura_cli.db.engine import writing
    from aura_cli.db.leases import lease
    from aura_cli.drift import planfile
    from aura_cli.drift.apply import apply as carry_out
    from aura_cli.drift.apply import foresee
    from aura_cli.drift.plan import repairable, require_plausible

    runtime: Runtime = ctx.obj
    kinds = runtime.kinds()
    header, rows = planfile.read(file, runtime.check_binding(), runtime.clock(), kinds)
    counts = dict(Counter(row["kind"] for row in rows))
    require_plausible(counts, kinds, header["rows_here"], max_changes)
    dry_run = runtime.options.dry_run
    if not dry_run:
        runtime.authorise(kinds=repairable(counts, kinds))
    with lease(runtime.engine, header["command"]) as held:
        with writing(runtime.engine) as connection:
            plan = planfile.take_in(connection, header, rows, kinds)
            if dry_run:  # nothing of the plan stays either
                done = foresee(connection, plan, kinds)
        if not dry_run:
            tick = runtime.console.progress("Applying", len(rows))
            done = carry_out(runtime.engine, plan, kinds, runtime.settings.operator, lease=held, tick=tick)
            runtime.console.end_progress()
    reported = len(rows) - sum(repairable(counts, kinds).values())
    result = AppliedPlan(header["plan"], counts, done.applied, done.skipped, reported, dry_run)
    runtime.console.result(result, lambda: [_told(result, len(rows))])
    if done.skipped or reported:
        raise typer.Exit(AttentionNeeded.exit_code)


def _told(result: AppliedPlan, rows: int) -> str:
    if result.dry_run:
        return f"{result.applied:,} would be applied, {result.skipped:,} have moved, {result.reported:,} for a person. Nothing was written."
    before = rows - result.applied - result.skipped - result.reported
    again = f" {before:,} were settled by an earlier run of this plan." if before else ""
    return f"{result.applied:,} applied, {result.skipped:,} skipped because they had moved, {result.reported:,} for a person.{again}"
