"""Records by id and in order of creation, with sorted indexes: any page costs O(log n + page)."""

import heapq
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from aura_cli.sandbox.stripe.records import Record

R = TypeVar("R", bound=Record)
Key = tuple[int, str]  # created, id
Terms = Iterable[tuple[str, str]]  # index name, value
OLDEST: Key = (-1, "")
NEWEST: Key = (1 << 62, "")


class Collection(Generic[R]):
    """All records of one kind; `terms` says under which (index, value) pairs a record is found."""

    def __init__(self, kind: str, terms: Callable[[R], Terms]) -> None:
        self.kind = kind
        self._terms = terms
        self._by_id: dict[str, R] = {}
        self._order: list[Key] = []
        self._index: dict[str, dict[str, list[Key]]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[R]:
        return iter(self._by_id.values())

    def get(self, identifier: str) -> R | None:
        return self._by_id.get(identifier)

    def load(self, records: Iterable[R]) -> None:
        """Add many new records at once."""
        for record in records:
            key = (record.created, record.id)
            self._by_id[record.id] = record
            self._order.append(key)
            for name, value in self._terms(record):
                self._index.setdefault(name, {}).setdefault(value, []).append(key)
        self._order.sort()
        for values in self._index.values():
            for keys in values.values():
                keys.sort()

    def put(self, record: R) -> R:
        """Add a record, or replace the one of the same id; `created` of a record never changes."""
        key = (record.created, record.id)
        previous = self._by_id.get(record.id)
        self._by_id[record.id] = record
        if previous is None:
            insort(self._order, key)
        old = set() if previous is None else set(self._terms(previous))
        new = set(self._terms(record))
        for name, value in old - new:
            keys = self._index[name][value]
            del keys[bisect_left(keys, key)]
        for name, value in new - old:
            insort(self._index.setdefault(name, {}).setdefault(value, []), key)
        return record

    def remove(self, identifier: str) -> None:
        record = self._by_id.pop(identifier)
        key = (record.created, record.id)
        del self._order[bisect_left(self._order, key)]
        for name, value in set(self._terms(record)):
            keys = self._index[name][value]
            del keys[bisect_left(keys, key)]

    def select(
        self, wanted: Mapping[str, Sequence[str]], low: Key = OLDEST, high: Key = NEWEST, *, newest_first: bool = True
    ) -> Iterator[R]:
        """The records with low <= (created, id) < high that have, for each index, one of the wanted values; lazily, in order."""
        runs, checks = self._narrowest(wanted)
        spans = [(keys, bisect_left(keys, low), bisect_left(keys, high)) for keys in runs]
        walks = [_walk(keys, start, stop, newest_first) for keys, start, stop in spans if start < stop]
        for _, identifier in walks[0] if len(walks) == 1 else heapq.merge(*walks, reverse=newest_first):
            record = self._by_id[identifier]
            if not checks or self._matches(record, checks):
                yield record

    def _narrowest(self, wanted: Mapping[str, Sequence[str]]) -> tuple[list[list[Key]], dict[str, frozenset[str]]]:
        """The sorted runs of the most selective index, and what is left to check record by record."""
        choices = {name: [self._index.get(name, {}).get(value, []) for value in set(values)] for name, values in wanted.items()}
        if not choices:
            return [self._order], {}
        best = min(choices, key=lambda name: sum(map(len, choices[name])))
        return choices[best], {name: frozenset(values) for name, values in wanted.items() if name != best}

    def _matches(self, record: R, checks: Mapping[str, frozenset[str]]) -> bool:
        met = {name for name, value in self._terms(record) if name in checks and value in checks[name]}
        return len(met) == len(checks)


def _walk(keys: list[Key], start: int, stop: int, newest_first: bool) -> Iterator[Key]:
    for position in range(stop - 1, start - 1, -1) if newest_first else range(start, stop):
        yield keys[position]
