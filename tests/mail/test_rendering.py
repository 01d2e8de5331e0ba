"""The templates: what they make of good data, of data that attacks, and of none."""

import json
import re
from collections.abc import Iterator
from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_cli.errors import ConfigurationError, NotFoundError, UsageError
from aura_cli.mail.rendering import TEMPLATES, Rendered, Template, checked, find, render
from aura_cli.mail.variables import LONGEST_TEXT, Kind, Variable
from tests.mail.reading import read

APP = "https://aura.example.com"
EVERY = pytest.mark.parametrize("template", TEMPLATES.values(), ids=lambda each: each.name)
VARIABLES = [(template, variable) for template in TEMPLATES.values() for variable in template.variables.values()]
FREE = [(template, variable) for template, variable in VARIABLES if variable.kind is Kind.TEXT and not variable.choices]
STRICT = [(template, variable) for template, variable in VARIABLES if (template, variable) not in FREE]
ATTACKS = [
    "<script>alert(1)</script>",
    "</td></tr></table><h1>Your account is closed</h1>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "<!-- --><a href='https://evil.example'>here</a>",
    "]]><svg/onload=alert(1)>",
    "</title><meta http-equiv=refresh content=0>",
    "&lt;b&gt; &amp; &#60;i&#62;",
    "{{ 7 * 7 }} {% raw %} {# no #} {{ app_url }}",
    "[[ look.sheet ]] [% if 1 %]",
    "**not strong** [not](a-link) _plain_",
    "\\1 \\g<0> $tone %s {0}",
]


