"""The web app's tables, exactly as it describes them. `aura` reads and writes their rows and never their shape.

No index, constraint or column of ours stands here, and nothing of ours references them.
"""

from sqlalchemy import Boolean, Column, Enum, ForeignKey, Integer, MetaData, Table, Text, false, text

from aura_cli.db.types import Id, Json, TextList, UtcTime, new_id, utc_now

METADATA = MetaData()
PUBLIC = "public"
OPS = "aura_ops"

MONTHLY_ALLOCATION = 10_000_000
LARGEST = 2_147_483_647  # its balances, tokens and cents are 32-bit integers

subscription_status = Enum("trialing", "active", "past_due", "canceled", "unpaid", name="subscription_status", schema=PUBLIC)
team_role = Enum("owner", "admin", "member", "viewer", name="team_role", schema=PUBLIC)
team_invite_status = Enum("pending", "accepted", "expired", "revoked", name="team_invite_status", schema=PUBLIC)
audit_log_category = Enum(
    "agent", "communication", "calendar", "pipeline", "integration", "system", "billing", name="audit_log_category", schema=PUBLIC
)


def _id() -> Column[str]:
    return Column("id", Id, primary_key=True, server_default=new_id())


def _user(name: str = "user_id", *, unique: bool = False) -> Column[str]:
    return Column(name, Id, ForeignKey("public.users.id", ondelete="CASCADE"), nullable=False, unique=unique)


def _now(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, UtcTime(), server_default=utc_now(), nullable=nullable)


users = Table(
    "users",
    METADATA,
    _id(),
    Column("privy_user_id", Text, nullable=False, unique=True),
    Column("email", Text),
    Column("name", Text),
    Column("avatar_url", Text),
    Column("stripe_customer_id", Text),
    _now("created_at"),
    _now("updated_at"),
    schema=PUBLIC,
)
subscriptions = Table(
    "subscriptions",
    METADATA,
    _id(),
    _user(),
    Column("stripe_subscription_id", Text, nullable=False, unique=True),
    Column("stripe_price_id", Text),
    Column("status", subscription_status, nullable=False, server_default="trialing"),
    Column("current_period_start", UtcTime()),
    Column("current_period_end", UtcTime()),
    Column("trial_end", UtcTime()),
    Column("cancel_at_period_end", Boolean, server_default=false()),
    _now("created_at"),
    _now("updated_at"),
    schema=PUBLIC,
)
integrations = Table(
    "integrations",
    METADATA,
    _id(),
    _user(),
    Column("provider", Text, nullable=False),
    Column("access_token", Text),
    Column("refresh_token", Text),
    Column("token_expiry", UtcTime()),
    Column("scopes", TextList),
    Column("metadata", Json),
    _now("connected_at", nullable=True),
    _now("created_at"),
    _now("updated_at"),
    schema=PUBLIC,
)
team_members = Table(
    "team_members",
    METADATA,
    _id(),
    _user(),
    _user("workspace_owner_id"),
    Column("role", team_role, nullable=False, server_default="member"),
    _now("joined_at"),
    _now("created_at"),
    _now("updated_at"),
    schema=PUBLIC,
)
team_invites = Table(
    "team_invites",
    METADATA,
    _id(),
    _user("workspace_owner_id"),
    Column("email", Text, nullable=False),
    Column("role", team_role, nullable=False, server_default="member"),
    Column("status", team_invite_status, nullable=False, server_default="pending"),
    Column("token", Text, nullable=False, unique=True),
    Column("expires_at", UtcTime(), nullable=False),
    Column("accepted_at", UtcTime()),
    _now("created_at"),
    schema=PUBLIC,
)
audit_logs = Table(
    "audit_logs",
    METADATA,
    _id(),
    _user(),
    Column("agent_id", Id),
    Column("category", audit_log_category, nullable=False),
    Column("action", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("metadata", Json),
    Column("status", Text, nullable=False, server_default="success"),
    Column("ip_address", Text),
    Column("user_agent", Text),
    _now("created_at"),
    schema=PUBLIC,
)
token_balances = Table(
    "token_balances",
    METADATA,
    _id(),
    _user(unique=True),
    Column("balance", Integer, nullable=False, server_default="0"),
    Column("monthly_allocation", Integer, nullable=False, server_default=text(str(MONTHLY_ALLOCATION))),
    Column("total_used", Integer, nullable=False, server_default="0"),
    Column("total_purchased", Integer, nullable=False, server_default="0"),
    Column("last_reset_at", UtcTime()),
    _now("updated_at"),
    schema=PUBLIC,
)
token_top_ups = Table(
    "token_top_ups",
    METADATA,
    _id(),
    _user(),
    Column("stripe_session_id", Text),
    Column("tokens_added", Integer, nullable=False),
    Column("amount_paid", Integer, nullable=False),
    Column("package_id", Text),
    _now("created_at"),
    schema=PUBLIC,
)
SHARED = (users, subscriptions, integrations, team_members, team_invites, audit_logs, token_balances, token_top_ups)
