"""The templates in a browser: on a phone and on a desk, in light and dark."""

from playwright.sync_api import Browser

from aura_cli.mail.rendering import TEMPLATES
from tests.mail.pictures import DESK, FOLDER, LARGEST_SHEET, PHONE, SCHEMES, Shot, sheet, shots
from tests.parts.chromium import chromium

__all__ = ["chromium"]

NARROWEST = 320  # pixels
LONGEST = dict.fromkeys(("name", "inviter", "team", "plan", "provider", "account"), "Donaudampfschifffahrt" * 9)
LONG_LINK = {"link": "https://aura.example.com/" + "x" * 500, "amount": "123456789012.00 USD"}
ENOUGH = 4.5  # WCAG 2.2, 1.4.3: contrast of text
CONTRASTS = """() => {
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parts(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement, words = texts.currentNode.textContent.trim();
    if (!words || !element.offsetParent) continue;
    const [one, other] = [light(parts(getComputedStyle(element).color)), light(behind(element))].sort((a, b) => b - a);
    found.push([words, (one + .05) / (other + .05)]);
  }
  return found;
}"""


def overflow(shot: Shot) -> int:
    """By how many pixels the page is wider than the screen."""
    return int(shot.tab.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def test_pictures(chromium: Browser) -> None:
    """Each fits its screen, fetches nothing, can be read in light and dark; the sheets for the README stay small."""
    taken = []
    for shot in shots(chromium):
        taken.append(shot)
        assert overflow(shot) == 0, shot
        assert shot.tab.asked == []
        contrasts = shot.tab.page.evaluate(CONTRASTS)
        assert len(contrasts) > 8
        assert {words: round(ratio, 2) for words, ratio in contrasts if ratio < ENOUGH} == {}, shot
        assert (
            shot.tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
            == {
                "light": "rgb(244, 243, 240)",
                "dark": "rgb(20, 20, 23)",
            }[shot.scheme]
        )
    assert len({shot.png for shot in taken}) == len(TEMPLATES) * 4
    for scheme in SCHEMES:
        assert len(sheet(chromium, scheme, taken)) <= LARGEST_SHEET


def test_nothing_is_too_long(chromium: Browser) -> None:
    """Words without an end, an endless address and an absurd amount break their lines, on the narrowest screen too."""
    for shot in shots(chromium, ("light",), (NARROWEST, PHONE, DESK), **LONGEST, **LONG_LINK):
        assert overflow(shot) == 0, shot


def test_a_button_is_big_enough_for_a_thumb(chromium: Browser) -> None:
    """On a phone it is as wide as the text and 44 pixels high (https://www.w3.org/TR/WCAG22/#target-size-enhanced)."""
    for shot in shots(chromium, ("light",), (PHONE,)):
        box = shot.tab.page.locator("a.button").bounding_box()
        assert box
        assert box["height"] >= 44
        assert box["width"] >= 280


def test_a_name_keeps_its_direction_to_itself(chromium: Browser) -> None:
    """A name written from right to left stands in its place, and what follows it does not move."""
    for shot in shots(chromium, ("light",), (PHONE,), inviter="שרה לוי", name="שרה לוי", provider="שרה", plan="שרה"):
        isolation = shot.tab.page.evaluate("[...document.querySelectorAll('bdi')].map(one => getComputedStyle(one).unicodeBidi)")
        assert set(isolation) == {"isolate"}
        assert shot.tab.page.evaluate("getComputedStyle(document.querySelector('h1')).direction") == "ltr"


def test_the_readmes_pictures_are_there() -> None:
    """They are made by `python -m tests.mail.pictures`."""
    for scheme in SCHEMES:
        assert 0 < (FOLDER / f"{scheme}.jpg").stat().st_size <= LARGEST_SHEET
