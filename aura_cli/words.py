"""Small pieces of sentences that every room says alike."""

from collections.abc import Collection


def counted(number: int, what: str) -> str:
    """So many of something, `what` being the word for one: `1 event`, `2,000 events`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def meant(word: str, known: Collection[str]) -> str:
    """What somebody may have meant who said `word`: the nearest of `known`, else all of them."""
    from difflib import get_close_matches

    near = get_close_matches(word, known, 1)
    return f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}"
