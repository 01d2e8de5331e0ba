"""How much of a session a model gets: what fits, the newest first; the rest stays in the database, and that is said.

Tokens are estimated, high rather than low, because a tokenizer is a megabyte of tables for each family of models.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aura_cli.chat.model import Said
from aura_cli.errors import UsageError

A_MESSAGE = 4  # tokens around each message


@dataclass(frozen=True)
class Fitted:
    """What the model gets, in order; `dropped` turns of the session are not among it."""

    messages: tuple[Said, ...]
    tokens: int
    dropped: int


def estimate(text: str) -> int:
    """At most about so many tokens: a word has one every four letters, a sign of another script up to two."""
    letters = sum(map(str.isascii, text))
    others = len(text.encode(errors="replace")) - letters
    return letters // 3 + others // 2 + A_MESSAGE


def least(text: str) -> int:
    """At least so many, however well it is packed."""
    return len(text) // 6


def fit(system: Sequence[Said], prompt: Said, turns: Iterable[Sequence[Said]], total: int, budget: int) -> Fitted:
    """System, as many of the newest `turns` as fit, prompt. `turns` come newest first, `total` is how many there are.

    Raises UsageError where the prompt alone cannot fit.
    """
    own = least(prompt.content)
    if own > budget:
        raise UsageError(f"The prompt has {own:,} tokens or more, and the model takes {budget:,}", "Shorten it, or choose another --model")
    left = budget - sum(estimate(one.content) for one in (*system, prompt))
    kept: list[Said] = []
    taken = 0
    for turn in turns:
        left -= sum(estimate(one.content) for one in turn)
        if left < 0:
            break
        kept[:0] = turn
        taken += 1
    messages = (*system, *kept, prompt)
    return Fitted(messages, sum(estimate(one.content) for one in messages), total - taken)
