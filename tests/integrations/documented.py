"""What vendors document of their own interfaces: one file a provider, `documented/<id>.toml`, each table with its source beside it.

The tables of a file, each of them optional:

- `[values]`: placeholder → a made-up value, for what differs from customer to customer (hosts, regions, keys).
- `[authorize]`: the consent page, the `params` that the documentation has in a request to it, and `callback`, what comes back. `beyond`:
  what is sent too, each parameter with the page that has it.
- `[token_request]`: where a code (`exchange`) or a refresh token (`refresh`) is turned into a token: the names that the documentation
  has in the body, how the application proves who it is, the notation where one is prescribed. Without `refresh` nothing is refreshed.
  Beside these, and beside `params`, goes what RFC 6749 and RFC 7636 have in every such request, documented or not: `STANDARD`.
- `[token_answer]`, `[refresh_answer]`: the answers to these, and `expected`, what is to be read out of them; what is not expected is
  not documented to be in the answer.
- `[login]`: a session for credentials.
- `[verify]`, `[verify_instead]`: whose credentials these are; the latter where the first may not be asked. `label` and `account` are
  what is to be read out of `answer`; `refused` is an answer with status 200 that says no; `by_hand`: it is documented for credentials
  that a person types, where consent has a request of its own.
- `[revoke]`: the end of a grant.

In a request, `url` is whole (but for the application's and the row's values), `headers`, which may be joined by Accept and User-Agent,
and `basic` have their placeholders, `form` and `json` are the names at the top of the body; `body` is the JSON text within a form's
only field. Answers are JSON text, `status` is 200
unless it says otherwise. `source` is the page, or the file in the vendor's own repository, that was read; what could be had from
others only says `source_kind = "secondary"`, and its file counts for nothing that is to be shown against the vendor's word.
"""

from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

FOLDER = Path(__file__).parent / "documented"
STANDARD = frozenset(
    {"client_id", "response_type", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method"}  # authorize
    | {"grant_type", "code", "code_verifier", "refresh_token"}  # token request
)


class Shape(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of a file: what it does not know is a typing error."""


class Table(Shape, frozen=True, kw_only=True):
    """A table with its source."""

    source: str
    source_kind: Literal["vendor", "secondary"] = "vendor"


class Authorize(Table, frozen=True, kw_only=True):
    """The consent page."""

    url: str
    params: list[str]
    beyond: dict[str, str] = {}
    callback: list[str] = []


class TokenRequest(Table, frozen=True, kw_only=True):
    """A code's or a refresh token's way to the token address."""

    url: str
    client_auth: Literal["client_secret_post", "client_secret_basic", "none"]
    exchange: list[str]
    refresh: list[str] | None = None
    content_type: str | None = None
    headers: dict[str, str] = {}
    method: Literal["POST"] = "POST"


class Expected(Shape, frozen=True, kw_only=True):
    """What is to be read out of a token answer; times are seconds."""

    access_token: str
    refresh_token: str | None = None
    expires_in: int | None = None
    refresh_expires_in: int | None = None
    scopes: list[str] | None = None


class TokenAnswer(Table, frozen=True, kw_only=True):
    """The answer of the token address."""

    answer: str
    expected: Expected
    status: int = 200

    @property
    def document(self) -> Any:
        """The answer, decoded."""
        return msgspec.json.decode(self.answer)


class Call(Table, frozen=True, kw_only=True):
    """A request."""

    url: str
    method: Literal["GET", "POST", "DELETE", "PUT", "PATCH"]
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    basic: tuple[str, str] | None = None
    content_type: str | None = None
    form: list[str] = []
    json: list[str] = []
    body: str | None = None


class Login(Call, frozen=True, kw_only=True):
    """The request for a session, with its answer."""

    answer: str


class Verify(Call, frozen=True, kw_only=True):
    """The request that says whose credentials these are, with its answer."""

    answer: str
    label: str
    account: str | None = None
    refused: str | None = None
    by_hand: bool = False


class Documented(Shape, frozen=True, kw_only=True):
    """One file."""

    values: dict[str, str] = {}
    authorize: Authorize | None = None
    token_request: TokenRequest | None = None
    token_answer: TokenAnswer | None = None
    refresh_answer: TokenAnswer | None = None
    login: Login | None = None
    verify: Verify | None = None
    verify_instead: Verify | None = None
    revoke: Call | None = None

    @property
    def tables(self) -> list[Table]:
        """Its tables but `values`."""
        return [table for name in self.__struct_fields__ if isinstance(table := getattr(self, name), Table)]

    @property
    def of_vendor(self) -> bool:
        """Whether all of it is the vendor's word, a request with its answer among it."""
        whole = self.verify is not None or (self.token_request is not None and self.token_answer is not None)
        return whole and all(table.source_kind == "vendor" for table in self.tables)


def read(path: Path) -> Documented:
    """One file. Raises msgspec.ValidationError for what the format does not know."""
    return msgspec.toml.decode(path.read_bytes(), type=Documented)


def everything() -> dict[str, Documented]:
    """Every file, by its provider's id."""
    return {path.stem: read(path) for path in sorted(FOLDER.glob("*.toml"))}
