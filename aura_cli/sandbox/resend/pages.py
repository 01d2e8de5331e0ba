"""The inbox: pages to look at the mails that were taken, as their readers would see them; nothing of a mail can run or be fetched."""

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from aura_cli.sandbox.resend.state import Mail

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1f; --soft: #5d5d67; --paper: #f4f3f0; --card: #fff; --line: #e3e1db; --tone: #2f5bd0;
  --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececf0; --soft: #a3a3ae; --paper: #141417; --card: #1e1e23; --line: #303038; --tone: #8fb0ff; --bad: #ff8a80; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 64rem; padding: 2rem 1.25rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.4rem; margin: 0 0 .25rem; overflow-wrap: anywhere; } p { color: var(--soft); margin: 0 0 1.25rem; }
ol { list-style: none; margin: 0; padding: 0; overflow: hidden;
  border: 1px solid var(--line); border-radius: 12px; background: var(--card); }
li + li { border-top: 1px solid var(--line); }
li a { display: grid; grid-template-columns: minmax(0, 15rem) minmax(0, 1fr) max-content; gap: .25rem 1rem; padding: .75rem 1rem;
  color: inherit; text-decoration: none; }
li a:hover { background: var(--paper); } li a:focus-visible { outline: 3px solid var(--tone); outline-offset: -3px; }
li span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; } .to { font-weight: 600; }
.state { color: var(--soft); font-size: .85rem; font-variant-numeric: tabular-nums; }
.bounced, .complained, .suppressed, .failed { color: var(--bad); }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .2rem 1rem; margin: 0 0 1.25rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
iframe { width: 100%; height: 52rem; border: 1px solid var(--line); border-radius: 12px; background: #fff; }
pre { padding: 1rem; border: 1px solid var(--line); border-radius: 12px; background: var(--card);
  white-space: pre-wrap; overflow-wrap: anywhere; }
h2 { font-size: 1rem; margin: 1.5rem 0 .5rem; } .back { color: var(--tone); }
@media (max-width: 40rem) { li a { grid-template-columns: minmax(0, 1fr) max-content; } .subject { grid-row: 2; grid-column: 1 / -1; } }
"""
_WHOLE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · sandbox</title><style>{style}</style></head>
<body>{body}</body></html>
"""
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def inbox(mails: Sequence[Mail], total: int) -> str:
    """The newest mails of `total`, newest first."""
    items = "".join(
        f'<li><a href="/_sandbox/inbox/{mail.id}"><span class="to">{_text(", ".join(mail.message.to))}</span>'
        f'<span class="subject">{_text(mail.message.subject)}</span>'
        f'<span class="state {mail.last_event}">{mail.last_event} · {_time(mail.created)}</span></a></li>'
        for mail in mails
    )
    shown = (
        "No mail yet. What is sent in the sandbox arrives here, and nowhere else."
        if not mails
        else f"The newest {len(mails):,} of {total:,} mails."
    )
    return _page("Inbox", f"<h1>Inbox</h1><p>{shown}</p>" + (f"<ol>{items}</ol>" if items else ""))


def mail(found: Mail) -> str:
    """One mail: who, what became of it, its HTML in a frame of its own, and its text."""
    message = found.message
    facts = {
        "To": ", ".join(message.to),
        "From": message.sender,
        "Sent": f"{datetime.fromtimestamp(found.created, UTC):%Y-%m-%d %H:%M:%S}Z",
        "State": found.last_event,
        "Id": found.id,
        "Idempotency key": found.key or "",
    }
    listed = "".join(f"<dt>{name}</dt><dd>{_text(value)}</dd>" for name, value in facts.items() if value)
    html = f'<iframe sandbox title="The mail" srcdoc="{escape(message.html)}"></iframe>' if message.html else ""
    text = f"<h2>Text version</h2><pre>{escape(message.text)}</pre>" if message.text else ""
    gone = "" if html or text else "<p>Its body is no longer kept.</p>"
    back = '<p><a class="back" href="/_sandbox/inbox">← Inbox</a></p>'
    return _page(message.subject, f"{back}<h1>{_text(message.subject)}</h1><dl>{listed}</dl>{html}{text}{gone}")


def nothing() -> str:
    """No such mail."""
    return _page("No such mail", '<h1>No such mail</h1><p><a class="back" href="/_sandbox/inbox">← Inbox</a></p>')


def _page(title: str, body: str) -> str:
    return _WHOLE.format(title=escape(title), style=_STYLE, body=body)


def _text(value: str) -> str:
    return f"<bdi>{escape(value)}</bdi>"


def _time(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%H:%M:%S}"
