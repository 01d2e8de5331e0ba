"""What Privy and Stripe say of somebody now, asked for a few seconds and never written down."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import msgspec

from aura_cli.errors import AuraError, NotFoundError, ServiceError
from aura_cli.insight.deadline import answers
from aura_cli.insight.subject import Subject
from aura_cli.settings import Settings
from aura_cli.subscriptions import stripe
from aura_cli.subscriptions.keeping import Facts
from aura_cli.subscriptions.stripe import Customer, CustomerList, SubscriptionList, decoder
from aura_cli.transport import Service
from aura_cli.users import privy
from aura_cli.users.departed import was_erased
from aura_cli.users.shapes import Staged
from aura_cli.webhooks.subjects import Invoice, Session

SECONDS = 6.0  # that everything may take together
REQUEST_SECONDS = 4.0
MOST = 20  # of each kind of object
MOST_CUSTOMERS = 4
PRIVY, STRIPE = "Privy", "Stripe"
PLACES = {  # an id's beginning → where Stripe has it
    "evt": "/v1/events/",
    "in": "/v1/invoices/",
    "cs": "/v1/checkout/sessions/",
    "ch": "/v1/charges/",
    "py": "/v1/charges/",
    "pi": "/v1/payment_intents/",
    "sub": "/v1/subscriptions/",
}


class _Sessions(msgspec.Struct):
    data: list[Session]


class _Invoices(msgspec.Struct):
    data: list[Invoice]


@dataclass(frozen=True)
class AtStripe:
    """`customers`: each that was asked for (None: Stripe does not know it, `unknown` says how); `others`: further ones of the person."""

    account: str
    customers: Mapping[str, Customer | None] = field(default_factory=dict)
    unknown: str = ""
    others: Sequence[Customer] = ()
    subscriptions: Sequence[Facts] = ()
    sessions: Sequence[Session] = ()
    invoices: Sequence[Invoice] = ()


@dataclass(frozen=True)
class Remote:
    """What was said; `people` is by DID, None where Privy says that there is none. `away`: who gave no answer, and why."""

    people: Mapping[str, Staged | None] | None = None
    stripe: AtStripe | None = None
    away: Mapping[str, AuraError] = field(default_factory=dict)
    skipped: Sequence[str] = ()


def look(settings: Settings, subject: Subject, skipped: Mapping[str, str], waiting: Callable[[str], None]) -> Remote:
    """Ask both, but for those that are to be `skipped` (name → why); `waiting` is told where it takes its time."""
    questions: dict[str, Callable[[], Any]] = {
        PRIVY: lambda: _at_privy(settings, subject),
        STRIPE: lambda: _at_stripe(settings, subject),
    }
    found = answers({name: question for name, question in questions.items() if name not in skipped}, SECONDS, waiting)
    away = {name: answer for name, answer in found.items() if isinstance(answer, AuraError)}
    good: dict[str, Any] = {name: answer for name, answer in found.items() if name not in away}
    return Remote(good.get(PRIVY), good.get(STRIPE), away, [f"{name} was not asked: {why}" for name, why in skipped.items()])


def customer_of(settings: Settings, identifier: str) -> str | AuraError | None:
    """The customer that something at Stripe is about, by its id; an error where Stripe does not know it, or cannot be asked."""
    path = PLACES[identifier.partition("_")[0]] + quote(identifier, safe="")

    def ask() -> str | None:
        with _patient(stripe.service(settings)) as service:
            return _customer_in(service.get(path))

    return answers({STRIPE: ask}, SECONDS)[STRIPE]


def _customer_in(body: bytes) -> str | None:
    try:
        said = json.loads(body)
        about = said["data"]["object"] if said.get("object") == "event" else said
        customer: Any = about["id"] if about.get("object") == "customer" else about.get("customer")
        identifier: str | None = customer["id"] if isinstance(customer, dict) else customer
        return identifier
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ServiceError("Stripe's answer is not what it should be") from error


def _patient(service: Service) -> Service:
    return replace(service, timeout=REQUEST_SECONDS)


def _at_privy(settings: Settings, subject: Subject) -> dict[str, Staged | None]:
    """The people by their DIDs; who is nobody here by what was asked for. Raises ServiceError for an answer that cannot be read."""
    with _patient(privy.service(settings)) as service:
        dids = [one.privy_user_id for one in subject.people] or [subject.asked] * subject.asked.startswith("did:")
        dids = [did for did in dids if not was_erased(did)]
        found = {did: privy.user(service, did) for did in dids}
        strangers = (
            [] if subject.people or dids else [one for address in subject.addresses if (one := privy.user_by_email(service, address))]
        )
        found |= {one.privy_user_id: one for one in strangers}
    if unreadable := [did for did, one in found.items() if one and one.failure]:
        raise ServiceError(f"Privy's answer about {unreadable[0]} is not what it should be")
    return found


def _at_stripe(settings: Settings, subject: Subject) -> AtStripe:
    with _patient(stripe.service(settings)) as service:
        account = stripe.account(service)
        found: dict[str, Customer | None] = {}
        unknown = ""
        for customer in subject.customers[:MOST_CUSTOMERS]:
            try:
                found[customer] = decoder(Customer)(service.get(f"/v1/customers/{quote(customer, safe='')}"))
            except NotFoundError as error:
                found[customer], unknown = None, error.message
        others = [one for one in _named(service, subject) if one.id not in found]
        everybody = [*(one for one, known in found.items() if known and not known.deleted), *(one.id for one in others)]
        lists = [_lists(service, customer) for customer in everybody[:MOST_CUSTOMERS]]
        subscriptions, sessions, invoices = (
            ([one for some in kind for one in some] for kind in zip(*lists, strict=True)) if lists else ([], [], [])
        )
        return AtStripe(account, found, unknown, others, subscriptions, sessions, invoices)


def _lists(service: Service, customer: str) -> tuple[list[Facts], list[Session], list[Invoice]]:
    asked = {"customer": customer, "limit": MOST}
    subscriptions = decoder(SubscriptionList)(service.get("/v1/subscriptions", {**asked, "status": "all"})).data
    sessions = decoder(_Sessions)(service.get("/v1/checkout/sessions", {**asked, "status": "complete"})).data
    invoices = decoder(_Invoices)(service.get("/v1/invoices", asked)).data
    return [Facts(one.id, *stripe.facts(one)) for one in subscriptions], sessions, invoices


def _named(service: Service, subject: Subject) -> list[Customer]:
    """Customers whose metadata or address names the person; none where the account has no search."""
    clauses = [f"metadata['userId']:'{one.id}'" for one in subject.people[:2]]
    if subject.asked.startswith("did:") and not subject.people:
        clauses.append(f"metadata['privyUserId']:'{_quoted(subject.asked)}'")
    clauses += [f"email:'{_quoted(address)}'" for address in subject.addresses[:2]]
    if not clauses:
        return []
    with suppress(ServiceError):
        return decoder(CustomerList)(service.get("/v1/customers/search", {"query": " OR ".join(clauses), "limit": MOST})).data
    return []


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