def named(pairs: list[tuple[Template, Variable]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("template", "variable"), pairs, ids=lambda each: each.name)


def made(template: Template, **data: object) -> Rendered:
    """A template's sample with some of its variables changed."""
    return render(template.name, {**template.sample, **data}, app_url=APP)


def subsets(template: Template) -> Iterator[dict[str, object]]:
    """Its sample with every choice of optional variables."""
    optional = [name for name, each in template.variables.items() if not each.required]
    for chosen in chain.from_iterable(combinations(optional, size) for size in range(len(optional) + 1)):
        yield {name: value for name, value in template.sample.items() if name in chosen or name not in optional}


def test_the_five() -> None:
    """They are those that the web app's events ask for; another name is told with those that there are."""
    assert list(TEMPLATES) == ["welcome", "team-invite", "subscription-confirmation", "payment-failed", "connection-needs-consent"]
    with pytest.raises(NotFoundError) as caught:
        find("newsletter")
    assert "team-invite" in caught.value.hint


@EVERY
def test_whatever_is_left_out_the_mail_is_whole(template: Template) -> None:
    """With any choice of optional variables there is a subject of one line, and nothing of a template or of `None` left anywhere."""
    for data in subsets(template):
        mail = render(template.name, data, app_url=APP)
        assert mail.subject == mail.subject.strip()
        assert len(mail.subject.splitlines()) == 1
        seen = read(mail.html)
        for part in (mail.subject, mail.text, seen.text):
            assert not re.search(r"None|\{\{|\{%|\[\[|\*\*|\$tone| {2}\S+ {2},|,,|\(\)", part), part
        assert mail.text.endswith("\n")
        assert not re.search(r"\n\n\n|^\s*\w[\w ]*:\s*$\n\n", mail.text, re.MULTILINE), mail.text


@EVERY
def test_both_versions_say_the_same(template: Template) -> None:
    """Every word of the text stands in the HTML, in the same order: one source makes both."""
    for data in subsets(template):
        mail = render(template.name, data, app_url=APP)
        text = re.sub(r"^(\d+\.|-- )", " ", mail.text, flags=re.MULTILINE)  # numbers and the signature's line are the text's own
        words = iter(re.findall(r"\w+", read(mail.html).text))
        missing = [word for word in re.findall(r"\w+", re.sub(r"https?://\S+|AURA ·", " ", text)) if word not in words]
        assert not missing
        assert set(read(mail.html).links) == set(re.findall(r"https?://\S+", mail.text))


@EVERY
def test_variables_are_shown_as_people_write_them(template: Template) -> None:
    """Dates, amounts and numbers stand in both versions in a reader's form; an interval belongs to an amount."""
    mail = made(template)
    words, text = read(mail.html), mail.text.lower()
    for name, variable in template.variables.items():
        shown = variable.shown(template.sample[name]).lower()
        assert shown in text
        assert shown in words.text.lower()


@EVERY
def test_a_missing_variable_is_named(template: Template) -> None:
    """Each that is required, alone and together with the others; nothing of the sample steps in."""
    for name, variable in template.variables.items():
        data = {key: value for key, value in template.sample.items() if key != name}
        if variable.required:
            with pytest.raises(UsageError, match=f"{template.name}: {name} is missing") as caught:
                render(template.name, data, app_url=APP)
            assert template.takes in caught.value.hint
    required = [name for name, variable in template.variables.items() if variable.required]
    if required:
        with pytest.raises(UsageError) as caught:
            checked(template, {})
        assert all(f"{name} is missing" in caught.value.message for name in required)


@EVERY
def test_an_unknown_variable_is_named(template: Template) -> None:
    """A misspelt one is no silent loss."""
    with pytest.raises(UsageError, match="nmae is unknown"):
        made(template, nmae="Mina")


@named(VARIABLES)
@pytest.mark.parametrize("value", [7.5, True, ["Mina"], {"a": 1}, "", " \t\n", "x" * (LONGEST_TEXT + 1), "\ud800", b"Mina"], ids=repr)
def test_a_wrong_value_is_named(template: Template, variable: Variable, value: object) -> None:
    """Another type, nothing in it, too much of it, half a character."""
    with pytest.raises(UsageError, match=f"{template.name}: {variable.name}: "):
        made(template, **{variable.name: value})


@pytest.mark.parametrize("attack", ATTACKS)
@named(FREE)
def test_html_in_a_text_stays_text(template: Template, variable: Variable, attack: str) -> None:
    """Through every variable: the document keeps its tags and attributes, and the reader sees the words as they were written."""
    mail, usual = made(template, **{variable.name: attack}), made(template)
    seen = read(mail.html)
    assert seen.shape == read(usual.html).shape
    assert seen.links == read(usual.html).links
    assert attack in seen.isolated
    assert attack in mail.text or attack in mail.subject


@pytest.mark.parametrize("attack", ATTACKS)
@named(STRICT)
def test_html_in_anything_else_is_refused(template: Template, variable: Variable, attack: str) -> None:
    """Addresses, dates, amounts, numbers and choices hold nothing but what they are."""
    with pytest.raises(UsageError, match=f"{template.name}: {variable.name}: "):
        made(template, **{variable.name: attack})


@given(st.data())
@EVERY
def test_no_text_at_all_changes_the_document(template: Template, data: st.DataObject) -> None:
    """Whatever the texts are, the document's shape and links stay, and the subject has one line."""
    texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
    given_ = {variable.name: data.draw(texts) for each, variable in FREE if each is template}
    try:
        mail = made(template, **given_)
    except UsageError as error:
        assert "it is empty" in error.message  # noqa: PT017 (white space alone)
        return
    seen, usual = read(mail.html), read(made(template).html)
    assert (seen.shape, seen.links) == (usual.shape, usual.links)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", mail.subject)


BAD_URLS = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    " https://aura.example.com",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "//evil.example",
    "/team/accept",
    "ftp://example.com/x",
    "https://",
    "https:///x",
    "https:evil.example",
    "https://aura.example.com@evil.example/",
    "https://aura.example.com\\@evil.example/",
    'https://aura.example.com/"onmouseover="alert(1)',
    "https://aura.example.com/<script>",
    "https://aura.example.com/a b",
    "https://aura.example.com/\r\nBcc: all@example.com",
    "https://aura.example.com/\u202egnp.exe",
    "https://аura.example.com/",
    "https://aura.example.com:0/",
    "https://aura.example.com:99999/",
    "https://[::1",
    "https://aura.example.com/" + "x" * 2000,
]


@pytest.mark.parametrize("url", BAD_URLS)
@named([(template, variable) for template, variable in VARIABLES if variable.kind is Kind.URL])
def test_an_address_is_http(template: Template, variable: Variable, url: str) -> None:
    """Nothing else becomes a link, nor does an address that hides where it leads or breaks out of its attribute."""
    with pytest.raises(UsageError, match=f"{variable.name}: "):
        made(template, **{variable.name: url})


def test_an_address_is_escaped() -> None:
    """What may stand in an address and means something in HTML arrives as it was."""
    url = "http://127.0.0.1:8787/a;b/?x=1&copy=2&lt=(3)'*'#[end]%20"
    mail = made(find("team-invite"), link=url)
    assert url in read(mail.html).links
    assert url in mail.text
    assert "&copy=" not in mail.html


