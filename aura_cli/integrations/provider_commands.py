"""`aura integrations providers`: all of them in a list, or all that a person needs to know of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from aura_cli.console import Format
from aura_cli.errors import AuraError, UsageError
from aura_cli.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Mapping

COLUMNS = ("id", "name", "category", "ready", "kind", "redirect", "refresh")  # a narrow terminal leaves out the last


def providers(
    ctx: typer.Context,
    provider: str | None = typer.Argument(None, metavar="[PROVIDER]", help="Its id, as the list has it. Without: all of them."),
    category: str | None = typer.Option(None, "--category", help="Only those of this category."),
    toml: bool = typer.Option(False, "--toml", help="Print a start for a file in AURA_PROVIDERS_DIR that overrides it."),
    form: Format | None = typer.Option(None, "--format", help="How to write it."),
    columns: str | None = typer.Option(None, "--columns", help="Which columns, with commas between."),
) -> None:
    """List the services that can be connected, or tell what to register and set for one.

    Example: aura integrations providers slack
    Example: aura integrations providers --category crm --json
    """
    runtime: Runtime = ctx.obj
    if provider is not None:
        if category or form or columns:
            raise UsageError("--category, --format and --columns are for the list")
        _start_of_file(runtime, provider) if toml else _guide(runtime, provider)
        return
    if toml:
        raise UsageError("--toml is of one provider", "aura integrations providers slack --toml > slack.toml")
    from aura_cli.integrations.overview import listed

    rows = list(listed(_tables(runtime).values(), runtime.settings.values))
    categories = {row.category for row in rows}
    if category is not None and category not in categories:
        raise UsageError(f"There is no category {category[:80]!r}", f"There are: {', '.join(sorted(categories))}")
    chosen = [row for row in rows if category in (None, row.category)]
    runtime.console.listing(chosen, COLUMNS, form=form, chosen=columns, total=lambda: len(chosen))


def _tables(runtime: Runtime) -> Mapping[str, Any]:
    """Each provider as a table; read raw where no file of a person's own has to be checked."""
    from aura_cli.integrations.overview import tables

    if not runtime.settings.get("AURA_PROVIDERS_DIR"):
        return tables()
    import msgspec

    return {name: msgspec.to_builtins(entry) for name, entry in runtime.catalogue.providers.items()}


def _guide(runtime: Runtime, name: str) -> None:
    from aura_cli.integrations import guide as guides
    from aura_cli.integrations.redirects import public_base

    catalogue, settings = runtime.catalogue, runtime.settings
    provider = catalogue.get(name)
    sharing = tuple(one.id for one in catalogue.providers.values() if one.provider == provider.provider and one is not provider)
    try:
        public: str | None = public_base(settings.get("AURA_PUBLIC_URL") or settings.get("NEXT_PUBLIC_APP_URL"))
    except AuraError:  # none, or none that could be registered; `connect --link` says so
        public = None
    if public and not public.startswith("https:"):  # this machine's own, while somebody develops
        public = None
    found = guides.guide(provider, sharing, lambda setting: setting in settings.values, public)
    runtime.console.result(found, lambda: guides.lines(found), asked=True)


def _start_of_file(runtime: Runtime, name: str) -> None:
    from aura_cli.integrations.overriding import start_of_file
    from aura_cli.integrations.overview import tables

    provider, known = runtime.catalogue.get(name), tables()
    if provider.id not in known:
        raise UsageError(f"{provider.name} is of AURA_PROVIDERS_DIR already: there is nothing to override")
    text = start_of_file(known[provider.id])
    runtime.console.result({"toml": text}, text.splitlines, asked=True)
