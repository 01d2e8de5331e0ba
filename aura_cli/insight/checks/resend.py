"""Resend: the key, and the domain that mail is sent from: verified, with SPF and DKIM (https://resend.com/docs/api-reference/domains)."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import msgspec

from aura_cli.errors import ConfigurationError, ServiceError
from aura_cli.insight.finding import Finding, System, absent, fail, ok, warn
from aura_cli.insight.pages import PAGES
from aura_cli.insight.surroundings import Surroundings, timed
from aura_cli.mail.addresses import sender
from aura_cli.mail.receiving import SETTING as WEBHOOK_SECRET
from aura_cli.mail.resend import service
from aura_cli.mail.sending import FROM

KEYS, DOMAINS = PAGES[System.RESEND].keys, "https://resend.com/domains"
_VERIFIED = "verified"
_SENDING = ("SPF", "DKIM")  # other records are about receiving and tracking
_RESTRICTED = "restricted_api_key"  # it may send, and nothing else
_T = TypeVar("_T")


class _Record(msgspec.Struct):
    record: str
    status: str


class _Domain(msgspec.Struct):
    id: str
    name: str
    status: str
    records: Sequence[_Record] | None = None


class _List(msgspec.Struct):
    data: Sequence[_Domain]


def check(about: Surroundings) -> Iterator[Finding]:
    """Ask for the sender's domain. Raises as `Service.get` does, ConfigurationError for a sender that is none."""
    resend = service(about.settings)
    if resend is None:
        yield absent("key", "RESEND_API_KEY; no mail is sent", KEYS)
        return
    if not about.settings.secret(WEBHOOK_SECRET):
        yield absent("webhook", f"{WEBHOOK_SECRET}; what becomes of mails is not known here", "https://resend.com/webhooks")
    domain = _domain_of(sender(about.settings.get("FROM_EMAIL") or FROM))
    with about.asked(resend) as asked:
        try:
            listed, latency = timed(lambda: _read(asked.get("/domains", {"limit": 100}), _List))
        except ConfigurationError as error:
            if _RESTRICTED not in error.message:
                raise
            yield ok("domain", f"the key may only send: whether {domain} is verified cannot be asked with it")
            return
        found = next((one for one in listed.data if one.name.lower() == domain), None)
        if found is None:
            yield fail("domain", f"{domain}, which mail is sent from, is not registered: every mail is refused", f"{DOMAINS}/add")
            return
        yield _judged(_read(asked.get(f"/domains/{found.id}"), _Domain), latency)


def _judged(domain: _Domain, latency: int) -> Finding:
    records = [one for one in domain.records or () if one.record in _SENDING]
    lacking = ", ".join(dict.fromkeys(f"{one.record} {_plain(one.status)}" for one in records if one.status != _VERIFIED))
    page = f"{DOMAINS}/{domain.id}"
    if domain.status != _VERIFIED:
        return fail("domain", f"{domain.name} is not verified: {lacking or _plain(domain.status)}", page)
    if lacking:
        return warn("domain", f"{domain.name} is verified, yet its records are not: {lacking}", page)
    kinds = " and ".join(dict.fromkeys(one.record for one in records))
    return ok("domain", f"{domain.name} is verified" + (f" with {kinds}" if kinds else ""), latency)


def _plain(status: str) -> str:
    return status.replace("_", " ")


def _domain_of(header: str) -> str:
    return header.rpartition("@")[2].rstrip(">").lower()


def _read(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise ServiceError(f"Resend's answer is not what it should be: {error}") from error
