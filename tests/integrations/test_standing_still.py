"""Providers that are stopped: for how long, and for whose sake."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from aura_cli.db.engine import reading, writing
from aura_cli.integrations.asking import has_own_server
from aura_cli.integrations.catalogue import load
from aura_cli.integrations.failures import Failure
from aura_cli.integrations.state import definition
from aura_cli.integrations.tables import provider_states
from aura_cli.integrations.verdicts import Outcome
from tests.parts.providers import Town


def pause(town: Town) -> timedelta:
    """How long the one stopped provider is left alone from now on."""
    with reading(town.engine) as connection:
        until: datetime = connection.execute(select(provider_states.c.stopped_until)).scalar_one()
    return until - datetime.now(UTC)


def test_many_failures_at_once_are_one_stop(town: Town) -> None:
    """An outage met by 32 requests at once stops the provider for a quarter of an hour; each try that fails after it doubles that."""
    town.connect("linear", town.people(40))
    town.order("not_found", times=10_000)
    town.refresh(exit=3)
    assert timedelta(minutes=14) < pause(town) <= timedelta(minutes=15)
    with writing(town.engine) as connection:
        connection.execute(provider_states.update().values(stopped_until=datetime.now(UTC) - timedelta(seconds=1)))
    town.refresh(exit=3)
    assert timedelta(minutes=29) < pause(town) <= timedelta(minutes=30)


def test_a_stop_that_concerns_nobody(town: Town) -> None:
    """A provider that was stopped and has no connection any more needs no person."""
    state = {
        "provider": "hubspot",
        "failure": "provider_down",
        "alike": 10,
        "definition": definition(load(town.home / "providers").get("hubspot")),
    }
    with writing(town.engine) as connection:
        connection.execute(provider_states.insert().values(**state, stopped_until=datetime.now(UTC)))
    town.connect("linear", town.people(1))
    assert town.refresh()["stopped_providers"] == []


@pytest.mark.parametrize(
    ("provider", "values", "own"),
    [
        ("linear", {}, False),
        ("salesforce", {"login_host": "login.salesforce.com"}, False),
        ("salesforce", {"login_host": "acme.my.salesforce.com"}, True),
        ("gitlab", {"host": "gitlab.com"}, False),
        ("gitlab", {"host": "git.example.com"}, True),
        ("zendesk", {"subdomain": "acme"}, True),
        ("snyk", {"region": "eu-01", "api_host": "api.eu.snyk.io"}, False),
    ],
)
def test_a_server_of_ones_own(provider: str, values: dict[str, str], own: bool) -> None:
    """Customers whose own servers are gone do not stop the provider for the others."""
    known = load().get(provider)
    assert has_own_server(known, values) is own
    outcome = Outcome(known, "", "", "refresh_token", "", datetime.now(UTC), failure=Failure.PROVIDER_DOWN, alone=own)
    assert outcome.is_at_fault is not own
    assert replace(outcome, failure=Failure.CLIENT_MISCONFIGURED).is_at_fault
