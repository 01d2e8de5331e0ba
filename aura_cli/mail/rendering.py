"""The templates, and a mail made from one: subject, HTML and text from one source, which is a TOML file in `templates/`."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from aura_cli.errors import ConfigurationError, NotFoundError, UsageError
from aura_cli.mail.variables import Kind, Variable, checked_url
from aura_cli.words import meant

if TYPE_CHECKING:
    import jinja2

FOLDER = Path(__file__).with_name("templates")
BETWEEN = "\0"  # between the parts of a mail as its template makes them: no value holds it


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A name and a value in a list of facts. `when` names the optional variable without which it is left out."""

    name: str
    value: str
    when: str | None = None


class Block(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the body: one of `text`, `steps`, `facts`, `button` (with the address it leads `to`), `note`; `when` as in Row."""

    text: str | None = None
    steps: tuple[str, ...] = ()
    facts: tuple[Row, ...] = ()
    button: str | None = None
    to: str | None = None
    note: str | None = None
    when: str | None = None


class Declared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A variable as a template's file declares it."""

    kind: Kind
    purpose: str
    sample: str | int
    required: bool = True
    choices: tuple[str, ...] = ()


class Definition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A template's file. Its texts are Jinja2, with `**strong**`; `preview` is what an inbox shows beside the subject."""

    purpose: str
    tone: str
    subject: str
    preview: str
    heading: str
    why: str
    variables: dict[str, Declared]
    body: tuple[Block, ...]


@dataclass(frozen=True)
class Template:
    """One template: its name, what it is for, and the variables that it takes."""

    name: str
    purpose: str
    variables: Mapping[str, Variable]
    definition: Definition = field(repr=False)

    @property
    def sample(self) -> dict[str, object]:
        """Made-up data, for previews and tests only."""
        return {name: variable.sample for name, variable in self.variables.items()}

    @property
    def takes(self) -> str:
        """Its variables in a line, the optional ones in brackets."""
        return ", ".join(name if variable.required else f"[{name}]" for name, variable in self.variables.items())


@dataclass(frozen=True)
class Rendered:
    """A mail's subject (one line), its HTML and its text version."""

    subject: str
    html: str
    text: str


def _read(path: Path) -> Template:
    definition = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Definition)
    variables = {
        name: Variable(name, one.kind, one.purpose, one.sample, one.required, one.choices) for name, one in definition.variables.items()
    }
    return Template(path.stem, definition.purpose, MappingProxyType(variables), definition)


_ORDER = ("welcome", "team-invite", "subscription-confirmation", "payment-failed", "connection-needs-consent")
TEMPLATES: Mapping[str, Template] = MappingProxyType({name: _read(FOLDER / f"{name}.toml") for name in _ORDER})


def find(name: str) -> Template:
    """The template of that name. Raises NotFoundError."""
    if name not in TEMPLATES:
        raise NotFoundError(f"There is no template {name!r}", meant(name, TEMPLATES))
    return TEMPLATES[name]


def checked(template: Template, data: Mapping[str, object]) -> dict[str, object]:
    """What is kept of `data`: JSON values, in the template's order; an optional variable that is None or absent is left out.

    Texts become one line each (`variables.clean`). Raises UsageError that names every variable which is missing, unknown or wrong.
    """
    kept: dict[str, object] = {}
    wrong: list[str] = []
    for name, variable in template.variables.items():
        value = data.get(name)
        if value is None:
            wrong += [f"{name} is missing"] if variable.required else []
            continue
        try:
            kept[name] = variable.checked(value)
        except ValueError as error:
            wrong.append(f"{name}: {error}")
    wrong += [f"{name} is unknown" for name in data if name not in template.variables]
    if wrong:
        raise UsageError(f"Template {template.name}: {'; '.join(wrong)}", f"It takes {template.takes}")
    return kept


def render(name: str, data: Mapping[str, object], *, app_url: str) -> Rendered:
    """The mail that a template makes of `data`; `app_url` is the web app's public address.

    Raises NotFoundError for an unknown template, UsageError as `checked` does, ConfigurationError for an `app_url` that is none.
    """
    template = find(name)
    base, kept = _base(app_url), checked(template, data)
    values = {name: variable.shown(kept[name]) if name in kept else None for name, variable in template.variables.items()}
    subject, text, html = _composed(name).render(values, app_url=base).split(BETWEEN)
    return Rendered(subject, html, text)


@cache
def _base(app_url: str) -> str:
    try:
        return checked_url(app_url).rstrip("/")
    except ValueError as error:
        raise ConfigurationError(f"NEXT_PUBLIC_APP_URL: {error}") from None


@cache
def _composed(name: str) -> "jinja2.Template":
    from aura_cli.mail.composing import compose  # and with it Jinja2, which the list of templates can do without

    template = TEMPLATES[name]
    return compose(template.definition, [each.name for each in template.variables.values() if each.kind is Kind.TEXT])
