"""`aura integrations`: the outside services that people connect."""

import typer

from aura_cli.integrations.connect_commands import connect
from aura_cli.integrations.provider_commands import providers

app = typer.Typer(
    help="Connections to outside services: connect, keep alive, check, end them.", rich_markup_mode=None, no_args_is_help=True
)
app.command()(providers)
app.command()(connect)
