"""This machine's clock, against everybody's who answered: signatures and tokens are judged by it."""

from collections.abc import Iterator, Sequence
from statistics import median

from aura_cli.insight.finding import Finding, fail, ok, warn

WARN_SECONDS = 60
FAIL_SECONDS = 240  # Stripe's signatures are good for 300
SYNCHRONISE = "sudo timedatectl set-ntp true"


def compare(clocks: Sequence[tuple[str, float]]) -> Iterator[Finding]:
    """What follows from who says by how many seconds another time than this machine; nothing where nobody said any."""
    if not clocks:
        return
    usual = median(ahead for _, ahead in clocks)
    who = ", ".join(sorted({name for name, _ in clocks}))
    if abs(usual) > WARN_SECONDS:
        judged = fail if abs(usual) > FAIL_SECONDS else warn
        yield judged("this machine", f"this machine's clock is {_off(-usual)}, say {who}", SYNCHRONISE)
        return
    yield ok("this machine", f"within {max(1, round(abs(usual)))} s of {who}")
    wrong = {name: ahead for name, ahead in clocks if abs(ahead - usual) > WARN_SECONDS}
    for name, ahead in wrong.items():
        yield warn(name, f"the clock of {name} is {_off(ahead)}")


def _off(seconds: float) -> str:
    amount = f"{abs(seconds) / 60:,.0f} min" if abs(seconds) >= 120 else f"{abs(seconds):,.0f} s"
    return f"{amount} {'fast' if seconds > 0 else 'slow'}"
