"""The web app's tables where they are absent; those that are present are left alone.

Frozen. Going down never touches them: they are not ours.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

ENUMS = {
    "subscription_status": ("trialing", "active", "past_due", "canceled", "unpaid"),
    "team_role": ("owner", "admin", "member", "viewer"),
    "team_invite_status": ("pending", "accepted", "expired", "revoked"),
    "audit_log_category": ("agent", "communication", "calendar", "pipeline", "integration", "system", "billing"),
}


def upgrade() -> None:
    bind = op.get_bind()
    schema = None if bind.dialect.name == "sqlite" else "public"
    present = set(sa.inspect(bind).get_table_names(schema=schema))
    for name, items in _tables(sqlite=schema is None).items():
        if name not in present:
            _make_enums(bind, items)
            op.create_table(name, *items, schema=schema)


def downgrade() -> None:
    pass


def _make_enums(bind: sa.Connection, items: list[sa.Column]) -> None:
    for column in items:
        if isinstance(column.type, postgresql.ENUM):
            postgresql.ENUM(*ENUMS[column.type.name], name=column.type.name, schema="public").create(bind, checkfirst=True)


def _tables(*, sqlite: bool) -> dict[str, list[sa.Column]]:
    uuid = sa.String(36) if sqlite else postgresql.UUID(as_uuid=False)
    time = sa.String(27) if sqlite else sa.DateTime(timezone=True)
    json = sa.JSON() if sqlite else postgresql.JSONB()
    texts = sa.JSON() if sqlite else postgresql.ARRAY(sa.Text())
    now = sa.text("(strftime('%Y-%m-%dT%H:%M:%f000Z','now'))" if sqlite else "now()")
    new_id = sa.text(
        "(lower(hex(randomblob(4))||'-'||hex(randomblob(2))||'-4'||substr(hex(randomblob(2)),2)||'-'"
        "||substr('89AB',1+(abs(random())%4),1)||substr(hex(randomblob(2)),2)||'-'||hex(randomblob(6))))"
        if sqlite
        else "gen_random_uuid()"
    )

    def row_id() -> sa.Column:
        return sa.Column("id", uuid, primary_key=True, server_default=new_id)

    def user(name: str = "user_id", *, unique: bool = False) -> sa.Column:
        target = "users.id" if sqlite else "public.users.id"
        return sa.Column(name, uuid, sa.ForeignKey(target, ondelete="CASCADE"), nullable=False, unique=unique)

    def text(name: str, *, nullable: bool = True, unique: bool = False, default: str | None = None) -> sa.Column:
        return sa.Column(name, sa.Text(), nullable=nullable, unique=unique, server_default=default)

    def enum(name: str, of: str, default: str | None = None) -> sa.Column:
        kind = sa.Enum(*ENUMS[of], name=of) if sqlite else postgresql.ENUM(*ENUMS[of], name=of, schema="public", create_type=False)
        return sa.Column(name, kind, nullable=False, server_default=default)

    def at(name: str) -> sa.Column:
        return sa.Column(name, time)

    def stamped(*names: str) -> list[sa.Column]:
        return [sa.Column(name, time, nullable=False, server_default=now) for name in names]

    def count(name: str, default: str | None = "0") -> sa.Column:
        return sa.Column(name, sa.Integer(), nullable=False, server_default=default)

    both = ("created_at", "updated_at")
    return {
        "users": [
            row_id(),
            text("privy_user_id", nullable=False, unique=True),
            *map(text, ("email", "name", "avatar_url", "stripe_customer_id")),
            *stamped(*both),
        ],
        "subscriptions": [
            row_id(),
            user(),
            text("stripe_subscription_id", nullable=False, unique=True),
            text("stripe_price_id"),
            enum("status", "subscription_status", "trialing"),
            *map(at, ("current_period_start", "current_period_end", "trial_end")),
            sa.Column("cancel_at_period_end", sa.Boolean(), server_default=sa.false()),
            *stamped(*both),
        ],
        "integrations": [
            row_id(),
            user(),
            text("provider", nullable=False),
            *map(text, ("access_token", "refresh_token")),
            at("token_expiry"),
            sa.Column("scopes", texts),
            sa.Column("metadata", json),
            sa.Column("connected_at", time, server_default=now),
            *stamped(*both),
        ],
        "team_members": [
            row_id(),
            user(),
            user("workspace_owner_id"),
            enum("role", "team_role", "member"),
            *stamped("joined_at", *both),
        ],
        "team_invites": [
            row_id(),
            user("workspace_owner_id"),
            text("email", nullable=False),
            enum("role", "team_role", "member"),
            enum("status", "team_invite_status", "pending"),
            text("token", nullable=False, unique=True),
            sa.Column("expires_at", time, nullable=False),
            at("accepted_at"),
            *stamped("created_at"),
        ],
        "audit_logs": [
            row_id(),
            user(),
            sa.Column("agent_id", uuid),
            enum("category", "audit_log_category"),
            text("action", nullable=False),
            text("description", nullable=False),
            sa.Column("metadata", json),
            text("status", nullable=False, default="success"),
            *map(text, ("ip_address", "user_agent")),
            *stamped("created_at"),
        ],
        "token_balances": [
            row_id(),
            user(unique=True),
            count("balance"),
            count("monthly_allocation", "10000000"),
            *map(count, ("total_used", "total_purchased")),
            at("last_reset_at"),
            *stamped("updated_at"),
        ],
        "token_top_ups": [
            row_id(),
            user(),
            text("stripe_session_id"),
            *(count(name, None) for name in ("tokens_added", "amount_paid")),
            text("package_id"),
            *stamped("created_at"),
        ],
    }
