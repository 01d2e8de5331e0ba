"""Stripe's webhook endpoints: listed against what is handled, registered once, switched."""

from pathlib import Path

import pytest

from aura_cli.errors import ConflictError, NotFoundError, UsageError
from aura_cli.sandbox.faults import Faults
from aura_cli.sandbox.stripe import API_VERSION
from aura_cli.sandbox.stripe.delivery import register
from aura_cli.webhooks.endpoints import compared, create, enable, find, registered
from aura_cli.webhooks.events import HANDLED
from tests.webhooks.listing import listing

URL = "https://hooks.example.com/api/webhooks/stripe"


def test_it_is_registered_for_what_is_handled(tmp_path: Path) -> None:
    """Exactly those types, our API version; the secret is told, and Stripe keeps it."""
    with listing(tmp_path) as (stripe, asked):
        made = create(asked, URL)
        (kept,) = stripe.state.endpoints
        assert (kept.secret, kept.enabled_events, kept.api_version) == (made.secret, HANDLED, API_VERSION)
        (seen,) = registered(asked)
        assert (seen.id, seen.url, seen.status, seen.events, seen.current) == (made.id, URL, "enabled", "exact", True)


def test_the_same_address_is_not_registered_twice(tmp_path: Path) -> None:
    """The web app's own endpoint, say, stays the only one at its address."""
    with listing(tmp_path) as (_, asked):
        made = create(asked, URL)
        with pytest.raises(ConflictError, match=str(made.id)):
            create(asked, URL)
        assert len(list(registered(asked))) == 1


def test_a_cut_answer_does_not_register_it_twice(tmp_path: Path) -> None:
    """The write is tried again under its key, and Stripe carries it out once: the secret is that of the one that there is."""
    requests = 0
    for seed in range(6):
        with listing(tmp_path, Faults(cut_half=0.3, seed=seed)) as (stripe, asked):
            made = create(asked, URL)
            assert [kept.secret for kept in stripe.state.endpoints] == [made.secret]
            requests += len(stripe.asked)
    assert requests > 6 * 2


def test_a_dry_run_registers_nothing(tmp_path: Path) -> None:
    """It still says what stands against it."""
    with listing(tmp_path) as (stripe, asked):
        assert create(asked, URL, dry_run=True).secret is None
        assert len(stripe.state.endpoints) == 0
        with pytest.raises(UsageError):
            create(asked, "hooks.example.com")


@pytest.mark.parametrize(
    ("events", "said"),
    [
        (HANDLED, "exact"),
        (HANDLED[::-1], "exact"),
        (("*",), "all"),
        (HANDLED[:-2], "2 missing"),
        ((*HANDLED, "charge.refunded"), "1 not handled"),
        (("charge.refunded",), f"{len(HANDLED)} missing, 1 not handled"),
    ],
)
def test_events_are_compared(events: tuple[str, ...], said: str) -> None:
    """In whatever order Stripe lists them."""
    assert compared(events) == said


def test_an_endpoint_is_switched_and_put_right(tmp_path: Path) -> None:
    """Off leaves its events as they are; on gives it exactly the handled ones. By id or address."""
    with listing(tmp_path) as (stripe, asked):
        old = register(stripe.state, URL, "whsec_old", ("invoice.paid", "charge.refunded"), "2024-06-20")
        off = enable(asked, find(asked, URL), enabled=False)
        assert (off.status, off.events, off.current) == ("disabled", f"{len(HANDLED) - 1} missing, 1 not handled", False)
        on = enable(asked, find(asked, old.id))
        assert (on.status, on.events, on.current) == ("enabled", "exact", False)


def test_which_endpoint_is_meant(tmp_path: Path) -> None:
    """None, or more than one at an address: said, with what to do."""
    with listing(tmp_path) as (stripe, asked):
        with pytest.raises(NotFoundError):
            find(asked, "we_none")
        several = [register(stripe.state, URL, "whsec_x").id for _ in range(2)]
        with pytest.raises(UsageError) as refused:
            find(asked, URL)
        assert all(identifier in refused.value.hint for identifier in several)


def test_more_than_a_page(tmp_path: Path) -> None:
    """All of them are looked at: the one that is looked for may be the oldest."""
    with listing(tmp_path) as (stripe, asked):
        made = [register(stripe.state, f"{URL}/{number}", "whsec_x").id for number in range(230)]
        assert [endpoint.id for endpoint in registered(asked)] == made[::-1]
        assert find(asked, f"{URL}/0").id == made[0]
