"""Stripe's official Python SDK against our stand-in: what it reads, what it raises, and what moves with time."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import stripe

from aura_cli.sandbox.generation import build
from aura_cli.sandbox.stripe import RateLimit, StripeState, seed
from tests.contracts.stripe_parts import KEY, NOW, client, serving

DAY = 86_400


@pytest.fixture
def base() -> Iterator[str]:
    with serving(StripeState(NOW)) as address:
        yield address


def plan(sdk: stripe.StripeClient) -> str:
    """A monthly price of a new product, by its id."""
    product = sdk.v1.products.create({"name": "Pro"})
    return sdk.v1.prices.create({"currency": "usd", "unit_amount": 2900, "product": product.id, "recurring": {"interval": "month"}}).id


def subscriber(sdk: stripe.StripeClient, price: str, **fields: Any) -> stripe.Subscription:
    """A new customer's new subscription."""
    customer = sdk.v1.customers.create({"email": "ada@example.com", "metadata": {"userId": "u-1", "privyUserId": "did:privy:1"}})
    wanted: Any = {"customer": customer.id, "items": [{"price": price}], **fields}
    return sdk.v1.subscriptions.create(wanted)


def sandbox(base: str, path: str, **fields: Any) -> Any:
    """A call of what only the sandbox can do."""
    answer = requests.post(f"{base}/_sandbox/{path}", json=fields, headers={"Authorization": f"Bearer {KEY}"}, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


def told(sdk: stripe.StripeClient, *types: str) -> list[str]:
    """The types of all events, or of those of the types given; oldest first."""
    wanted: Any = {"limit": 100, **({"types": list(types)} if types else {})}
    return [str(event.type) for event in sdk.v1.events.list(wanted).auto_paging_iter()][::-1]


def test_a_subscription_starts_with_a_paid_invoice(base: str) -> None:
    """It is active, its period is on its item, its invoice is paid, and the events tell the story in order."""
    sdk = client(base)
    subscription = subscriber(sdk, plan(sdk))
    item = subscription["items"].data[0]
    assert (subscription.status, item.current_period_start, item.price.unit_amount) == ("active", subscription.created, 2900)
    assert item.current_period_end - item.current_period_start in {28 * DAY, 29 * DAY, 30 * DAY, 31 * DAY}
    invoice = sdk.v1.invoices.retrieve(str(subscription.latest_invoice))
    assert (invoice.status, invoice.amount_paid, invoice.billing_reason) == ("paid", 2900, "subscription_create")
    assert invoice.parent
    assert invoice.parent.subscription_details
    assert invoice.parent.subscription_details.subscription == subscription.id
    expected = ["customer.created", "invoice.created", "invoice.finalized", "customer.subscription.created", "invoice.paid"]
    assert [kind for kind in told(sdk) if kind in expected] == expected


def test_the_shape_before_basil_on_demand(base: str) -> None:
    """An older Stripe-Version has the period on the subscription and the invoice's subscription at its top, not where they are now."""
    sdk = client(base)
    subscription = subscriber(sdk, plan(sdk))
    old = client(base, version="2024-06-20")
    seen = old.v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]}).to_dict()
    assert seen["current_period_start"] == subscription.created
    assert "current_period_start" not in seen["items"]["data"][0]
    assert seen["latest_invoice"]["subscription"] == subscription.id
    assert "parent" not in seen["latest_invoice"]


def test_lists_expand_what_they_name(base: str) -> None:
    """`expand[]` reaches through lists, several levels deep, and refuses what is no reference."""
    sdk = client(base)
    subscriber(sdk, plan(sdk))
    paths = ["data.customer", "data.latest_invoice", "data.items.data.price.product", "data.customer.subscriptions"]
    (found,) = sdk.v1.subscriptions.list({"expand": paths}).to_dict()["data"]
    assert found["customer"]["email"] == "ada@example.com"
    assert found["customer"]["subscriptions"]["data"][0]["id"] == found["id"]
    assert found["latest_invoice"]["status"] == "paid"
    assert found["items"]["data"][0]["price"]["product"]["name"] == "Pro"
    for path in ("data.status", "data.nothing", "data.customer.a.b.c.d"):
        with pytest.raises(stripe.InvalidRequestError, match="expand"):
            sdk.v1.subscriptions.list({"expand": [path]})


