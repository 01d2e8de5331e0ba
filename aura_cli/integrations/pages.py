"""The pages that a browser ends on: plain, without a script, dark and light, nothing fetched from anywhere, never a code or token."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from html import escape

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1f; --soft: #5d5d67; --paper: #f4f3f0; --card: #fff; --line: #e3e1db; --tone: #1d7a4c; }
.denied { --tone: #9a6700; } .failed { --tone: #b3261e; } .asks { --tone: #2f5bd0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececf0; --soft: #a3a3ae; --paper: #141417; --card: #1e1e23; --line: #303038; --tone: #58c88d; }
  .denied { --tone: #e2b04a; } .failed { --tone: #ff8a80; } .asks { --tone: #8fb0ff; }
}
* { box-sizing: border-box; margin: 0; }
body { min-height: 100vh; display: grid; place-items: center; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { width: 100%; max-width: 29rem; padding: 2.5rem 2.25rem; background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  border-top: 4px solid var(--tone); box-shadow: 0 1px 2px rgb(0 0 0 / .06); }
.mark { width: 2.5rem; height: 2.5rem; margin-bottom: 1.1rem; border-radius: 50%; display: grid; place-items: center; font-weight: 700;
  font-size: 1.15rem; color: var(--card); background: var(--tone); }
h1 { font-size: 1.45rem; line-height: 1.25; font-weight: 650; letter-spacing: -.01em; margin-bottom: .6rem; overflow-wrap: anywhere; }
p { color: var(--soft); margin-top: .5rem; overflow-wrap: anywhere; }
dl { margin-top: 1.4rem; padding-top: 1.2rem; border-top: 1px solid var(--line); display: grid; grid-template-columns: max-content 1fr;
  gap: .35rem 1.25rem; }
dt { color: var(--soft); } dd { overflow-wrap: anywhere; font-weight: 550; }
form { margin-top: 1.8rem; }
button { width: 100%; padding: .8rem 1rem; border: 0; border-radius: 9px; font: inherit; font-weight: 600; cursor: pointer;
  color: var(--card); background: var(--tone); }
button:hover { filter: brightness(1.08); } button:focus-visible { outline: 3px solid var(--ink); outline-offset: 2px; }
footer { margin-top: 1.8rem; font-size: .82rem; color: var(--soft); }
"""
_DIGEST = b64encode(sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    # a form's target may lead on to the provider's page, and from there to wherever it lets people sign in
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; frame-ancestors 'none'; "
    "form-action 'self' https: http://127.0.0.1:* http://localhost:*",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_WHOLE = """<!doctype html>
<html lang="en" class="{tone}">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{title} · aura</title>
<style>{style}</style></head>
<body><main>
<div class="mark" aria-hidden="true">{mark}</div>
<h1>{title}</h1>
{text}{facts}{button}
<footer>{foot}</footer>
</main></body>
</html>
"""
CLOSE = "You can close this page."


class Tone(StrEnum):
    """What sort of news it is; the value is the style's class."""

    GOOD = "good"
    DENIED = "denied"
    FAILED = "failed"
    ASKS = "asks"


_MARKS = {Tone.GOOD: "✓", Tone.DENIED: "–", Tone.FAILED: "!", Tone.ASKS: "→"}


@dataclass(frozen=True)
class Page:
    """One page, and the HTTP status that goes with it. `facts` are pairs of name and value, `button` posts to the page's own address."""

    title: str
    text: Sequence[str]
    tone: Tone = Tone.FAILED
    status: int = 200
    facts: Sequence[tuple[str, str]] = ()
    button: str | None = None
    foot: str = CLOSE
    on_sent: Callable[[], object] = lambda: None

    @property
    def html(self) -> str:
        """The whole document."""
        facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in self.facts if value)
        return _WHOLE.format(
            tone=self.tone,
            style=STYLE,
            mark=_MARKS[self.tone],
            title=escape(self.title),
            text="".join(f"<p>{escape(line)}</p>\n" for line in self.text),
            facts=f"<dl>{facts}</dl>" if facts else "",
            button=f'<form method="post"><button type="submit">{escape(self.button)}</button></form>' if self.button else "",
            foot=escape(self.foot),
        )


NOT_HERE = Page("Nothing is here", ["This address answers one consent, and nothing else."], status=404)
NO_LINK = Page("This link is not known", ["Was it copied whole? Links are long, and some mail programs break them."], status=404)
NOT_AWAITED = Page(
    "Nobody waits for this answer",
    ["It was used before, or its link has expired. Nothing was changed.", "Open the link again, or ask whoever sent it for a new one."],
    status=400,
)
OTHER_BROWSER = Page(
    "This is another browser than the one that began",
    [
        "Only the browser in which you opened the link can finish it. Nothing was changed.",
        "Open the link in this browser, and begin there.",
    ],
    status=403,
)
USED = Page("This link has been used", ["A link works once. If it was not you, tell whoever sent it."], Tone.DENIED, status=410)
BUSY = Page("Not now", ["This cannot be answered at the moment. Wait a little, and load the page again."], status=503, foot="")
BROKEN = Page("Something failed here", ["It has been noted. Whoever sent the link can find out more."], status=500)
NOT_OURS = Page(
    "This is not the answer that is waited for",
    ["It may be of an older tab, or of a try that was broken off. Nothing was changed.", "Go back to the tab that was opened last."],
    status=400,
)
SECOND = Page(
    "This has been answered already",
    ["Another tab brought the answer, and it is being worked on there. Nothing more is needed here."],
    Tone.DENIED,
    status=409,
)
UNKNOWN = Page("It was broken off", ["What became of it stands in the terminal where it was begun. Look there, and try again."], status=503)
EXPIRED = Page(
    "This link has expired",
    [
        "Links are good for a few minutes, so that nobody else can use them later. Nothing was changed.",
        "Ask whoever sent it for a new one.",
    ],
    Tone.DENIED,
    status=410,
)


def connected(provider: str, label: str | None, whose: str, next_step: str) -> Page:
    """It worked: which account is connected, and whose it is here."""
    facts = (("Account", label or ""), ("Connected for", whose))
    return Page(f"{provider} is connected", [next_step], Tone.GOOD, facts=facts)


def denied(provider: str, next_step: str) -> Page:
    """The person said no, which is an answer."""
    return Page(f"{provider} was not connected", ["You did not allow it, so nothing was stored.", next_step], Tone.DENIED)


def failed(provider: str, reason: str, next_step: str) -> Page:
    """It did not work: why, and what to do."""
    return Page(f"{provider} could not be connected", [reason, next_step], Tone.FAILED)


def invitation(provider: str, whose: str, scopes: Sequence[str], minutes: int, operator: str) -> Page:
    """What a link leads to: who wants what, and the button that sets out to the provider."""
    facts = (("Account of", whose), ("Asked by", operator), ("It may", ", ".join(scopes)))
    text = [f"You will be taken to {provider}, where you sign in and decide. Your password stays there."]
    foot = f"This link works once, for {minutes} more minute{'s' * (minutes != 1)}. If you did not expect it, close this page."
    return Page(f"Connect {provider}", text, Tone.ASKS, facts=facts, button=f"Continue to {provider}", foot=foot)
