"""`aura integrations`: the outside services that people connect. A verb is imported when it is called: the list of providers is quick."""

from collections.abc import Mapping
from typing import ClassVar

import typer

from aura_cli.app import LazyGroup

_ROOM = "aura_cli.integrations"


class Verbs(LazyGroup):
    """The verbs, and where they are."""

    table: ClassVar[Mapping[str, str]] = {
        "providers": f"{_ROOM}.provider_commands:providers",
        "connect": f"{_ROOM}.connect_commands:connect",
        "list": f"{_ROOM}.health_commands:list_",
        "show": f"{_ROOM}.health_commands:show",
        "verify": f"{_ROOM}.health_commands:verify",
        "refresh": f"{_ROOM}.health_commands:refresh",
        "access-token": f"{_ROOM}.grant_commands:access_token",
        "disconnect": f"{_ROOM}.grant_commands:disconnect",
    }


app = typer.Typer(
    cls=Verbs,
    help="Connections to outside services: connect, keep alive, check, end them.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@app.callback()
def integrations() -> None:
    """Connections to outside services: connect, keep alive, check, end them."""
