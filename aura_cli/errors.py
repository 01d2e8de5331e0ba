"""Every error `aura` raises on purpose, and the exit code that each one means.

AuraError                  1  a bug
├── UsageError             2  the command line is wrong
├── AttentionNeeded        3  it worked, and something needs a person
├── ConfigurationError     4  settings, credentials or schema missing, malformed, refused, of another environment
│   └── AccessRefused         by a service, with what it said
├── NotFoundError          5  the thing named does not exist
├── ConflictError          6  lock held elsewhere, or a confirmation nobody could give
├── ServiceError           7  a service answered with an error
├── UnreachableError       8  a service or the database could not be reached
└── PartialFailure         9  batch finished, some items failed
"""

from typing import ClassVar


class AuraError(Exception):
    """An error meant for a person: what happened, to what (`message`), and what to do next (`hint`)."""

    exit_code: ClassVar[int] = 1
    kind: ClassVar[str] = "unforeseen"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(AuraError):
    """The command line, an argument or an input file is wrong."""

    exit_code = 2
    kind = "usage"


class AttentionNeeded(AuraError):
    """The work was done and something is left for a person: drift, a differing schema, a failed check."""

    exit_code = 3
    kind = "attention"


class ConfigurationError(AuraError):
    """A setting, credential or schema is missing, malformed, refused, or belongs to another environment."""

    exit_code = 4
    kind = "configuration"


class AccessRefused(ConfigurationError):
    """A service took the credentials for nothing, or not for this (`status` 401, 403). `body` is what it said, as it came."""

    def __init__(self, message: str, hint: str = "", *, status: int = 0, body: bytes = b"") -> None:
        super().__init__(message, hint)
        self.status = status
        self.body = body


class NotFoundError(AuraError):
    """The thing named does not exist."""

    exit_code = 5
    kind = "not_found"


class ConflictError(AuraError):
    """Somebody else holds the lock, or a confirmation was needed and nobody could give it."""

    exit_code = 6
    kind = "conflict"


class ServiceError(AuraError):
    """A service answered, and its answer was an error or made no sense.

    `status` is the HTTP status of the answer; 0 where the error lies in its body. `body` is what it said, as it came, and `wait` the
    seconds that it asks for before another try (Retry-After); None where it asks for none.
    """

    exit_code = 7
    kind = "service"

    def __init__(self, message: str, hint: str = "", *, status: int = 0, body: bytes = b"", wait: float | None = None) -> None:
        super().__init__(message, hint)
        self.status = status
        self.body = body
        self.wait = wait


class UnreachableError(AuraError):
    """A service or the database could not be reached, or broke off; trying again is safe."""

    exit_code = 8
    kind = "unreachable"


class PartialFailure(AuraError):
    """A batch ran to its end and some of its items failed."""

    exit_code = 9
    kind = "partial"
