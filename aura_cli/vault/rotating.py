"""One call a step of a rotation: whether it may be, what it would do, doing it, and what it comes to."""

from dataclasses import dataclass
from enum import StrEnum

from aura_cli.db.engine import reading, writing
from aura_cli.db.leases import lease
from aura_cli.vault import rotation as states
from aura_cli.vault.keyring import Key
from aura_cli.vault.resealing import AFTER, BEFORE, Resealer
from aura_cli.vault.rotation import Rotation, begin, latest, to_stage, to_switch, to_undo
from aura_cli.vault.steps import Turned, Work, back, count_standing
from aura_cli.vault.walk import PLAINTEXT, Example

LEASE = "keys rotate"


class Step(StrEnum):
    """The steps of a rotation."""

    STAGE = "stage"
    SWITCH = "switch"
    UNDO = "undo"


@dataclass(frozen=True)
class Report:
    """What a step did, or in a dry run would do.

    `rows` are connections staged, switched or put back, `resealed` those sealed anew because they had changed meanwhile, `own` values of
    ours; `left` counts values by what they stay as: unreadable, plaintext, under which other key. `old` and `new` are fingerprints.
    """

    step: Step
    rotation: int | None
    old: str | None
    new: str | None
    rows: int
    resealed: int
    own: int
    left: dict[str, int]
    examples: tuple[Example, ...]
    dry_run: bool

    @classmethod
    def of(cls, step: Step, rotation: Rotation | None, done: Turned, *, dry_run: bool) -> "Report":
        """As the command tells it."""
        known = rotation if rotation and rotation.id else None
        left = dict(sorted((done.left.values + done.left.own).items()))
        examples = tuple(done.left.examples)
        number, old, new = (known.id, known.old, known.new) if known else (None, None, None)
        return cls(step, number, old, new, done.rows, done.resealed, done.own, left, examples, dry_run)

    @property
    def lost(self) -> int:
        """How many values nothing here can bring under the key that they should be under."""
        return sum(number for what, number in self.left.items() if what != PLAINTEXT)


@dataclass(frozen=True)
class Ready:
    """A step that may be taken: the rotation (None: it is still to begin), the key that it leads to, and between which keys it is."""

    step: Step
    rotation: Rotation | None
    target: Key

    @property
    def keys(self) -> tuple[str, ...]:
        """Fingerprints that the database's binding may have or be given."""
        rotation = self.rotation
        return (rotation.old, rotation.new) if rotation and self.step is not Step.STAGE and rotation.id else ()


def ready(work: Work, step: Step, new: Key | None) -> Ready:
    """Whether `step` may be taken now. Raises what `to_stage`, `to_switch`, `to_undo` raise."""
    with reading(work.engine) as connection:
        if step is Step.STAGE:
            assert new
            return Ready(step, to_stage(connection, work.ring, new), new)
        return Ready(step, *(to_switch if step is Step.SWITCH else to_undo)(latest(connection), work.ring))


def expected(work: Work, step: Ready) -> dict[str, int]:
    """How many connections the step would change, as far as a glance tells."""
    if step.rotation is None or step.step is Step.STAGE:
        return {}
    side = BEFORE if step.step is Step.SWITCH else AFTER
    with reading(work.engine) as connection:
        return {f"connections to {step.step}": count_standing(connection, step.rotation, side)}


def foresee(work: Work, step: Ready, *, plaintexts: bool = False) -> Report:
    """What the step would do now; nothing is written."""
    rotation = step.rotation
    swept = step.step is Step.SWITCH and rotation is not None and rotation.state == states.SWITCHED
    undoes = step.step is Step.UNDO
    side = AFTER if undoes or swept else BEFORE
    resealer = back(work.ring, rotation, step.target) if rotation and undoes else Resealer(work.ring, step.target, None, plaintexts)
    done = work.foresee(rotation, resealer, side, turns=step.step is not Step.STAGE and not swept)
    if step.step is Step.STAGE:
        done = Turned(done.resealed, 0, 0, done.left)
    return Report.of(step.step, rotation, done, dry_run=True)


def take(work: Work, step: Step, new: Key | None = None, *, plaintexts: bool = False) -> Report:
    """Take it, as the only one who does. Raises ConflictError where somebody else is at it, and what `ready` raises."""
    with lease(work.engine, LEASE) as held:
        work.lease = held
        found = ready(work, step, new)
        rotation = found.rotation
        if step is Step.STAGE:
            with writing(work.engine) as connection:
                rotation = begin(connection, work.ring, found.target, work.operator)
            done = work.stage(rotation, found.target)
        elif step is Step.SWITCH:
            assert rotation
            done = work.switch(rotation, found.target, plaintexts=plaintexts)
        else:
            assert rotation
            done = work.undo(rotation, found.target)
    return Report.of(step, rotation, done, dry_run=False)
