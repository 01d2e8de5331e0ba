"""`aura webhooks`: what arrived and what became of it; handled again, counted, pruned."""

from __future__ import annotations

import typer

from aura_cli.webhooks import stripe_commands

ABOUT = "What Stripe's webhooks brought: look, handle again, fetch, send, count."
app = typer.Typer(help=ABOUT, rich_markup_mode=None, no_args_is_help=True)
stripe_commands.add_to(app)
