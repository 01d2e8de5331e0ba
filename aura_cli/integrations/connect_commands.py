"""`aura integrations connect`: one person's account at one provider, by consent or with credentials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from aura_cli.console import LONGEST_SECRET, brief
from aura_cli.errors import UsageError
from aura_cli.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aura_cli.integrations.connecting import Connected, Gained, Means, Standing, Wish
    from aura_cli.integrations.provider import Field, Provider
    from aura_cli.integrations.ways import Way


@dataclass(frozen=True)
class Asked:
    """What the command line says about how to go about it. `timeout` is seconds."""

    port: int | None
    timeout: float | None
    browser: bool | None
    public_url: str | None
    waits: bool


@dataclass(frozen=True)
class Errand:
    """One connection to be made. `whose`: what the person is called on pages and in the terminal."""

    runtime: Runtime
    means: Means
    wish: Wish
    whose: str
    way: Way
    asked: Asked


@dataclass(frozen=True)
class Foreseen:
    """What `-n` shows: how it would be connected, what goes where, what is asked for, and the connection it would write over."""

    provider: str
    user_id: str
    way: str
    redirect_uri: str | None
    scopes: tuple[str, ...]
    given: tuple[str, ...]
    asks_for: tuple[str, ...]
    verified: bool
    writes_over: str | None


def connect(
    ctx: typer.Context,
    provider: str = typer.Argument(metavar="PROVIDER", help="Its id: aura integrations providers lists them."),
    user: str = typer.Option(..., "--user", metavar="WHO", help="Whose: a user id (uuid), DID, e-mail address, cus_… or sub_…"),
    scopes: list[str] = typer.Option([], "--scopes", help="Instead of the usual ones; commas or spaces between."),
    name: str | None = typer.Option(None, "--as", help="A name of yours for this connection."),
    port: int | None = typer.Option(None, "--port", min=1, max=65535, help="Where the consent comes back to on this machine."),
    paste: bool = typer.Option(False, "--paste", help="Consent in any browser, and paste the address that it ends on."),
    device: bool = typer.Option(False, "--device", help="Type a code on any device."),
    link: bool = typer.Option(False, "--link", help="Make a one-time link on the listener for somebody else to open."),
    credentials: str | None = typer.Option(None, "--credentials", metavar="-", help="Credentials: prompts, or JSON on standard input."),
    given: list[str] = typer.Option([], "--set", metavar="NAME=VALUE", help="A field that is no secret."),
    no_verify: bool = typer.Option(False, "--no-verify", help="Store without asking the provider whose it is."),
    browser: bool | None = typer.Option(None, "--browser/--no-browser", help="Open a browser, or do not; else where there is a display."),
    timeout: float | None = typer.Option(None, "--timeout", min=1, help="Seconds to wait for the consent: 300; a link is good for 900."),
    public_url: str | None = typer.Option(None, "--public-url", help="The listener's public address; default AURA_PUBLIC_URL."),
    no_wait: bool = typer.Option(False, "--no-wait", help="Print the link, and leave."),
) -> None:
    """Connect somebody's account at a provider: consent in a browser, a code, a link, or credentials given by hand.

    Example: aura integrations connect slack --user ada@example.com --link
    Example: aura integrations connect telegram --user ada@example.com --credentials - < telegram.json
    """
    from aura_cli.integrations.fields import asked as fields_of
    from aura_cli.integrations.ways import Way, way_of

    runtime: Runtime = ctx.obj
    entry = runtime.catalogue.get(provider)
    wanted = {Way.PASTE: paste, Way.DEVICE: device, Way.LINK: link, Way.CREDENTIALS: credentials is not None}
    way = way_of(entry, *(one for one, said in wanted.items() if said))
    asked = Asked(port, timeout, browser, public_url, not no_wait)
    _check(way, asked, credentials)
    fields = fields_of(entry, by_hand=way is Way.CREDENTIALS)
    values = _said(given, fields)
    errand = _errand(runtime, entry, way, user, asked, (scopes, name, not no_verify))
    if runtime.options.dry_run:
        _foresee(errand, fields, values)
        return
    errand.means.vault.require_sealing()
    runtime.authorise(1)
    _go(errand, _values(runtime, way, credentials, fields, values))


def _check(way: Way, asked: Asked, credentials: str | None) -> None:
    """Refuse what does not go together."""
    from aura_cli.integrations.ways import Way

    if credentials not in (None, "-"):
        raise UsageError("Credentials are never an option's value: others could read them", "Give --credentials - and type or pipe them")
    if way is not Way.LINK and not asked.waits:
        raise UsageError("--no-wait is for --link")
    if way not in (Way.LOOPBACK, Way.PASTE) and asked.port:
        raise UsageError("--port is for a consent that comes back to this machine")


def _errand(runtime: Runtime, entry: Provider, way: Way, who: str, asked: Asked, wished: tuple[list[str], str | None, bool]) -> Errand:
    """Everything that is known before somebody is asked. Raises where the person or a setting is missing."""
    from aura_cli.db.engine import reading
    from aura_cli.integrations.connecting import Means, Wish, also_needed
    from aura_cli.integrations.consent import scopes_of
    from aura_cli.integrations.oauth import client_of
    from aura_cli.integrations.ways import Way
    from aura_cli.users.who import resolve

    settings, (scopes, name, verify) = runtime.settings, wished
    if scopes and way is Way.CREDENTIALS:
        raise UsageError("--scopes is for a consent: credentials have those that they were made with")
    client = client_of(settings, entry) if way is not Way.CREDENTIALS else None
    ambient = {key: setting.text for key, setting in settings.values.items()}
    means = Means(runtime.engine, runtime.vault, runtime.wire, client, ambient, settings.operator, runtime.clock, settings.home)
    asked_for = scopes_of(entry.oauth, scopes) if entry.oauth and way is not Way.CREDENTIALS else ()
    shared = any(one.provider == entry.provider and one.id != entry.id for one in runtime.catalogue.providers.values())
    with reading(runtime.engine) as connection:
        person = resolve(connection, who)
        also = also_needed(connection, means, entry, person.id) if shared and asked_for else ()
    wish = Wish(entry, person.id, {}, asked_for, also, name, verify)
    return Errand(runtime, means, wish, person.email or person.id, way, asked)


def _said(given: list[str], fields: Mapping[str, Field]) -> dict[str, str]:
    """The fields on the command line. Raises UsageError for one that is secret, or none."""
    from aura_cli.integrations.fields import checked

    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in fields:
            raise UsageError(f"--set {name[:80]}: there is no such field", f"There are: {', '.join(fields) or 'none'}")
        if fields[name].secret:
            raise UsageError(f"{name} is a secret, and never an option's value", "Give it with --credentials -")
        found[name] = checked(name, fields[name], value)
    return found


def _values(runtime: Runtime, way: Way, credentials: str | None, fields: Mapping[str, Field], said: Mapping[str, str]) -> dict[str, str]:
    """A value for every field: from the command line, standard input, settings and prompts."""
    from aura_cli.integrations.fields import complete, read
    from aura_cli.integrations.ways import Way

    console = runtime.console
    if credentials and not console.stdin.isatty():
        said = {**read(console.stdin.read(LONGEST_SECRET), fields, said), **said}
    elif way is Way.CREDENTIALS and not credentials and not console.is_attended:
        raise UsageError("Nobody is here to ask for the credentials", "Give them as JSON on standard input, with --credentials -")

    def prompt(name: str, field: Field) -> str:
        hint = f" ({field.hint})" if field.hint else ""
        if field.secret:
            return console.read_secret(f"{field.label}{hint}") if field.required else ""
        choices = f" [{', '.join(field.choices)}]" if field.choices else ""
        return console.ask(f"{field.label}{hint}{choices}", field.default or "") if field.required else ""

    return complete(fields, said, runtime.settings.get, prompt if console.is_attended else None)


def _go(errand: Errand, values: Mapping[str, str]) -> None:
    from dataclasses import replace

    from aura_cli.integrations import connecting, unstored
    from aura_cli.integrations.consent_commands import by_device, by_loopback, by_own_token, by_paste
    from aura_cli.integrations.link_commands import by_link
    from aura_cli.integrations.ways import Way

    errand = replace(errand, wish=replace(errand.wish, fields=values))
    if gained := unstored.taken(errand.means, errand.wish):
        name = errand.wish.provider.name
        errand.runtime.console.say(f"{name} gave it before, when the database was gone: that is stored now, without another consent.")
        connected = keep(errand, gained)
        errand.runtime.console.result(connected, lambda: told(errand, connected))
        return
    match errand.way:
        case Way.LOOPBACK:
            connected = by_loopback(errand)
        case Way.PASTE:
            connected = by_paste(errand)
        case Way.DEVICE:
            connected = by_device(errand)
        case Way.CLIENT_CREDENTIALS:
            connected = by_own_token(errand)
        case Way.LINK:
            ended = by_link(errand)
            if ended is None:
                return
            connected = connecting.from_facts(ended)
        case Way.CREDENTIALS:
            connected = keep(errand, connecting.by_hand(errand.means, errand.wish))
    errand.runtime.console.result(connected, lambda: told(errand, connected))


def keep(errand: Errand, gained: Gained) -> Connected:
    """Say whose account it is, ask where it is another one than before, and store it. Raises ConflictError where nobody agrees."""
    from aura_cli.integrations import connecting, unstored

    console, name = errand.runtime.console, errand.wish.provider.name
    label = gained.account.label or "an account that the provider does not name"
    if errand.wish.verify:
        console.say(f"{name} says: {label}")
    try:
        known = connecting.standing(errand.means, errand.wish)
    except Exception as error:
        if gone := unstored.kept(errand.means, errand.wish, gained, error):
            raise gone from error
        raise
    if known and known.older:
        console.warn(f"There are {known.older + 1} rows of {name} for this user; the newest counts, and is written")
    replaces = connecting.is_another(known, gained)
    if replaces and known:
        console.confirm(f"{name} is connected as {known.label}. Replace it with {label}?")
    return unstored.stored_or_kept(errand.means, errand.wish, gained, replaces=replaces)


def told(errand: Errand, connected: Connected) -> Iterator[str]:
    """The end, for a person."""
    account = f" as {connected.label}" if connected.label else ""
    yield f"{errand.wish.provider.name} is {'connected again' if connected.replaced else 'connected'}{account}, for {errand.whose}."
    if connected.expires_at:
        yield f"The token ends {brief(connected.expires_at)}; aura integrations refresh renews what can be renewed."
    if not connected.verified:
        yield f"Nobody checked it: aura integrations verify {errand.whose} {connected.provider}"


def _foresee(errand: Errand, fields: Mapping[str, Field], values: Mapping[str, str]) -> None:
    """Show what would be asked and done; nothing is started."""
    from aura_cli.integrations import connecting
    from aura_cli.integrations.consent_commands import redirect_uri

    runtime, wish = errand.runtime, errand.wish
    runtime.check_binding()
    known: Standing | None = connecting.standing(errand.means, wish)
    is_set = [name for name, field in fields.items() if name in values or (field.env and runtime.settings.get(field.env))]
    found = Foreseen(
        wish.provider.id,
        wish.user_id,
        errand.way,
        redirect_uri(errand),
        wish.asks_for,
        tuple(is_set),
        tuple(name for name in fields if name not in is_set),
        wish.verify,
        (known.label or known.id) if known else None,
    )

    def lines() -> Iterator[str]:
        from aura_cli.console import described
        from aura_cli.integrations.ways import MEANS

        yield f"{wish.provider.name} for {errand.whose}, by {MEANS[errand.way]}:"
        facts = {name: getattr(found, name) for name in ("redirect_uri", "writes_over")}
        yield from described({**facts, **{name: ", ".join(getattr(found, name)) for name in ("scopes", "given", "asks_for")}})
        yield "Nothing was started."

    runtime.console.result(found, lines)
