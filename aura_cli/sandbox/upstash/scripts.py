"""The scripts of Upstash's rate limiters that the web app's limits run, done natively: no Lua is needed.

They are known by the SHA-1 of their text; the sources say what each does: `upstash_ratelimit/limiter.py` (1.2) and, of
`@upstash/ratelimit` 2.0.3 to 2.2.0, `src/lua-scripts/single.ts` and `reset.ts`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

Call = Callable[..., Any]  # a command and its arguments → its answer
Script = Callable[[Call, Sequence[str], Sequence[str]], Any]  # with KEYS and ARGV → the answer


def _used(call: Call, keys: Sequence[str], now: str, window: str) -> tuple[int, int]:
    """Requests in the current window, and the part of those in the one before that still counts."""
    current, previous = (int(call("GET", key) or 0) for key in keys[:2])
    passed = int(now) % int(window) / int(window)
    return current, math.floor((1 - passed) * previous)


def _allowance(call: Call, keys: Sequence[str], tokens: str) -> int:
    """The limit, unless another was set for everybody under the third key."""
    changed = call("GET", keys[2]) if len(keys) > 2 and keys[2] else None
    return int(changed or tokens)


def _take(call: Call, keys: Sequence[str], argv: Sequence[str], *, pair: bool) -> Any:
    tokens, now, window, by = argv[:4]
    allowance = _allowance(call, keys, tokens)
    current, previous = _used(call, keys, now, window)
    if int(by) > 0 and current + previous >= allowance:
        return [-1, allowance] if pair else -1
    total = int(call("INCRBY", keys[0], by))
    if total == int(by):
        call("PEXPIRE", keys[0], str(int(window) * 2 + 1000))
    left = allowance - (total + previous)
    return [left, allowance] if pair else left


def _look(call: Call, keys: Sequence[str], argv: Sequence[str], *, pair: bool) -> Any:
    if not pair:
        return sum(_used(call, keys, *argv[:2]))
    tokens, now, window = argv[:3]
    allowance = _allowance(call, keys, tokens)
    return [allowance - sum(_used(call, keys, now, window)), allowance]


def _reset(call: Call, keys: Sequence[str], argv: Sequence[str]) -> None:
    del argv
    for key in call("KEYS", keys[0]):
        call("DEL", key)


NATIVE: Mapping[str, Script] = {
    "f8c78d62cf9f06601d3d4f605595603fd6a7a860": partial(_take, pair=False),  # Python 1.2
    "e1391e429b699c780eb0480350cd5b7280fd9213": partial(_take, pair=False),  # JavaScript 2.0.3 to 2.0.6
    "9b7842963bd73721f1a3011650c23c0010848ee3": partial(_take, pair=False),  # 2.0.7
    "977fb636fb5ceb7e98a96d1b3a1272ba018efdae": partial(_take, pair=True),  # 2.0.8
    "74740bb3d7792848093cdef586b6b6037c455fd6": partial(_take, pair=True),  # 2.1.0, 2.2.0
    "65a73ac5a05bf9712903bc304b77268980c1c417": partial(_look, pair=False),  # 2.0.3 to 2.0.7
    "ee3a3265fad822f83acad23f8a1e2f5c0b156b03": partial(_look, pair=True),  # 2.0.8
    "7ca36169e0fc9caedd81b4eef8e99854c157f9b5": partial(_look, pair=True),  # 2.1.0, 2.2.0
    "54bd274ddc59fb3be0f42deee2f64322a10e2b50": _reset,
}
