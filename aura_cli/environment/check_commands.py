"""`aura env check` and `aura env show`: what is configured, whether it is right, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from aura_cli.console import Format
from aura_cli.errors import AttentionNeeded, UsageError
from aura_cli.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aura_cli.environment.check import Finding
    from aura_cli.environment.deployed import Deployed
    from aura_cli.environment.tracked import Exposed, Search
    from aura_cli.environment.vercel import Target

COLUMNS = ("name", "value", "source")


@dataclass(frozen=True)
class Checked:
    """What a check of this machine found. `repository` is where tracked files were looked at; None: there is none, or no git."""

    environment: str | None
    looked_in: tuple[str, ...]
    findings: list[Finding]
    repository: str | None
    exposed: tuple[Exposed, ...]
    unignored: tuple[str, ...]
    bad: int


@dataclass(frozen=True)
class CheckedThere:
    """What a check of the Vercel project found, for each of the targets that were asked for; `compared`: with what is set here."""

    project: str
    team: str | None
    compared: list[Target]
    findings: list[Deployed]
    bad: int


def check(
    ctx: typer.Context,
    vercel: bool = typer.Option(False, "--vercel", help="The variables of the Vercel project, in place of those of this machine."),
    project: str | None = typer.Option(None, "--project", help="With --vercel: the project's id or name; default the linked one."),
    team: str | None = typer.Option(None, "--team", help="With --vercel: the id of the team that it belongs to."),
    target: list[str] | None = typer.Option(None, "--target", help="With --vercel: production, preview or development; default all."),
    everything: bool = typer.Option(False, "--all", help="What is in order, and what is optional and not set, too."),
) -> None:
    """Check every variable: set, well-formed, all of one environment; and that no secret stands in a file that git tracks.

    With --vercel the variables of the Vercel project are checked, for each of its targets, and those of this environment compared
    with what is set here. Values are never shown. Exit code 3 where something needs attention.

    Example: aura env check --vercel --target production
    """
    runtime: Runtime = ctx.obj
    if vercel:
        _check_there(runtime, project, team, target or [], everything=everything)
        return
    if project or team or target:
        raise UsageError("--project, --team and --target are of the Vercel project", "Add --vercel")
    from aura_cli.environment.check import BAD
    from aura_cli.environment.check import check as look
    from aura_cli.environment.tracked import Search, search

    settings = runtime.settings
    findings = look(settings, _clients(runtime))
    searched = Search(None) if settings.is_sandbox else search(settings, Path.cwd())
    bad = sum(one.state in BAD for one in findings) + len(searched.exposed) + len(searched.unignored)
    found = Checked(settings.environment, settings.looked_in, findings, searched.root, searched.exposed, searched.unignored, bad)
    runtime.console.result(found, lambda: _told(found, searched, everything=everything))
    _attention(bad, "aura init asks for what is missing; aura env check --all lists everything")


def show(
    ctx: typer.Context,
    everything: bool = typer.Option(False, "--all", help="What is not set, too."),
    form: Format | None = typer.Option(None, "--format", help="How to write it."),
    columns: str | None = typer.Option(None, "--columns", help="Which columns, with commas between: name, value, source, purpose."),
) -> None:
    """Show what is configured, each value with where it comes from; of a secret only its kind.

    Example: aura env show --all --format csv
    """
    from aura_cli.environment.showing import shown

    runtime: Runtime = ctx.obj
    clients = [name for pair in _clients(runtime).items() for name in pair]
    rows = shown(runtime.settings, clients, everything=everything)
    runtime.console.listing(rows, COLUMNS, form=form, chosen=columns)


def _clients(runtime: Runtime) -> dict[str, str]:
    """The settings of every provider's client: the id's name → the secret's."""
    clients = [one.client for one in runtime.catalogue.providers.values() if one.client]
    return {client.id: client.secret for client in clients if client.secret}


def _check_there(runtime: Runtime, project: str | None, team: str | None, targets: Sequence[str], *, everything: bool) -> None:
    from aura_cli.environment import vercel
    from aura_cli.environment.deployed import BAD, compare, is_of

    if unknown := [name for name in targets if name not in [*vercel.Target]]:
        raise UsageError(f"--target {unknown[0]}: Vercel has no such environment", f"There are: {', '.join(vercel.Target)}")
    wanted = [one for one in vercel.Target if one in targets or not targets]
    meant = vercel.project(runtime.settings, Path.cwd(), project, team)
    with vercel.service(runtime.settings) as service:
        variables = vercel.variables(service, meant)
    findings = compare(variables, runtime.settings, wanted, _clients(runtime))
    bad = sum(one.state in BAD for one in findings)
    found = CheckedThere(meant.name, meant.team, [one for one in wanted if is_of(runtime.settings, one)], findings, bad)
    runtime.console.result(found, lambda: _told_there(found, wanted, everything=everything))
    _attention(bad, "aura env check --vercel --all lists everything")


def _attention(bad: int, hint: str) -> None:
    if bad:
        raise AttentionNeeded(f"{bad} {'thing needs' if bad == 1 else 'things need'} attention", hint)


def _told(found: Checked, searched: Search, *, everything: bool) -> Iterator[str]:
    from aura_cli.environment.check import QUIET, State

    required = [one for one in found.findings if one.need == "required"]
    usable = sum(one.state is State.OK for one in required)
    named = f"Environment {found.environment}" if found.environment else "An environment without a name (AURA_ENV is not set)"
    yield f"{named}: {usable} of {len(required)} required variables are in order."
    rows: list[tuple[str, str, str]] = [
        *((one.state, one.name, _with_source(one)) for one in found.findings if everything or one.state not in QUIET),
        *(("exposed", one.name, f"stands in {one.file}, line {one.line}, which git tracks") for one in found.exposed),
        *(("unignored", name, "holds settings, and git does not ignore it: add it to .gitignore") for name in found.unignored),
    ]
    yield from _lines(rows)
    yield f"Looked for in {', '.join(('the process environment', *map(_with_presence, found.looked_in)))}."
    if found.environment == "sandbox":
        yield "The sandbox's secrets are none: no tracked files were looked at."
    elif searched.root is None:
        yield "There is no git repository here: no tracked files were looked at."
    else:
        yield f"Files that git tracks, and that were searched for the values of secrets: {searched.files:,}."
    absent = sum(one.state is State.ABSENT for one in found.findings)
    if absent and not everything:
        yield f"{absent} optional variables are not set; --all names them."


def _told_there(found: CheckedThere, targets: Sequence[Target], *, everything: bool) -> Iterator[str]:
    from aura_cli.environment.deployed import QUIET, State

    for target in targets:
        mine = [one for one in found.findings if one.target == target]
        right, unread = (sum(one.state is state for one in mine) for state in (State.OK, State.UNREADABLE))
        compared = (
            "compared with what is set here" if target in found.compared else "not compared: what is set here is another environment's"
        )
        yield f"{target} of {found.project}: {right} in order, {unread} unreadable; {compared}."
        yield from _lines([(one.state, one.name, one.detail) for one in mine if everything or one.state not in QUIET])


def _lines(rows: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    return (f"  {state:<{widths[0]}}  {name:<{widths[1]}}  {detail}".rstrip() for state, name, detail in rows)


def _with_presence(file: str) -> str:
    return file if Path(file).exists() else f"{file} (not there)"


def _with_source(one: Finding) -> str:
    return f"{one.detail or 'in order'} (from {one.source})" if one.source else one.detail