def test_customers_are_written_read_and_deleted(base: str) -> None:
    """Metadata merges, an empty value removes, and of a deleted customer only the id is left."""
    sdk = client(base)
    subscription = subscriber(sdk, plan(sdk))
    identifier = str(subscription.customer)
    updated = sdk.v1.customers.update(identifier, {"name": "Ada", "metadata": {"userId": "", "plan": "pro"}})
    assert (updated.name, updated.metadata and updated.metadata.to_dict()) == ("Ada", {"privyUserId": "did:privy:1", "plan": "pro"})
    (event,) = sdk.v1.events.list({"type": "customer.updated"}).to_dict()["data"]
    assert event["data"]["previous_attributes"] == {"name": None, "metadata": {"userId": "u-1", "plan": None}}
    sdk.v1.customers.delete(identifier)
    assert sdk.v1.customers.retrieve(identifier).to_dict() == {"id": identifier, "object": "customer", "deleted": True}
    assert not sdk.v1.customers.list().data
    ended = sdk.v1.subscriptions.retrieve(subscription.id, {"expand": ["customer"]})
    assert (ended.status, ended.to_dict()["customer"]["deleted"]) == ("canceled", True)
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        sdk.v1.customers.update(identifier, {"name": "Eve"})


def test_search_by_metadata_email_and_status(base: str) -> None:
    """Customers and subscriptions are found by what `aura` searches for; a query that is none is refused."""
    sdk = client(base)
    subscription = subscriber(sdk, plan(sdk), metadata={"userId": "it's"})
    customers, subscriptions = sdk.v1.customers, sdk.v1.subscriptions
    assert [found.id for found in customers.search({"query": "metadata['userId']:'u-1'"}).data] == [subscription.customer]
    assert [found.id for found in customers.search({"query": 'email:"ADA@example.com" AND -metadata["userId"]:"x"'}).data] == [
        subscription.customer
    ]
    assert not customers.search({"query": "metadata['userId']:'u-2'"}).data
    for query in ("status:'active' AND metadata['userId']:'it\\'s'", f"created>={subscription.created} OR status:'canceled'"):
        assert [found.id for found in subscriptions.search({"query": query}).data] == [subscription.id]
    for query in ("", "status", "shoe_size:'44'", "status:'a' OR status:'b' AND status:'c'"):
        with pytest.raises(stripe.InvalidRequestError, match=r"query|search"):
            subscriptions.search({"query": query})


def test_idempotency_keys(base: str) -> None:
    """The same key and parameters answer the same thing once; other parameters are refused."""
    sdk = client(base)
    first = sdk.v1.customers.create({"name": "Ada"}, {"idempotency_key": "k"})
    again = sdk.v1.customers.create({"name": "Ada"}, {"idempotency_key": "k"})
    assert first.id == again.id
    assert again.last_response
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert len(sdk.v1.customers.list().data) == 1
    (event,) = sdk.v1.events.list().data
    assert event.request
    assert event.request.idempotency_key == "k"
    with pytest.raises(stripe.IdempotencyError, match="same parameters"):
        sdk.v1.customers.create({"name": "Eve"}, {"idempotency_key": "k"})


