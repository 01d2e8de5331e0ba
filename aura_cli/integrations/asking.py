"""Asking a provider for new tokens, once: what came of it is an outcome, and an answer is on the disk before it is anything else."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from aura_cli.errors import ConfigurationError, ServiceError, UnreachableError
from aura_cli.integrations import oauth
from aura_cli.integrations.answers import Grant
from aura_cli.integrations.claims import Claim
from aura_cli.integrations.failures import Failure, Refused, scrubbed
from aura_cli.integrations.provider import Provider
from aura_cli.integrations.spool import Answer, Spool
from aura_cli.integrations.state import Renewal, Seen, fingerprint
from aura_cli.integrations.store import fields_of, values_of
from aura_cli.integrations.template import names
from aura_cli.integrations.verdicts import Outcome
from aura_cli.integrations.verify import log_in
from aura_cli.integrations.wire import Unsent, Wire
from aura_cli.settings import Settings


@dataclass(frozen=True)
class Asker:
    """Asks providers; shared by threads."""

    wire: Wire
    settings: Settings
    spool: Spool
    clock: Callable[[], datetime]

    def ask(self, turn: Claim) -> Outcome:
        """What comes of a turn. Raises UnreachableError where it was stopped before anything was sent."""
        outcome = self._outcome(turn)
        if outcome.grant is None:
            return outcome
        answer = Answer(outcome.integration_id, outcome.user_id, turn.provider.id, turn.held, turn.sent, outcome.grant, outcome.at)
        with suppress(OSError):  # no room on the disk: the database is the next best place, and is tried at once
            return replace(outcome, spooled=self.spool.keep(answer))
        return outcome

    def _outcome(self, turn: Claim) -> Outcome:
        read, known = turn.seen.read, turn.seen.known
        unanswered = known.intent_at if known.intent == fingerprint(read) else None
        values = connection_values(self.settings, turn.seen, turn.provider)
        alone = has_own_server(turn.provider, values)
        blank = Outcome(turn.provider, read.id, read.user_id, turn.held, turn.sent, self.clock(), unanswered=unanswered, alone=alone)
        try:
            return replace(blank, grant=self._grant(turn, values), at=self.clock())
        except Refused as refused:
            return replace(blank, failure=refused.failure, error=refused.message, retry_after=refused.retry_after)
        except Unsent as error:
            if self.wire.stop.is_set():
                raise
            return replace(blank, failure=Failure.PROVIDER_DOWN, error=error.message)
        except UnreachableError as error:
            return replace(blank, failure=Failure.TRANSIENT, error=error.message, cut=True)
        except ConfigurationError as error:  # the row lacks something, or holds what cannot be sent
            return replace(blank, failure=Failure.TRANSIENT, error=scrubbed(error.message, read.secrets.values()))
        except ServiceError as error:
            return replace(blank, failure=Failure.PROVIDER_DOWN, error=error.message)

    def _grant(self, turn: Claim, values: dict[str, str]) -> Grant:
        provider, read = turn.provider, turn.seen.read
        if turn.renewal is Renewal.LOGIN:
            return log_in(self.wire, provider, values)
        try:
            client = oauth.client_of(self.settings, provider)
        except ConfigurationError as error:
            raise Refused(error.message, Failure.CLIENT_MISCONFIGURED, hint=error.hint) from None
        scopes = read.scopes or tuple(provider.oauth.scopes if provider.oauth else ())
        if turn.renewal is Renewal.CLIENT:
            return oauth.own_token(self.wire, provider, client, scopes=scopes, values=values)
        return oauth.renew(self.wire, provider, client, token=turn.sent, scopes=scopes, values=values)


def has_own_server(provider: Provider, values: Mapping[str, str]) -> bool:
    """Whether new tokens are asked for at a server of the customer's own, not at the one that a provider has for everybody."""
    login = provider.credentials.login if provider.credentials else None
    url = (provider.oauth.refresh.url or provider.oauth.token_url) if provider.oauth else login.url if login else ""
    host, fields = (url.partition("://")[2] or url).partition("/")[0], fields_of(provider)
    return any(name in fields and not fields[name].choices and values.get(name) != fields[name].default for name in names(host))


def connection_values(settings: Settings, one: Seen, provider: Provider) -> dict[str, str]:
    """What fills a provider's placeholders for a connection, the application's id and secret among it where they are configured."""
    client: Mapping[str, str] = {}
    if not one.by_hand and provider.client:
        with suppress(ConfigurationError):  # a request that needs them says so
            client = oauth.client_of(settings, provider).values
    ambient = {name: setting.text for name, setting in settings.values.items()}
    return values_of(provider, one.read, client, ambient)
