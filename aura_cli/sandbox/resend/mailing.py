"""Resend's own paths: send one mail or a hundred, look at one, list them."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from aiohttp import web

from aura_cli.sandbox.resend import mishaps
from aura_cli.sandbox.resend.errors import ResendError, invalid
from aura_cli.sandbox.resend.events import fate, happen, message_id
from aura_cli.sandbox.resend.idempotency import Answered
from aura_cli.sandbox.resend.messages import Message, read
from aura_cli.sandbox.resend.state import Entry, Mail, ResendState

ENTRY: web.RequestKey[Entry] = web.RequestKey("entry", Entry)
MOST_A_BATCH = 100
MOST_A_PAGE = 100
USUAL_PAGE = 20


async def send(state: ResendState, request: web.Request) -> web.Response:
    """https://resend.com/docs/api-reference/emails/send-email"""

    def take(document: Any, key: str | None) -> Mapping[str, Any]:
        mails = _take(state, [read(document, state.domains)], key)
        return {"id": mails[0].id}

    return await _once(state, request, take)


async def send_batch(state: ResendState, request: web.Request) -> web.Response:
    """https://resend.com/docs/api-reference/emails/send-batch-emails; https://resend.com/changelog/batch-validation-modes"""
    mode = request.headers.get("x-batch-validation", "strict")

    def take(document: Any, key: str | None) -> Mapping[str, Any]:
        if not isinstance(document, list) or not document:
            raise invalid("The request body must be a non-empty array of emails.")
        if len(document) > MOST_A_BATCH:
            raise invalid(f"The batch must have at most {MOST_A_BATCH} emails.")
        messages, errors = _judged(state, document)
        if errors and mode != "permissive":
            raise errors[0][1]
        mails = _take(state, messages, key)
        answer: dict[str, Any] = {"data": [{"id": mail.id} for mail in mails]}
        if mode == "permissive":
            answer["errors"] = [{"index": index, "message": error.message} for index, error in errors]
        return answer

    return await _once(state, request, take)


async def show(state: ResendState, request: web.Request) -> web.Response:
    """https://resend.com/docs/api-reference/emails/retrieve-email"""
    return _json(_whole(_mail(state, request.match_info["id"])))


async def list_(state: ResendState, request: web.Request) -> web.Response:
    """Newest first: https://resend.com/docs/api-reference/emails/list-emails"""
    limit, after, before = (request.query.get(name) for name in ("limit", "after", "before"))
    if after and before:
        raise invalid("The `after` and `before` parameters cannot be used together.")
    size = int(limit) if limit and limit.isdecimal() else USUAL_PAGE if limit is None else 0
    if not 1 <= size <= MOST_A_PAGE:
        raise invalid(f"The `limit` must be between 1 and {MOST_A_PAGE}.")
    mails = list(reversed(state.mails.values()))
    if after:
        mails = mails[mails.index(_mail(state, after)) + 1 :]
    elif before:
        mails = mails[: mails.index(_mail(state, before))]
        return _page(mails[-size:], more=len(mails) > size)
    return _page(mails[:size], more=len(mails) > size)


def _judged(state: ResendState, document: Sequence[Any]) -> tuple[list[Message], list[tuple[int, ResendError]]]:
    """The messages that are right, and what is wrong with the others, by their places."""
    messages, errors = [], []
    for index, one in enumerate(document):
        try:
            messages.append(read(one, state.domains, batch=True))
        except ResendError as error:
            errors.append((index, error))
    return messages, errors


def _take(state: ResendState, messages: Sequence[Message], key: str | None) -> list[Mail]:
    """Take the messages: all, or, where a quota is used up, none."""
    state.limits.take(sum(message.recipients for message in messages), state.now())
    mails = [state.take(message, key) for message in messages]
    for mail in mails:
        if mail.message.scheduled_at:
            mail.last_event = "scheduled"
            continue
        for kind in fate(mail.message.to[0]):
            happen(state, mail, kind)
    return mails


async def _once(state: ResendState, request: web.Request, take: Any) -> web.Response:
    """What `take` answers to the request's document, once for an idempotency key. Raises ResendError."""
    entry, raw, key = request[ENTRY], await request.read(), request.headers.get("Idempotency-Key")
    try:
        document = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        raise invalid("The request body must be valid JSON.", 400) from None
    mishap = state.mishap()
    mishaps.instead(mishap)
    fingerprint = hashlib.sha256(msgspec.json.encode(document, order="sorted")).hexdigest()
    body = state.keys.replay(request.path, key, fingerprint, state.now()) if key is not None else None
    entry.replayed = body is not None
    if body is None:
        with state.keys.in_use(request.path, key):
            await asyncio.sleep(state.limits.work)
            body = msgspec.json.encode(take(document, key))
        if key is not None:
            state.keys.keep(request.path, key, Answered(fingerprint, state.now(), body))
    entry.mails = [one["id"] for one in _answers(msgspec.json.decode(body))]
    return await mishaps.afterwards(request, mishap, web.Response(body=body, content_type="application/json"))


def _answers(answer: dict[str, Any]) -> list[dict[str, str]]:
    return answer["data"] if "data" in answer else [{"id": answer["id"]}]


def _mail(state: ResendState, identifier: str) -> Mail:
    try:
        UUID(identifier)
    except ValueError:
        raise invalid("The `id` must be a valid UUID.") from None
    if identifier not in state.mails:
        raise ResendError(404, "not_found", "Email not found")
    return state.mails[identifier]


def _brief(mail: Mail) -> dict[str, Any]:
    message = mail.message
    return {
        "id": mail.id,
        "message_id": message_id(mail),
        "to": list(message.to),
        "from": message.sender,
        "created_at": f"{datetime.fromtimestamp(mail.created, UTC):%Y-%m-%d %H:%M:%S.%f}+00",
        "subject": message.subject,
        "bcc": list(message.bcc) or None,
        "cc": list(message.cc) or None,
        "reply_to": list(message.reply_to) or None,
        "last_event": mail.last_event,
        "scheduled_at": message.scheduled_at,
    }


def _whole(mail: Mail) -> dict[str, Any]:
    message = mail.message
    lists = {"bcc": list(message.bcc), "cc": list(message.cc), "reply_to": list(message.reply_to)}
    tags = [{"name": name, "value": value} for name, value in message.tags]
    return {"object": "email", **_brief(mail), **lists, "html": message.html, "text": message.text, "tags": tags}


def _page(mails: Sequence[Mail], *, more: bool) -> web.Response:
    return _json({"object": "list", "has_more": more, "data": [_brief(mail) for mail in mails]})


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
