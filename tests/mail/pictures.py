"""Pictures of every template, on a phone and on a desk, in light and dark; `python -m tests.mail.pictures` makes the README's anew."""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser

from aura_cli.mail.rendering import TEMPLATES, render
from tests.parts.chromium import Scheme, Tab, browser, tab

PHONE, DESK = 360, 1200  # pixels wide
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
FOLDER = Path(__file__).parent
LARGEST_SHEET = 150_000  # bytes
_SHEET = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; padding: 20px; width: 1240px; box-sizing: border-box; background: {paper}; }}
div {{ display: grid; grid-template-columns: repeat(5, 1fr); gap: 16px; align-items: start; }} div + div {{ margin-top: 16px; }}
img {{ display: block; width: 100%; border-radius: 8px; box-shadow: 0 0 0 1px {line}; }}
</style><div>{phones}</div><div>{desks}</div>"""
_PAPER = {"light": ("#ffffff", "#dddbd5"), "dark": ("#0b0b0d", "#36363f")}


@dataclass(frozen=True)
class Shot:
    """One picture, and the tab that it was taken in."""

    template: str
    scheme: Scheme
    width: int
    tab: Tab
    png: bytes


def shots(
    chromium: Browser, schemes: tuple[Scheme, ...] = SCHEMES, widths: tuple[int, ...] = (PHONE, DESK), **data: object
) -> Iterator[Shot]:
    """Every template's sample, with `data` in place of some of it where the template has such variables."""
    for scheme in schemes:
        for width in widths:
            with tab(chromium, scheme, javascript=True, width=width, height=640) as opened:
                for name, template in TEMPLATES.items():
                    own = {key: value for key, value in data.items() if key in template.variables}
                    mail = render(name, {**template.sample, **own}, app_url="https://aura.example.com")
                    opened.page.set_content(mail.html)
                    yield Shot(name, scheme, width, opened, opened.page.screenshot(full_page=True))


def sheet(chromium: Browser, scheme: Scheme, taken: list[Shot]) -> bytes:
    """All templates of a scheme in one JPEG: phones above, desks below."""
    paper, line = _PAPER[scheme]
    rows = {width: "".join(_image(shot) for shot in taken if (shot.scheme, shot.width) == (scheme, width)) for width in (PHONE, DESK)}
    with tab(chromium, scheme, width=1240, height=100) as opened:
        opened.page.set_content(_SHEET.format(paper=paper, line=line, phones=rows[PHONE], desks=rows[DESK]))
        return opened.page.screenshot(full_page=True, type="jpeg", quality=82)


def _image(shot: Shot) -> str:
    return f'<img alt="" src="data:image/png;base64,{b64encode(shot.png).decode()}">'


if __name__ == "__main__":
    with browser() as chromium:
        everything = list(shots(chromium))
        for each in SCHEMES:
            (FOLDER / f"{each}.jpg").write_bytes(sheet(chromium, each, everything))
