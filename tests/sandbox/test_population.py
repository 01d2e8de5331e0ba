"""The population: reproducible, believable, and true to what Stripe and Privy allow."""

import re
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_cli.sandbox.generation import DAY, KEPT_BILLS, PERIOD, PRICES, build
from aura_cli.sandbox.names import UNUSUAL
from aura_cli.sandbox.population import Contract, Person, Population

NOW = 1_795_000_000
ENTITLING = {"active", "trialing"}
ENDED = {"canceled", "incomplete_expired"}
PRICE = {price.id: price for price in PRICES}
SHAPES = {
    "did": r"did:privy:c[a-z0-9]{24}",
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    "customer": r"cus_[A-Za-z0-9]{14}",
    "email": r"[a-z0-9.-]+\d+@([a-z.]+\.)?(example\.com|example\.org|[a-z]+\.test)",
    "wallet": r"0x[0-9a-f]{40}",
    "sub": r"sub_1[A-Za-z0-9]{22}",
    "si": r"si_[A-Za-z0-9]{14}",
    "in": r"in_1[A-Za-z0-9]{22}",
    "cs": r"cs_test_a1[A-Za-z0-9]{56}",
}

populations = st.builds(build, users=st.integers(0, 120), seed=st.integers(0, 2**64), now=st.integers(NOW, NOW + 400 * DAY))


def contracts_of(population: Population) -> Iterator[Contract]:
    return (contract for person in population.people for contract in person.contracts)


def identifiers(person: Person) -> Iterator[tuple[str, str]]:
    """Everything that identifies a person or something of theirs, with the name of its shape."""
    named = {"did": person.did, "uuid": person.uuid, "customer": person.customer, "email": person.email, "wallet": person.wallet}
    yield from ((shape, value) for shape, value in named.items() if value)
    yield from (("cs", top_up.session) for top_up in person.top_ups)
    for contract in person.contracts:
        yield from (("sub", contract.id), ("si", contract.item))
        yield from (("in", bill.id) for bill in contract.invoices)


@given(users=st.integers(0, 40), more=st.integers(0, 40), seed=st.integers(0, 2**64))
def test_a_person_does_not_depend_on_how_many_there_are(users: int, more: int, seed: int) -> None:
    """The same arguments give the same people, and a larger population begins with those of a smaller one."""
    assert build(users, seed, NOW) == build(users, seed, NOW)
    assert build(users + more, seed, NOW).people[:users] == build(users, seed, NOW).people


def test_seeds_make_different_people() -> None:
    """Two seeds share nobody, neither by identifier nor by what they pay."""
    first, second = ({value for person in build(200, seed, NOW).people for _, value in identifiers(person)} for seed in (1, 2))
    assert not {value for value in first & second if "@" not in value}


@given(populations)
def test_identifiers_have_their_service_s_form_and_are_unique(population: Population) -> None:
    """No two people share an e-mail address, and no identifier comes twice."""
    found = [pair for person in population.people for pair in identifiers(person)]
    assert len(set(found)) == len(found)
    assert [pair for pair in found if not re.fullmatch(SHAPES[pair[0]], pair[1])] == []


@given(populations)
def test_people_can_be_reached_and_nobody_comes_from_the_future(population: Population) -> None:
    """Everybody has an address or a wallet; Google gives name and verified address; everything happened between sign-up and now."""
    for person in population.people:
        assert person.email or person.wallet
        assert (person.name is not None) == person.google
        assert person.email_verified or not person.google
        assert person.customer or not (person.contracts or person.top_ups)
        moments = [*(contract.created for contract in person.contracts), *(top_up.created for top_up in person.top_ups)]
        assert all(person.created <= moment < population.now for moment in moments)
        assert population.now - 3 * 365 * DAY <= person.created < population.now


@given(populations)
def test_nobody_is_entitled_twice_and_contracts_come_oldest_first(population: Population) -> None:
    """Of several contracts of a person at most one is active or trialing."""
    for person in population.people:
        assert sum(contract.status in ENTITLING for contract in person.contracts) <= 1
        created = [contract.created for contract in person.contracts]
        assert created == sorted(set(created))


@given(populations)
def test_periods_of_a_living_contract_hold_the_moment(population: Population) -> None:
    """A living contract's period is the current one, one interval or the trial long; an ended one ended in its last period or before."""
    for contract in contracts_of(population):
        length = PERIOD[PRICE[contract.price].interval]
        trialing = contract.status == "trialing"
        moment = contract.ended if contract.ended is not None else population.now
        assert (contract.status in ENDED) == (contract.ended is not None)
        assert contract.period_start <= moment < contract.period_end or contract.ended == contract.period_end
        assert trialing == (contract.trial_end == contract.period_end)
        assert trialing or contract.period_end - contract.period_start == length
        assert not contract.cancel_at_period_end or contract.status == "active"


@given(populations)
def test_every_period_was_billed(population: Population) -> None:
    """The newest periods have a bill each; a trial costs nothing; the last one is open where money is owed."""
    for contract in contracts_of(population):
        bills = contract.invoices
        assert 1 <= len(bills) <= KEPT_BILLS
        assert [bill.created for bill in bills] == sorted({bill.created for bill in bills})
        assert {bill.reason for bill in bills[1:]} <= {"subscription_cycle"}
        assert (bills[0].reason == "subscription_create") == (bills[0].created == contract.created)
        assert contract.status == "paused" or bills[-1].created == contract.period_start
        owed = {"past_due": "open", "unpaid": "open", "incomplete": "open", "incomplete_expired": "void"}.get(contract.status, "paid")
        assert [bill.status for bill in bills] == ["paid"] * (len(bills) - 1) + [owed]
        free = contract.trial_end is not None and bills[0].created == contract.created
        assert [bill.amount for bill in bills] == [0 if free and bill is bills[0] else PRICE[contract.price].amount for bill in bills]


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (lambda person: person.email is None, 0.10),
        (lambda person: person.google, 0.45),
        (lambda person: person.customer is not None, 0.60),
        (lambda person: len(person.contracts) == 2, 0.05),
        (lambda person: bool(person.top_ups), 0.065),
        (lambda person: person.email and not person.email_verified, 0.009),
    ],
)
def test_the_mix_is_believable(share: Callable[[Person], object], expected: float) -> None:
    """The shares among people are about what they are meant to be."""
    people = build(4000, 11, NOW).people
    assert sum(bool(share(person)) for person in people) / len(people) == pytest.approx(expected, rel=0.35)


def test_every_status_and_price_and_oddity_occurs() -> None:
    """Among some thousand people are all statuses and prices, a contract to be canceled, both kinds of second contract, and odd names."""
    population = build(4000, 5, NOW)
    contracts = list(contracts_of(population))
    pairs = {tuple(contract.status for contract in person.contracts) for person in population.people}
    assert {contract.status for contract in contracts} == {*ENTITLING, *ENDED, "past_due", "unpaid", "incomplete", "paused"}
    assert {contract.price for contract in contracts} == set(PRICE)
    assert any(contract.cancel_at_period_end for contract in contracts)
    assert {("canceled", "active"), ("active", "incomplete_expired"), ()} <= pairs
    assert set(UNUSUAL) <= {person.name for person in population.people}