@pytest.mark.parametrize("name", ["שרה לוי", "محمد عبد الله", "👩🏽‍🚀 Zoë", "🏴󠁧󠁢󠁷󠁬󠁳󠁿", "Ngũgĩ wa Thiong'o", "李小龍", "D'Arcy & Söhne <GmbH>"])
@named(FREE)
def test_names_of_everywhere(template: Template, variable: Variable, name: str) -> None:
    """Right-to-left, emoji that are put together of several, apostrophes: whole in all parts, and kept apart from what is beside them."""
    mail = made(template, **{variable.name: name})
    assert name in read(mail.html).isolated
    assert name in mail.text


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("Mina\r\nBcc: all@example.com", "Mina Bcc: all@example.com"),
        ("Mina\nContent-Type: text/html\n\n<b>", "Mina Content-Type: text/html <b>"),
        ("Mina\x00\x1b[31m\x7f\x85red", "Mina [31m red"),
        ("Mina\u2028Bcc: x\u2029y", "Mina Bcc: x y"),
        ("\u202eMina\u202c \u2066x\u2069", "Mina x"),
        ("  Mina \t Okafor\xa0", "Mina Okafor"),
    ],
)
@named(FREE)
def test_a_text_is_one_line(template: Template, variable: Variable, given_: str, kept: str) -> None:
    """No header, line of the text or terminal's command comes in with a name, nor does anything that turns its surroundings round."""
    mail = made(template, **{variable.name: given_})
    assert "\n" not in mail.subject
    assert "\r" not in mail.subject + mail.text
    assert not re.search(r"^(Bcc|Content-Type):", mail.text, re.MULTILINE)
    assert mail == made(template, **{variable.name: kept})


@EVERY
def test_what_is_kept_is_json_and_final(template: Template) -> None:
    """What `checked` returns can be stored, and checking it again changes nothing: a mail that is sent again is the same mail."""
    kept = checked(template, template.sample)
    assert json.loads(json.dumps(kept)) == kept == checked(template, kept)
    assert render(template.name, kept, app_url=APP) == render(template.name, json.loads(json.dumps(kept)), app_url=APP)
    assert all(checked(template, {**template.sample, name: None}) for name, each in template.variables.items() if not each.required)


@pytest.mark.parametrize("url", ["", "aura.example.com", "javascript:alert(1)", "https://user@aura.example.com"])
def test_the_app_needs_an_address(url: str) -> None:
    """NEXT_PUBLIC_APP_URL is checked as every other address is."""
    with pytest.raises(ConfigurationError, match="NEXT_PUBLIC_APP_URL"):
        render("welcome", {}, app_url=url)


def test_the_app_is_where_buttons_lead_without_a_link() -> None:
    """A mail whose link is optional leads to the web app."""
    mail = render("welcome", {}, app_url=f"{APP}/")
    assert set(read(mail.html).links) == {APP}


@EVERY
def test_styles_are_inlined(template: Template) -> None:
    """A client that throws the head away loses the dark and the phone, and nothing else; nothing is fetched, nothing can run."""
    mail = made(template)
    seen = read(mail.html)
    bare = {"html", "head", "meta", "title", "style", "tr", "br", "bdi"}
    assert [tag for tag in seen.shape if "style" not in tag and tag[0] not in bare and "role" not in tag] == []
    assert {name for _, name, _ in seen.attributes if name.startswith("on") or name in ("src", "background", "action")} == set()
    assert {tag[0] for tag in seen.shape} & {"script", "link", "img", "iframe", "form", "object", "svg", "base"} == set()
    assert not re.search(r"url\(|@import|@font-face|expression", mail.html)
    assert len(mail.html.encode()) < 20_000  # Gmail cuts at 102 kB


@EVERY
def test_the_dark_and_phones_have_rules_of_their_own(template: Template) -> None:
    """Every class that a tag bears has a rule, and every rule is strong enough to win over what is inlined."""
    mail = made(template)
    sheet = re.search(r"<style>(.*?)</style>", mail.html, re.DOTALL)
    assert sheet
    assert "@media (prefers-color-scheme: dark)" in sheet[1]
    assert "[data-ogsc]" in sheet[1]
    classes = {each for _, name, value in read(mail.html).attributes if name == "class" for each in value.split()}
    assert classes <= set(re.findall(r"\.([\w-]+) \{", sheet[1]))
    rules = re.findall(r"\.[\w-]+ \{ (.*?) \}", sheet[1])
    assert rules
    assert all(part.endswith("!important") for rule in rules for part in rule.split("; "))
