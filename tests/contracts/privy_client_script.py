"""Runs in the environment of Privy's official client: asks the stand-in at argv[1] as app argv[2] with the secret on standard input.

Prints one JSON object with what the client made of the answers.
"""

import json
import sys
from collections.abc import Callable

from privy import NotFoundError, PrivyAPI  # type: ignore[import-not-found]


def main() -> None:
    base, app_id, limit = sys.argv[1:4]
    client = PrivyAPI(app_id=app_id, app_secret=sys.stdin.readline().strip(), base_url=base, max_retries=1)
    users = list(client.users.list(limit=int(limit)))
    mailed = next(account for user in users for account in user.linked_accounts if account.type == "email")
    found = {
        "ids": [user.id for user in users],
        "created": [user.created_at for user in users],
        "accounts": [sorted((account.type, type(account).__name__) for account in user.linked_accounts) for user in users],
        "one": client.users.get(users[0].id).id,
        "by_address": client.users.get_by_email_address(address=mailed.address).linked_accounts[0].address == mailed.address,
        "missing": _error(lambda: client.users.get("did:privy:cnobody"), NotFoundError),
        "refused": _error(lambda: client.with_options(max_retries=0).copy(app_secret="wrong").users.get(users[0].id), Exception),
    }
    json.dump(found, sys.stdout)


def _error(call: Callable[[], object], kind: type[Exception]) -> list[object] | None:
    try:
        call()
    except kind as error:
        return [type(error).__name__, getattr(error, "body", None)]
    return None


if __name__ == "__main__":
    main()
