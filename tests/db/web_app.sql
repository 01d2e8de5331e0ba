-- The web app's database as its own tool makes it: the shared tables, those that aura leaves alone, some things that
-- grew over time (a column, indexes, an identity), and rows.
CREATE TYPE subscription_status AS ENUM ('trialing', 'active', 'past_due', 'canceled', 'unpaid');
CREATE TYPE team_role AS ENUM ('owner', 'admin', 'member', 'viewer');
CREATE TYPE team_invite_status AS ENUM ('pending', 'accepted', 'expired', 'revoked');
CREATE TYPE audit_log_category AS ENUM ('agent', 'communication', 'calendar', 'pipeline', 'integration', 'system', 'billing');
CREATE TYPE agent_status AS ENUM ('draft', 'live');

CREATE TABLE users (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    privy_user_id text NOT NULL UNIQUE,
    email text,
    name text,
    avatar_url text,
    stripe_customer_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    theme text NOT NULL DEFAULT 'dark'
);
CREATE TABLE agents (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    status agent_status NOT NULL DEFAULT 'draft'
);
CREATE TABLE subscriptions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    stripe_subscription_id text NOT NULL UNIQUE,
    stripe_price_id text,
    status subscription_status NOT NULL DEFAULT 'trialing',
    current_period_start timestamptz,
    current_period_end timestamptz,
    trial_end timestamptz,
    cancel_at_period_end boolean DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE integrations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    provider text NOT NULL,
    access_token text,
    refresh_token text,
    token_expiry timestamptz,
    scopes text[],
    metadata jsonb,
    connected_at timestamptz DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX integrations_by_age ON integrations (created_at);
CREATE UNIQUE INDEX one_live_token ON integrations (access_token) WHERE token_expiry IS NULL;
CREATE TABLE team_members (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    workspace_owner_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    role team_role NOT NULL DEFAULT 'member',
    joined_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE team_invites (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_owner_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    email text NOT NULL,
    role team_role NOT NULL DEFAULT 'member',
    status team_invite_status NOT NULL DEFAULT 'pending',
    token text NOT NULL UNIQUE,
    expires_at timestamptz NOT NULL,
    accepted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE audit_logs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    agent_id uuid REFERENCES agents ON DELETE SET NULL,
    category audit_log_category NOT NULL,
    action text NOT NULL,
    description text NOT NULL,
    metadata jsonb,
    status text NOT NULL DEFAULT 'success',
    ip_address text,
    user_agent text,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE token_balances (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    balance int NOT NULL DEFAULT 0,
    monthly_allocation int NOT NULL DEFAULT 10000000,
    total_used int NOT NULL DEFAULT 0,
    total_purchased int NOT NULL DEFAULT 0,
    last_reset_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX token_balances_user ON token_balances (user_id);
CREATE TABLE token_top_ups (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    stripe_session_id text,
    tokens_added int NOT NULL,
    amount_paid int NOT NULL,
    package_id text,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE agent_instances (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), agent_id uuid NOT NULL REFERENCES agents);
CREATE TABLE channels (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, agent_id uuid REFERENCES agents ON DELETE CASCADE);
CREATE TABLE provisioning_jobs (id serial PRIMARY KEY, instance_id uuid REFERENCES agent_instances);
CREATE TABLE voice_settings (agent_id uuid PRIMARY KEY REFERENCES agents, voice text);
CREATE TABLE agent_templates (name text PRIMARY KEY, body jsonb);
CREATE TABLE call_logs (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid REFERENCES users, started timestamp);
CREATE TABLE waitlist (email varchar(320) PRIMARY KEY);
CREATE VIEW payers AS SELECT user_id FROM subscriptions WHERE status = 'active';

INSERT INTO users (id, privy_user_id, email, stripe_customer_id)
    SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid, 'did:privy:' || n, 'person' || n || '@example.com', 'cus_' || n
    FROM generate_series(1, 9) n;
INSERT INTO agents (id, user_id) SELECT id, id FROM users;
INSERT INTO subscriptions (user_id, stripe_subscription_id, status) SELECT id, 'sub_' || privy_user_id, 'active' FROM users;
INSERT INTO integrations (user_id, provider, scopes, metadata)
    SELECT id, 'github', '{repo,user}', '{"login": "person"}' FROM users, generate_series(1, 2);
INSERT INTO audit_logs (user_id, agent_id, category, action, description) SELECT id, id, 'agent', 'started', 'An agent started' FROM users;
INSERT INTO token_balances (user_id, balance) SELECT id, 5 FROM users;
INSERT INTO waitlist VALUES ('someone@example.com');
