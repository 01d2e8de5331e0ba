"""What a provider file says: the typed shape of `catalogue/<id>.toml`.

Texts may hold placeholders, `{name}`: a field's name, a name that a field's choices give, `access_token`, `refresh_token`,
`client_id`, `client_secret`, or what an answer or callback was asked to keep. Paths into an answer are dotted, with `[0]` for
a list's element: `data.viewer.email`, `[0].name`. Places are where the web app's row keeps a value: `access_token`,
`refresh_token`, or `metadata.NAME`.
"""

from enum import StrEnum
from typing import Any, Literal

from msgspec import Struct, field

ACCESS, REFRESH = "access_token", "refresh_token"


class Category(StrEnum):
    """The groups that the web app shows providers in."""

    COMMUNICATION = "communication"
    CALENDAR = "calendar"
    CRM = "crm"
    PROJECT_MANAGEMENT = "project-management"
    DEVELOPMENT = "development"
    MONITORING = "monitoring"
    DOCUMENTATION = "documentation"
    FINANCE = "finance"
    HR = "hr"
    SUPPORT_MARKETING = "support-marketing"


class Kind(StrEnum):
    """How `connect` authorises unless it is told otherwise."""

    OAUTH2_CODE = "oauth2_code"
    DEVICE = "device"
    CLIENT_CREDENTIALS = "client_credentials"
    API_KEY = "api_key"
    BASIC = "basic"
    TOKEN_PAIR = "token_pair"  # noqa: S105 (a kind, no secret)
    SESSION_LOGIN = "session_login"
    LOCAL_BRIDGE = "local_bridge"


