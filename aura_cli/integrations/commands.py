"""`aura integrations`: the outside services that people connect."""

import typer

from aura_cli.integrations.connect_commands import connect
from aura_cli.integrations.grant_commands import access_token, disconnect
from aura_cli.integrations.health_commands import list_, refresh, show, verify
from aura_cli.integrations.provider_commands import providers

app = typer.Typer(
    help="Connections to outside services: connect, keep alive, check, end them.", rich_markup_mode=None, no_args_is_help=True
)
app.command()(providers)
app.command()(connect)
app.command("list")(list_)
app.command()(show)
app.command()(verify)
app.command()(refresh)
app.command()(access_token)
app.command()(disconnect)
