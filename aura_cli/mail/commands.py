"""`aura email`: mail to customers. A verb is imported when it is called."""

from collections.abc import Mapping
from typing import ClassVar

import typer

from aura_cli.app import LazyGroup

_ROOM = "aura_cli.mail"


class Verbs(LazyGroup):
    """The verbs, and where they are."""

    table: ClassVar[Mapping[str, str]] = {
        "templates": f"{_ROOM}.template_commands:templates",
        "render": f"{_ROOM}.template_commands:render",
        "send": f"{_ROOM}.send_commands:send",
        "invite": f"{_ROOM}.invite_commands:invite",
        "log": f"{_ROOM}.log_commands:log",
        "retry": f"{_ROOM}.log_commands:retry",
        "suppressed": f"{_ROOM}.log_commands:suppressed",
        "suppress": f"{_ROOM}.log_commands:suppress",
        "prune": f"{_ROOM}.log_commands:prune",
    }


app = typer.Typer(
    cls=Verbs, help="Mail to customers: templates, sending, what became of each.", rich_markup_mode=None, no_args_is_help=True
)


@app.callback()
def email() -> None:
    """Mail to customers: templates, sending, what became of each."""
