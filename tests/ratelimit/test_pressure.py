"""How hard the limits are pressed."""

from aura_cli.ratelimit.limits import Limit, Limits
from aura_cli.ratelimit.pressure import Pressure, pressures
from tests.parts.upstash import in_one_window, upstash


def test_who_is_counted_and_who_has_used_it_up() -> None:
    """Two are counted under the general limit, of whom one has used it up; the web app's other keys count as nobody."""
    with upstash() as redis:

        def pressed(who: str) -> list[Pressure]:
            with Limits(redis.settings) as limits:
                before = pressures(redis.settings)
                for _ in range(12):
                    limits.check(Limit.GENERAL, who)
                limits.check(Limit.GENERAL, f"{who}-once")
            after = pressures(redis.settings)
            return [
                Pressure(one.limit, one.rule, one.identifiers - old.identifiers, one.exhausted - old.exhausted)
                for one, old in zip(after, before, strict=True)
            ]

        assert in_one_window(10, pressed) == [
            Pressure(Limit.GENERAL, "10 in 10 s", 2, 1),
            Pressure(Limit.AUTH, "5 in 60 s", 0, 0),
        ]