@pytest.mark.parametrize(
    ("path", "code", "param"),
    [
        ("/v1/customers/cus_none", "resource_missing", "id"),
        ("/v1/subscriptions?starting_after=sub_none", "resource_missing", "starting_after"),
        ("/v1/customers?colour=red", "parameter_unknown", "colour"),
        ("/v1/customers?created[from]=1", "parameter_unknown", "created[from]"),
        ("/v1/customers?limit=101", "parameter_invalid_integer", "limit"),
        ("/v1/customers?limit=ten", "parameter_invalid_integer", "limit"),
        ("/v1/customers/search", "parameter_missing", "query"),
        ("/v1/customers?starting_after=a&ending_before=b", None, "ending_before"),
        ("/v1/subscriptions?status=asleep", None, "status"),
        ("/v1/unheard_of", None, None),
    ],
)
def test_refusals_are_in_stripes_shape(base: str, path: str, code: str | None, param: str | None) -> None:
    """The SDK makes its own exceptions of them, with code and parameter."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client(base).raw_request("get", path)
    assert (refused.value.code, refused.value.param) == (code, param)
    assert refused.value.http_status == (404 if code == "resource_missing" or code is param is None else 400)


def test_what_is_needed_to_write_is_asked_for(base: str) -> None:
    """Missing parameters and references to nothing are 400."""
    sdk = client(base)
    for path, code in (
        ("/v1/prices", "parameter_missing"),
        ("/v1/subscriptions", "parameter_missing"),
        ("/v1/products", "parameter_missing"),
    ):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            sdk.raw_request("post", path)
        assert (refused.value.http_status, refused.value.code) == (400, code)
    for url in ("nonsense", "ftp://127.0.0.1/", "http://127.0.0.1:99999/", "http://[::1"):
        with pytest.raises(stripe.InvalidRequestError, match="Invalid URL"):
            sdk.v1.webhook_endpoints.create({"url": url, "enabled_events": ["*"]})
    sdk.v1.products.create({"name": "Pro", "id": "prod_1"})
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        sdk.v1.products.create({"name": "Pro", "id": "prod_1"})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sdk.v1.subscriptions.create({"customer": "cus_none", "items": [{"price": "price_none"}]})
    assert (refused.value.http_status, refused.value.code, refused.value.param) == (400, "resource_missing", "customer")


def test_only_the_sandboxs_keys_open(base: str) -> None:
    """A key of anywhere else, and none at all, is 401; Basic authentication works like Bearer."""
    for key in ("sk_test_51Other", "sk_live_sandbox", "nonsense"):
        with pytest.raises(stripe.AuthenticationError, match="Invalid API Key") as refused:
            client(base, key=key).v1.customers.list()
        assert key not in str(refused.value)
    assert requests.get(f"{base}/v1/account", timeout=30).status_code == 401
    assert requests.get(f"{base}/v1/account", auth=(KEY, ""), timeout=30).json()["object"] == "account"


def test_rate_limits_say_when_to_come_back() -> None:
    """Beyond the limit: 429 with Retry-After and the reason, for that endpoint alone; the SDK has its own exception for it."""
    with serving(StripeState(NOW, limit=RateLimit(account=100, endpoint=0.05))) as base:
        headers = {"Authorization": f"Bearer {KEY}"}
        first, second = (requests.get(f"{base}/v1/customers", headers=headers, timeout=30) for _ in range(2))
        assert (first.status_code, second.status_code) == (200, 429)
        assert 10 <= int(second.headers["Retry-After"]) <= 20
        assert second.headers["Stripe-Rate-Limited-Reason"] == "endpoint-rate"
        assert requests.get(f"{base}/v1/events", headers=headers, timeout=30).status_code == 200
        with pytest.raises(stripe.RateLimitError):
            client(base).v1.customers.list()


def test_time_renews(base: str) -> None:
    """Two months later there are two cycle invoices, paid, and the period has moved on without a gap."""
    sdk = client(base)
    subscription = subscriber(sdk, plan(sdk))
    first = subscription["items"].data[0].current_period_end
    assert sandbox(base, "advance", seconds=first - NOW + 3600)["happened"] == 1
    second = sdk.v1.subscriptions.retrieve(subscription.id)["items"].data[0]
    assert second.current_period_start == first
    sandbox(base, "advance", seconds=second.current_period_end - first)
    invoices = list(sdk.v1.invoices.list({"subscription": subscription.id, "status": "paid"}))
    assert [invoice.billing_reason for invoice in invoices] == ["subscription_cycle", "subscription_cycle", "subscription_create"]
    assert [invoice.created for invoice in invoices[:2]] == [second.current_period_end, first]
    assert told(sdk, "invoice.paid", "customer.subscription.updated")[-2:] == ["customer.subscription.updated", "invoice.paid"]


def test_time_ends_trials_and_what_was_cancelled(base: str) -> None:
    """A trial becomes a paid period; one that was to end with its period ends then, keeping when that was asked for."""
    sdk = client(base)
    price = plan(sdk)
    trial = subscriber(sdk, price, trial_period_days=14)
    leaving = subscriber(sdk, price)
    assert (trial.status, trial.trial_end) == ("trialing", trial.created + 14 * DAY)
    asked = sdk.v1.subscriptions.update(leaving.id, {"cancel_at_period_end": True})
    assert asked.cancel_at == leaving["items"].data[0].current_period_end
    sandbox(base, "advance", seconds=32 * DAY)
    after = sdk.v1.subscriptions.retrieve(trial.id)
    assert (after.status, after["items"].data[0].current_period_start) == ("active", trial.trial_end)
    gone = sdk.v1.subscriptions.retrieve(leaving.id)
    assert (gone.status, gone.ended_at, gone.canceled_at) == ("canceled", asked.cancel_at, asked.canceled_at)
    assert [found.id for found in sdk.v1.subscriptions.list().data] == [trial.id]
    assert [found.id for found in sdk.v1.subscriptions.list({"status": "ended"}).data] == [leaving.id]
    assert len(sdk.v1.subscriptions.list({"status": "all"}).data) == 2
    with pytest.raises(stripe.InvalidRequestError, match="No such subscription"):
        sdk.v1.subscriptions.cancel(leaving.id)


def test_a_declined_card_makes_past_due_until_it_is_paid(base: str) -> None:
    """The cycle invoice stays open and says so; paying it brings the subscription back."""
    sdk = client(base)
    subscription = subscriber(sdk, plan(sdk))
    sandbox(base, f"customers/{subscription.customer}/card", declined=True)
    sandbox(base, "advance", seconds=32 * DAY)
    late = sdk.v1.subscriptions.retrieve(subscription.id)
    assert late.status == "past_due"
    assert told(sdk)[-1] == "invoice.payment_failed"
    with pytest.raises(stripe.CardError):
        sdk.v1.invoices.pay(str(late.latest_invoice))
    sandbox(base, f"customers/{subscription.customer}/card", declined=False)
    assert sdk.v1.invoices.pay(str(late.latest_invoice)).status == "paid"
    assert sdk.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_checkout_in_both_modes(base: str) -> None:
    """A completed checkout is paid; in subscription mode it makes customer, subscription and invoice; an old one expires."""
    sdk = client(base)
    tokens = {"price_data": {"currency": "usd", "unit_amount": 900, "product_data": {"name": "Tokens"}}, "quantity": 2}
    metadata = {"type": "token_topup", "tokens": "1000"}
    wanted: Any = {"mode": "payment", "line_items": [tokens], "metadata": metadata, "success_url": "https://example.com"}
    top_up = sdk.v1.checkout.sessions.create(wanted)
    assert (top_up.status, top_up.payment_status, top_up.amount_total) == ("open", "unpaid", 1800)
    sandbox(base, f"checkout/sessions/{top_up.id}/complete")
    done = sdk.v1.checkout.sessions.retrieve(top_up.id, {"expand": ["line_items"]})
    assert (done.status, done.payment_status, done.line_items and done.line_items.data[0].amount_total) == ("complete", "paid", 1800)
    price = plan(sdk)
    joining = sdk.v1.checkout.sessions.create(
        {"mode": "subscription", "line_items": [{"price": price, "quantity": 1}], "customer_email": "new@example.com"}
    )
    sandbox(base, f"checkout/sessions/{joining.id}/complete")
    joined = sdk.v1.checkout.sessions.retrieve(joining.id, {"expand": ["subscription", "customer"]}).to_dict()
    assert (joined["subscription"]["status"], joined["customer"]["email"]) == ("active", "new@example.com")
    forgotten = sdk.v1.checkout.sessions.create({"mode": "subscription", "line_items": [{"price": price}]})
    sandbox(base, "advance", seconds=DAY + 1)
    assert sdk.v1.checkout.sessions.retrieve(forgotten.id).status == "expired"
    ended = told(sdk, "checkout.session.completed", "checkout.session.expired")
    assert ended == ["checkout.session.completed"] * 2 + ["checkout.session.expired"]


def test_a_seeded_population_is_all_there() -> None:
    """Auto-paging finds every customer, subscription, invoice and paid top-up of the population, newest first."""
    population = build(120, seed=5, now=NOW)
    state = StripeState(NOW)
    seed(state, population)
    contracts = [contract for person in population.people for contract in person.contracts]
    with serving(state) as base:
        sdk = client(base)
        customers = {customer.id: customer for customer in sdk.v1.customers.list({"limit": 100}).auto_paging_iter()}
        subscriptions = list(sdk.v1.subscriptions.list({"limit": 7, "status": "all"}).auto_paging_iter())
        invoices = {invoice.id for invoice in sdk.v1.invoices.list({"limit": 100}).auto_paging_iter()}
        sessions = {session.id: session for session in sdk.v1.checkout.sessions.list({"limit": 100}).auto_paging_iter()}
    assert {(person.customer, person.email) for person in population.people if person.customer} == {
        (one.id, one.email) for one in customers.values()
    }
    person = next(person for person in population.people if person.customer and person.top_ups)
    assert customers[str(person.customer)].to_dict()["metadata"] == {"userId": person.uuid, "privyUserId": person.did}
    assert {(one.id, one.status) for one in subscriptions} == {(contract.id, contract.status) for contract in contracts}
    assert [one.created for one in subscriptions] == sorted((contract.created for contract in contracts), reverse=True)
    assert invoices == {bill.id for contract in contracts for bill in contract.invoices}
    assert set(sessions) == {top_up.session for person in population.people for top_up in person.top_ups}
    top_up = person.top_ups[0]
    metadata = {"type": "token_topup", "tokens": str(top_up.tokens), "user_id": person.uuid, "package_id": top_up.package}
    assert sessions[top_up.session].to_dict()["metadata"] == metadata


def test_a_seeded_debtor_does_not_pay_by_itself() -> None:
    """Months on, who was past due is still past due, who was leaving has left, and who was trying pays."""
    state = StripeState(NOW)
    seed(state, build(200, seed=5, now=NOW))
    before = {one.id: (one.status, one.cancel_at_period_end) for one in state.subscriptions}
    with serving(state) as base:
        sandbox(base, "advance", seconds=45 * DAY)
        after = {one.id: one.status for one in client(base).v1.subscriptions.list({"limit": 100, "status": "all"}).auto_paging_iter()}
    kept = {"past_due": "past_due", "unpaid": "unpaid", "canceled": "canceled", "incomplete": "incomplete_expired", "trialing": "active"}
    for identifier, (status, leaving) in before.items():
        if status in kept:
            assert after[identifier] == ("canceled" if leaving and status == "trialing" else kept[status])
    assert {status for status, _ in before.values()} >= set(kept)
