"""/v1/invoices"""

from aura_cli.sandbox.stripe import billing, params
from aura_cli.sandbox.stripe.pages import LIST_FIELDS, Page, page
from aura_cli.sandbox.stripe.routes.routing import Answer, Call, Route
from aura_cli.sandbox.stripe.state import require

FILTERS: params.Fields = {
    "customer": params.text,
    "subscription": params.text,
    "status": params.one_of("draft", "open", "paid", "uncollectible", "void"),
}


def index(call: Call) -> Page:
    wanted = {name: [call.given[name]] for name in FILTERS if name in call.given}
    return page(call.state.invoices, call.given, wanted)


def pay(call: Call) -> Answer:
    return billing.pay_now(call.state, require(call.state.invoices, call.id))


ROUTES = (
    Route("GET", "/v1/invoices", index, {**LIST_FIELDS, **FILTERS}),
    Route("GET", "/v1/invoices/{id}", lambda call: require(call.state.invoices, call.id), {}),
    Route("POST", "/v1/invoices/{id}/pay", pay, {}),
)
