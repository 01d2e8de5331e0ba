"""The one transaction's work on a batch of events, and the handlers that others may add."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

from sqlalchemy import Connection

from aura_cli.subscriptions.billing_owner import Owner, Reigns
from aura_cli.subscriptions.booking import Due
from aura_cli.subscriptions.keeping import Facts
from aura_cli.webhooks.inbox import Event

Handler = Callable[[Connection, "Delivered"], None]
H = TypeVar("H", bound=Handler)


@dataclass(frozen=True)
class Delivered:
    """An event as a handler of somebody else's gets it; `data` is the parsed body."""

    id: str
    type: str
    created: datetime
    livemode: bool
    api_version: str | None
    data: Mapping[str, Any]


@dataclass
class Handlers:
    """Handlers for more event types: synchronous functions of the connection and the event, inside the event's transaction.

    They may use the database and nothing else: what they do is committed with the event, or not at all, and may be tried again.
    """

    by_type: dict[str, list[Handler]] = field(default_factory=dict)

    def on(self, *types: str) -> Callable[[H], H]:
        """A decorator that registers a function for event types. Raises TypeError for what is no synchronous function."""

        def register(handler: H) -> H:
            if not callable(handler) or inspect.iscoroutinefunction(handler):
                raise TypeError(f"A webhook handler is a synchronous function of connection and event, not {handler!r}")
            for name in types:
                self.by_type.setdefault(name, []).append(handler)
            return handler

        return register


@dataclass(frozen=True)
class Surroundings:
    """What handling needs beside the events: whether effects go on to another server, more handlers, whether purchases are counted."""

    forwards: bool = False
    handlers: Handlers = field(default_factory=Handlers)
    counts: bool = False


@dataclass
class Batch:
    """One transaction's work. `users` is customer → user; `seen` the facts by subscription; `changes` by event or subscription."""

    connection: Connection
    surroundings: Surroundings
    reigns: Reigns
    now: datetime
    trusting: bool  # Stripe was asked: what was found is how things are
    users: dict[str, str] = field(default_factory=dict)
    buyers: dict[str, str] = field(default_factory=dict)  # checkout session → the user whom it names itself
    seen: dict[str, Facts] = field(default_factory=dict)
    differing: dict[str, str] = field(default_factory=dict)  # subscription → what the web app's row of it says otherwise
    outdated: set[str] = field(default_factory=set)  # subscriptions of which something newer is known
    dues: dict[str, dict[str, tuple[Due, str]]] = field(default_factory=lambda: {"initial": {}, "renewal": {}, "topup": {}})
    changes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @cached_property
    def shared(self) -> bool:
        """Are the web app's rows ours to write?"""
        return self.reigns.at(int(self.now.timestamp())) is Owner.AURA

    def owe(self, kind: str, due: Due, event: Event) -> None:
        self.dues[kind].setdefault(due.cause, (due, event.id))

    def changed(self, key: str, table: str, row: str, change: Mapping[str, Any] | None) -> None:
        if change is not None:
            self.changes.setdefault(key, []).append({"table": table, "key": row, **change})
