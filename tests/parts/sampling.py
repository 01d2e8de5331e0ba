"""How much of a long series of cases runs: a seeded sample, or with AURA_TEST_WHOLE=1 (make test-all) all of it."""

import os
import random
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")

WHOLE = os.environ.get("AURA_TEST_WHOLE") == "1"


def sample(cases: Iterable[T], n: int, seed: int = 0) -> list[T]:
    """`n` of the cases in their order, the same ones for the same seed; all of them in a whole run."""
    everything = list(cases)
    if WHOLE or n >= len(everything):
        return everything
    return [everything[place] for place in sorted(random.Random(seed).sample(range(len(everything)), n))]
