"""A stand-in of Resend: mails are taken as Resend takes them, kept where one can look at them, and told of by webhooks."""

from aura_cli.sandbox.resend.app import error_body, make_app
from aura_cli.sandbox.resend.state import Endpoint, Mishap, ResendState

__all__ = ["Endpoint", "Mishap", "ResendState", "error_body", "make_app"]
