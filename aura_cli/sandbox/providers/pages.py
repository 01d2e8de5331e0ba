"""The pages that a person sees: consent, and what went wrong before it."""

from collections.abc import Sequence
from html import escape

_HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>{title}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:12vh auto;padding:0 1rem}}
button{{font:inherit;padding:.5rem 1.25rem;margin-right:.5rem}}small{{opacity:.7}}</style>
<h1>{title}</h1>"""


def consent(name: str, client_id: str, scopes: Sequence[str], account: str) -> str:
    """Asks whether the client may; its form comes back to the page's own address, with `decision` and `account`."""
    items = "".join(f"<li>{escape(scope)}</li>" for scope in scopes) or "<li>everything</li>"
    return (
        _HEAD.format(title=f"{escape(name)} (sandbox)")
        + f"<p><b>{escape(client_id)}</b> would like to use your account, and asks for:</p><ul>{items}</ul>"
        + f'<form method="post"><p><label>Account <input name="account" value="{escape(account)}"></label></p>'
        + '<button name="decision" value="allow">Allow</button><button name="decision" value="deny">Deny</button></form>'
        + "<p><small>A stand-in on this machine. Nothing leaves it.</small></p>"
    )


def device(name: str, user_code: str) -> str:
    """Asks for the code of a device flow."""
    return (
        _HEAD.format(title=f"{escape(name)} (sandbox)")
        + f'<form method="post"><p><label>Code <input name="user_code" value="{escape(user_code)}"></label></p>'
        + '<button name="decision" value="allow">Allow</button><button name="decision" value="deny">Deny</button></form>'
    )


def message(title: str, text: str) -> str:
    """Says one thing."""
    return _HEAD.format(title=escape(title)) + f"<p>{escape(text)}</p>"
