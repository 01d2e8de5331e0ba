"""What the person at a rotation has to know at each step: what was done, what the web app reads now, what comes next."""

from collections.abc import Iterator

from aura_cli.console import brief, described
from aura_cli.vault.keyring import NAME, RETIRED
from aura_cli.vault.rotating import Report, Step
from aura_cli.vault.status import Status
from aura_cli.vault.walk import PLAINTEXT, UNREADABLE

_DID = {
    Step.STAGE: "{rows} connections {were} staged, sealed under the new key; their rows stay as they are.",
    Step.SWITCH: "{rows} connections {were} switched; {resealed} more, written under other keys, {were} sealed under the new one.",
    Step.UNDO: "{rows} connections {were} given their old values; {resealed} more, written meanwhile, {were} sealed under the old key.",
}
_LEFT = {
    UNREADABLE: "{number} values cannot be opened and stay as they are: they are damaged, or their key is not configured.",
    PLAINTEXT: "{number} values stand unsealed, and stay so.",
}
_WHY_NOT = "What wrote them may read them unsealed, and would send ciphertext to the provider; once you know better: --seal-plaintext"
_THEN = {
    Step.STAGE: f"""\
The web app reads everything with the key that it has; nothing changes for it before --switch.
Next: deploy the new key to the web app and here ({NAME}), with the old one in {RETIRED};
then, at once: aura keys rotate --switch. In between the web app cannot open what was sealed before.
Consents that are being given at that moment fail and have to begin again: their state is signed with the same key.""",
    Step.SWITCH: f"""\
The web app reads these with the new key alone. An instance that still has the old one reads none of them, and what it writes
is dead to the others until --switch runs again: run it until it finds nothing more.
A token that somebody copied stays valid. aura integrations refresh --force --rotating has those replaced that can be;
the other connections have to be made again: aura integrations list.
The old values are kept for --undo for 30 days, or until the next rotation. The old key can leave
{RETIRED} once aura keys status counts nothing under it.""",
    Step.UNDO: f"""\
The web app reads these with the old key alone: deploy it again, and here ({NAME}), with the new one
in {RETIRED}; then run --undo once more, for what was written under the new key until then.
Consents that are being given at that moment fail and have to begin again.""",
}
_SWEPT = """\
Nothing was staged: only what other keys had sealed was to be brought under the current one.
A rotation to a new key begins with: aura keys rotate --stage"""


def told(report: Report) -> Iterator[str]:
    """A step's result."""
    were = "would be" if report.dry_run else "were"
    yield _DID[report.step].format(rows=f"{report.rows:,}", resealed=f"{report.resealed:,}", were=were)
    if report.own:
        yield f"{report.own:,} values of aura's own were sealed anew."
    for what, number in report.left.items():
        yield _LEFT.get(what, "{number} values under key {what!r} stay as they are.").format(number=f"{number:,}", what=what)
        if what == PLAINTEXT and report.step is Step.SWITCH:
            yield _WHY_NOT
    if report.dry_run:
        yield "Nothing was written."


def then(report: Report) -> tuple[str, ...]:
    """What the person has to know and do after it."""
    if report.step is Step.SWITCH and report.rotation is None:
        return tuple(_SWEPT.splitlines())
    return () if report.dry_run else tuple(_THEN[report.step].splitlines())


def table(status: Status) -> Iterator[str]:
    """Where things stand, a line a key."""
    names = [one.key if one.kind != "retired" else f"{one.key} (retired)" for one in status.keys]
    width = max(map(len, names))
    yield f"{'key':<{width}}  {'fingerprint':<16}  {'connections':>11}  {'values':>9}  {'own':>6}"
    for name, one in zip(names, status.keys, strict=True):
        yield f"{name:<{width}}  {one.fingerprint or '':<16}  {one.rows:>11,}  {one.values:>9,}  {one.own:>6,}"
    for example in status.examples:
        yield f"  {example.what}: {example.provider} {example.integration_id} ({example.place})"
    if rotation := status.rotation:
        yield ""
        yield from described(
            {
                "rotation": f"{rotation.id}, {rotation.state}",
                "from": rotation.old,
                "to": rotation.new,
                "staged": rotation.staged,
                "by": rotation.operator,
                "begun": brief(rotation.started_at),
                "switched": brief(rotation.switched_at),
            }
        )
