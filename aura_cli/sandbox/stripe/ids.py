"""Ids in Stripe's form that are the same in every run and sort in the order they were made in."""

import hashlib

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # in the order of their code points
_LENGTHS = {"cus": 14, "prod": 14, "si": 14, "cs_test": 58, "cs_live": 58, "whsec": 32, "req": 14}


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))


class Mint:
    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._count = 0

    def new(self, prefix: str) -> str:
        """`prefix`, a counter that makes ids sort, and noise that makes them look like Stripe's."""
        self._count += 1
        noise = int.from_bytes(hashlib.sha512(f"{self._seed}:{self._count}".encode()).digest())
        return f"{prefix}_" + "Z" + _base62(self._count, 6) + _base62(noise, _LENGTHS.get(prefix, 24) - 7)
