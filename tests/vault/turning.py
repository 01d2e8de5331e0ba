"""One step of a rotation in small chunks, as a process that can be killed; it says when it begins.

`python -m tests.vault.turning URL STEP`
"""

import sys

from aura_cli.db.engine import connect
from aura_cli.settings import Secret
from aura_cli.vault.keyring import Key
from aura_cli.vault.rotating import Step, take
from aura_cli.vault.steps import Work
from tests.vault.world import NEW, OLD, ring

BATCH = 50

if __name__ == "__main__":
    step = Step(sys.argv[2])
    new = Key("new", Secret(NEW)) if step is Step.STAGE else None
    keys = ring(OLD).beside(new) if new else ring(NEW, OLD)
    work = Work(connect(sys.argv[1].replace("postgresql://", "postgresql+psycopg://")), keys, "tester", batch=BATCH)
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    take(work, step, new)
