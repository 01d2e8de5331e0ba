"""Senders of changes of subscriptions: every event says something new about one of some subscriptions, in the order of Stripe's times.

Run as a program: PORT PATH CLIENTS SUBSCRIPTIONS EACH SECRET BYTES ROUND; it prints what `webhook_load` does. Later rounds are later
at Stripe.
"""

import asyncio
import json
import sys
import time

from tests.benchmarks.webhook_load import request, send

PRICE = {
    "id": "price_one",
    "object": "price",
    "currency": "usd",
    "unit_amount": 2900,
    "recurring": {"interval": "month", "interval_count": 1},
}
BEGAN = 1_700_000_000
ROUND_SECONDS = 1_000  # between the events of one round and of the next


def customer(number: int) -> str:
    return f"cus_{number:06}"


def event(number: int, turn: int, size: int) -> bytes:
    """The change number `turn` of subscription `number`, in about `size` bytes."""
    item = {"id": f"si_{number:06}", "object": "subscription_item", "price": PRICE, "quantity": 1}
    item |= {"current_period_start": BEGAN + turn, "current_period_end": BEGAN + turn + 2_592_000}
    about = {"id": f"sub_{number:06}", "object": "subscription", "customer": customer(number), "status": "active", "livemode": False}
    about |= {"created": BEGAN, "cancel_at_period_end": turn % 2 == 1, "trial_end": None, "currency": "usd"}
    about |= {"items": {"object": "list", "data": [item], "has_more": False}, "metadata": {}, "description": ""}
    whole = {"id": f"evt_{number:06}x{turn}", "object": "event", "api_version": "2026-10-28.endive", "created": BEGAN + turn}
    whole |= {"livemode": False, "type": "customer.subscription.updated", "data": {"object": about}}
    about["description"] = "An agreement, in so many words. " * ((size - len(json.dumps(whole))) // 32)
    return json.dumps(whole).encode()


def requests(path: str, subscriptions: int, each: int, secret: str, size: int, round_: int) -> list[bytes]:
    """All deliveries of a round: one change of every subscription, then the next of every one."""
    now = int(time.time())
    turns = [round_ * ROUND_SECONDS + turn for turn in range(each)]
    return [request(path, event(number, turn, size), secret, now) for turn in turns for number in range(subscriptions)]


if __name__ == "__main__":
    a = sys.argv
    made = requests(a[2], int(a[4]), int(a[5]), a[6], int(a[7]), int(a[8]))
    asyncio.run(send(int(a[1]), int(a[3]), made))
