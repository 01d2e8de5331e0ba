"""What `explain` calls broken is what `reconcile` finds, person by person."""

from pathlib import Path

from aura_cli.insight.case import Break
from aura_cli.insight.explain import Explained, Means, explain
from aura_cli.integrations.catalogue import load
from aura_cli.sandbox.generation import build
from aura_cli.settings import Settings
from aura_cli.vault.keyring import KeyRing
from aura_cli.webhooks.handling import Surroundings
from tests.parts.books import NOW, Books, opened
from tests.parts.life import live, newcomers
from tests.webhooks.world import World

MONEY = {"customer", "subscription", "tokens"}  # the links that reconcile looks at


def story(books: Books, home: Path, anything: str) -> Explained:
    """The story, told in this process; Privy is not asked."""
    settings = Settings.load({**books.variables, "PRIVY_APP_SECRET": ""}, home)
    return explain(Means(books.engine, settings, KeyRing.of(settings), load()), anything)


def money(found: Explained) -> list[Break]:
    """The broken links that reconcile looks at, too."""
    return [one for one in [found.verdict, *found.others] if one and one.link in MONEY]


def test_explain_and_reconcile_agree(migrated: None, database_url: str, tmp_path: Path) -> None:
    """Whoever has drift is told of it, and nobody else; of forty people without any, too."""
    people = build(300, 11, NOW)
    with opened(database_url, people, tmp_path, drift=True) as books:
        drift: dict[str, set[str]] = {}
        for one in books.found():
            for key in (one.user, None if one.user else (one.before or {}).get("customer")):
                if key:
                    drift.setdefault(str(key), set()).add(one.kind)
        assert len({kind for kinds in drift.values() for kind in kinds}) > 8
        whole = [one.uuid for one in people.people if one.customer and one.uuid not in drift and one.customer not in drift][:40]
        wrong = {}
        for who in [*drift, *whole]:
            found = story(books, tmp_path, who)
            if bool(drift.get(who)) != bool(broken := money(found)):
                wrong[who] = (drift.get(who), broken)
        assert wrong == {}
        books.repair()
        left = {change.user or (change.before or {}).get("customer") for change in books.found()}
        mended = [who for who in drift if who not in left]
        assert len(mended) > 20
        assert [who for who in mended if money(story(books, tmp_path, who))] == []


def test_whoever_lived_and_was_heard_of_is_whole(migrated: None, database_url: str, tmp_path: Path) -> None:
    """People who subscribed, paid or failed to, bought tokens, left and came back, every event of it handled: no link is broken."""
    population = newcomers(12)
    with opened(database_url, population, tmp_path) as books:
        world = World(books, live(books.stripe.state, population.people, 3))
        world.deliver(world.events)
        world.worker(surroundings=Surroundings()).drain()
        for one in population.people:
            assert story(books, tmp_path, one.uuid).verdict is None, one.uuid
        for event in world.events[::10]:
            assert story(books, tmp_path, event.id).verdict is None, event


def test_whose_events_were_lost(migrated: None, database_url: str, tmp_path: Path) -> None:
    """The same lives, of which nobody heard: whoever has a subscription or bought tokens lacks them, and a reconcile mends that."""
    population = newcomers(6)
    with opened(database_url, population, tmp_path) as books:
        live(books.stripe.state, population.people, 3)
        broken = {one.uuid for one in population.people if money(story(books, tmp_path, one.uuid))}
        assert broken
        assert broken == {change.user for change in books.found(history=True) if change.user and change.kind != "duplicate_active"}
