"""`aura doctor`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from textwrap import wrap
from typing import TYPE_CHECKING

import typer

from aura_cli.errors import AttentionNeeded, UsageError
from aura_cli.insight.finding import State, System
from aura_cli.runtime import Runtime
from aura_cli.words import counted, meant

if TYPE_CHECKING:
    from aura_cli.insight.doctor import Report
    from aura_cli.insight.surroundings import Surroundings

_MARKS = {State.OK: "ok", State.WARN: "warn", State.FAIL: "FAIL"}
_FOLDED = {State.NOT_CONFIGURED: "Not configured", State.SKIPPED: "Not looked at"}
_INDENT = 19  # the mark, the system and the spaces around them


def doctor(
    ctx: typer.Context,
    only: str | None = typer.Option(None, "--only", metavar="A,B", help=f"Only these: {', '.join(System)}."),
    offline: bool = typer.Option(False, "--offline", help="Ask nobody outside this machine."),
) -> None:
    """Look at every system of the stack at once, and say of each trouble how to mend it.

    It ends within 15 seconds whatever hangs, and writes nothing. Exit 3 where something failed. Example: aura doctor --only database,stripe
    """
    from aura_cli.insight.doctor import examine

    runtime: Runtime = ctx.obj
    systems = _chosen(only)
    tick = runtime.console.progress("Systems that have answered", len(systems) or len(System) - 1)
    report = examine(_surroundings(runtime, offline=offline), systems, tick)
    pasted, redact = runtime.pasted, runtime.console.redact  # services quote what they got
    found = tuple(replace(one, detail=redact(one.detail), fix=pasted(one.fix) if one.fix else None) for one in report.findings)
    report = replace(report, findings=found)
    runtime.console.end_progress()
    runtime.console.result(report, lambda: _lines(report, runtime.console.width or 0))
    if report.failed:
        named = f"{counted(len(report.failed), 'system')} failed: {', '.join(report.failed)}"
        again = pasted(f"aura doctor --only {','.join(report.failed)}")
        raise AttentionNeeded(named, f"Look again: {again}")


def _chosen(only: str | None) -> list[System]:
    names = [name.strip() for name in (only or "").split(",") if name.strip()]
    if unknown := [name for name in names if name not in list(System)]:
        raise UsageError(f"No system {', '.join(unknown)}", meant(unknown[0], list(System)))
    return [System(name) for name in names]


def _surroundings(runtime: Runtime, *, offline: bool) -> Surroundings:
    from aura_cli.db.location import database_url
    from aura_cli.insight.surroundings import Surroundings

    return Surroundings.of(
        runtime.settings,
        lambda: database_url(runtime.settings, make=False)[0],
        lambda: runtime.catalogue,
        lambda: runtime.sealed_columns,
        runtime.clock,
        offline=offline,
    )


def _lines(report: Report, width: int) -> Iterator[str]:
    """A line of what is well for each system, then each trouble with its fix; what is not there, in one line for all."""
    for system, group in groupby(report.findings, lambda one: one.system):
        found = list(group)
        well = [one for one in found if one.state is State.OK]
        if well:
            latency = next((f" ({one.latency_ms:,} ms)" for one in well if one.latency_ms is not None), "")
            yield from _line(State.OK, system, "; ".join(one.detail for one in well) + latency, width)
        for one in found:
            if one.state in (State.WARN, State.FAIL):
                yield from _line(one.state, system, one.detail, width)
                yield from [f"{' ' * _INDENT}fix: {one.fix}"] if one.fix else []
    for state, title in _FOLDED.items():
        reasons: dict[str, list[str]] = {}
        for one in report.findings:
            if one.state is state:
                reasons.setdefault(one.detail, []).append(one.system)
        if folded := [f"{', '.join(systems)} ({reason})" for reason, systems in reasons.items()]:
            yield from wrap(
                f"{title}: {', '.join(folded)}", width or 10_000, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
            )
    yield _summary(report)


def _line(state: State, system: str, text: str, width: int) -> Iterable[str]:
    head = f"{_MARKS[state]:<4}  {system:<11}  "
    return wrap(
        text, max(width or 10_000, 40), initial_indent=head, subsequent_indent=" " * _INDENT, break_long_words=False, break_on_hyphens=False
    )


def _summary(report: Report) -> str:
    systems = {one.system for one in report.findings if one.state in _MARKS}
    well = len(systems - {*report.failed, *report.warned})
    numbers = {"well": well, "to look at": len({*report.warned} - {*report.failed}), "failed": len(report.failed)}
    told = ", ".join(f"{number} {what}" for what, number in numbers.items() if number)
    return f"{told or 'Nothing was looked at'}, in {report.took_ms / 1000:.1f} s"
