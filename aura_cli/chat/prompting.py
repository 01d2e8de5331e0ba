"""What is asked, out of words on the command line, files and standard input."""

import re
import select
from collections.abc import Callable, Sequence
from io import BufferedIOBase
from pathlib import Path

from aura_cli.errors import UsageError

LONGEST = 16 << 20  # bytes of one source
PATIENCE = 2.0  # seconds of silence on standard input before it is said that it is being read


def compose(words: Sequence[str], files: Sequence[Path], piped: str) -> str:
    """The prompt: the words, each file under its name, what was piped in. Raises UsageError where nothing is asked, or a file is none."""
    parts = [" ".join(words).strip(), *(_file(path) for path in files), piped.strip("\n")]
    prompt = "\n\n".join(part for part in parts if part.strip())
    if not prompt:
        raise UsageError("There is nothing to ask", "Give a prompt as an argument, on standard input, or with -f FILE")
    return prompt


def read(stdin: BufferedIOBase, tell: Callable[[str], None]) -> str:
    """All of standard input that is no terminal, as text. Raises UsageError for what is none, or too long."""
    try:
        if not select.select([stdin], [], [], PATIENCE)[0]:
            tell("Reading standard input to its end (< /dev/null gives none)")
        return _text(stdin.read(LONGEST + 1), "Standard input")
    except OSError as error:
        raise UsageError(f"Standard input cannot be read: {error.strerror}") from None


def _file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = _text(file.read(LONGEST + 1), str(path))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    longest = max(map(len, re.findall("`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{path.name}:\n{fence}\n{content.rstrip()}\n{fence}"


def _text(content: bytes, called: str) -> str:
    if len(content) > LONGEST:
        raise UsageError(f"{called} is longer than {LONGEST >> 20} MB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{called} is no text in UTF-8") from None
