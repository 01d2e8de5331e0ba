"""Files that hold people: only their owner can read them, and they appear whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from aura_cli.errors import UsageError


@contextmanager
def private_file(path: Path) -> Iterator[TextIO]:
    """A text file (0600) to write to, which stands at `path` once the block is done without an exception.

    Raises UsageError where it cannot be written.
    """
    partial = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600
        partial = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        if partial:
            partial.unlink(missing_ok=True)