class Shape(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a provider file: what it does not know is a typing error."""


class Field(Shape, frozen=True):
    """One thing that a person gives: a credential, or a part of an address. `stored`: its place in the row; secrets are sealed there."""

    label: str
    secret: bool = False
    required: bool = True
    default: str | None = None
    pattern: str | None = None  # what the whole value must match
    env: str | None = None  # a setting that holds it
    hint: str | None = None  # where a person finds it
    stored: str | None = None  # None: `metadata.<name>`, which no secret may take
    choices: dict[str, dict[str, str]] = {}  # a choice's name → the placeholders that it gives


class Request(Shape, frozen=True):
    """One HTTP request, and what its answer must hold. A table within `form` is sent as JSON text; `basic` is user and password."""

    url: str
    method: Literal["GET", "POST", "DELETE", "PUT", "PATCH"] = "GET"
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    form: dict[str, Any] = {}
    json: Any = None
    basic: tuple[str, str] | None = None
    ok: dict[str, Any] = {}  # path → what stands there; "*": anything but nothing (null, "", [], {})


class Preference(Shape, frozen=True):
    """Which elements of a list in an answer come first: those in which `by` holds `word`, as a part of a text or of a list's texts."""

    by: str  # path within an element
    word: str
    of: str = ""  # path of the list; the empty one is the whole answer


class Verify(Request, frozen=True):
    """The cheapest request that says whose credentials these are."""

    label: list[str] = []  # what a person knows the account by, with paths as placeholders; the first that can be filled
    account: str | None = None  # what never changes about the account, the same way
    scopes: str | None = None  # a path, where the answer lists what was granted
    kept: dict[str, str] = {}  # metadata's name → path: what the web app needs of the account to call the API (a tenant, a data centre)
    prefer: Preference | None = None  # applied to the answer before anything is read out of it
    instead: "Verify | None" = None  # asked where this is answered 400 or 403: the credentials are good, but may not see so much


class Login(Request, frozen=True):
    """The request that gives a session for credentials; `kept`: placeholder → path in its answer. A kept `access_token` is what the
    row's column of that name holds, with its expiry; it is renewed by logging in again."""

    kept: dict[str, str] = {}
    expires_in: str | None = None  # path, where the answer says how long
    lifetime: int | None = None  # seconds without use, where it does not


class Client(Shape, frozen=True):
    """The application as which `aura` asks: settings that hold its id and secret, and where a person registers it."""

    id: str
    secret: str | None = None
    register: str | None = None  # address of the page


class Redirect(Shape, frozen=True):
    """What redirect addresses a provider takes. `host` is how the loopback address must be spelt."""

    rule: Literal["any_port", "registered", "dev_only", "https_only", "unknown"]
    host: Literal["127.0.0.1", "localhost"] = "127.0.0.1"
    port: int | None = None  # where the provider prescribes one
    path: str | None = None
    note: str | None = None


class Refresh(Shape, frozen=True):
    """Whether and how an access token is renewed. `conditional`: where the answer held a refresh token. Lifetimes are seconds."""

    mode: Literal["never", "always", "conditional"]
    rotating: bool = False
    place: str = REFRESH  # where the refresh token is kept
    url: str | None = None  # None: the token address
    access_lifetime: int | None = None  # where the answer does not say; None: it does not expire
    refresh_lifetime: int | None = None  # from its issue
    idle_lifetime: int | None = None  # it dies when unused for so long
    params: dict[str, str] = {}
    scope: bool = False  # whether the request must name the scopes
    note: str | None = None


class Answer(Shape, frozen=True):
    """Where a token answer holds what. `ok` as in Request: answers that fail with status 200 are told by it."""

    secrets: dict[str, str] = field(default_factory=lambda: {ACCESS: "access_token", REFRESH: "refresh_token"})  # place → path; sealed
    expires_in: str = "expires_in"
    refresh_expires_in: str | None = None
    scope: str = "scope"
    scope_separator: str | None = None  # None: as in the request
    error: str = "error"
    ok: dict[str, Any] = {}
    kept: dict[str, str] = {}  # metadata's name → path; placeholders from then on


class OAuth(Shape, frozen=True):
    """OAuth 2.0 as this provider speaks it."""

    token_url: str
    redirect: Redirect | None = None
    authorize_url: str | None = None  # None: no consent page (client credentials alone)
    device_url: str | None = None
    scopes: list[str] = []
    scope_separator: str = " "
    scope_param: str = "scope"
    authorize_params: dict[str, str] = {}
    token_params: dict[str, str] = {}
    token_headers: dict[str, str] = {}
    pkce: Literal["required", "supported", "none"] = "supported"
    client_auth: Literal["client_secret_post", "client_secret_basic", "none"] = "client_secret_post"
    token_body: Literal["form", "json"] = "form"  # noqa: S105 (a notation)
    refresh: Refresh = Refresh("never")
    answer: Answer = Answer()
    callback: dict[str, str] = {}  # metadata's name → parameter of the callback
    revoke: Request | None = None


class Credentials(Shape, frozen=True):
    """What a person gives by hand, beside the provider's own fields; `verify` and `login` where they are not the provider's."""

    fields: dict[str, Field]
    verify: Verify | None = None
    login: Login | None = None
    revoke: Request | None = None
    where: str | None = None  # address of the page where they are made


class Limits(Shape, frozen=True):
    """What the provider allows us: requests a second, requests at once."""

    per_second: float | None = None
    at_once: int | None = None


class Trap(Shape, frozen=True):
    """Something that surprises, and who says so."""

    note: str
    source: str | None = None


class Provider(Shape, frozen=True):
    """One of the services that can be connected. `provider` is the web app's value in its row, which several may share."""

    id: str
    name: str
    category: Category
    provider: str
    kind: Kind
    verify: Verify
    client: Client | None = None
    fields: dict[str, Field] = {}  # needed however one connects
    oauth: OAuth | None = None
    credentials: Credentials | None = None
    limits: Limits = Limits()
    quirks: list[str] = []  # names in `quirks.py`
    setup: list[str] = []  # what a person does before connecting, a step each
    traps: list[Trap] = []
    sources: list[str] = []
    confidence: Literal["high", "medium"] = "high"
    looked_up: str | None = None  # for medium: what was looked up, when, with what result
