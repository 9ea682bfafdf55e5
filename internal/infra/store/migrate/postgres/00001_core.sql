-- +goose Up

-- Row-level security as a second belt: a transaction sees the organization it names in app.org, and all of them only
-- when it names '*'. FORCE, because the server's role may own the tables. Every table with a column org gets it.
-- +goose StatementBegin
CREATE FUNCTION assay_isolate(t regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY one_organization ON %s
        USING (org = (SELECT current_setting(''app.org'', true)) OR (SELECT current_setting(''app.org'', true)) = ''*'')
        WITH CHECK (org = (SELECT current_setting(''app.org'', true)) OR (SELECT current_setting(''app.org'', true)) = ''*'')', t);
END
$$;
-- +goose StatementEnd

-- One row per audit entry. leaf is what the log proves; address, agent and name lie beside it as plain text and may be
-- erased (NULL). idx is the place in the organization's log, NULL until the sequencer has given it; n is the order in
-- which it does.
CREATE TABLE audit_entry (
    id             TEXT   NOT NULL PRIMARY KEY,
    org            TEXT   NOT NULL,
    idx            BIGINT,
    at             BIGINT NOT NULL,
    leaf           BYTEA  NOT NULL,
    salt           BYTEA  NOT NULL,
    client_address TEXT,
    user_agent     TEXT,
    actor_name     TEXT,
    n              BIGSERIAL
);
CREATE UNIQUE INDEX audit_entry_idx ON audit_entry (org, idx);
CREATE INDEX audit_entry_pending ON audit_entry (n) WHERE idx IS NULL;
SELECT assay_isolate('audit_entry');

-- Complete subtrees of level 1 and above; level 0 is computed from the leaves.
CREATE TABLE log_node (
    org   TEXT   NOT NULL,
    level BIGINT NOT NULL,
    idx   BIGINT NOT NULL,
    hash  BYTEA  NOT NULL,
    PRIMARY KEY (org, level, idx)
);
SELECT assay_isolate('log_node');

-- The growing edge of each organization's log.
CREATE TABLE log_state (
    org   TEXT   NOT NULL PRIMARY KEY,
    size  BIGINT NOT NULL,
    state BYTEA  NOT NULL
);
SELECT assay_isolate('log_state');

-- seq is given by the sequencer after the commit, NULL until then: numbers given inside concurrent transactions become
-- visible out of order, and a reader that remembers the last one would miss rows.
CREATE TABLE outbox (
    n       BIGSERIAL PRIMARY KEY,
    seq     BIGINT UNIQUE,
    org     TEXT   NOT NULL,
    type    TEXT   NOT NULL,
    subject TEXT   NOT NULL,
    at      BIGINT NOT NULL,
    data    TEXT   NOT NULL
);
CREATE INDEX outbox_subject ON outbox (org, subject, seq);
CREATE INDEX outbox_pending ON outbox (n) WHERE seq IS NULL;
CREATE SEQUENCE outbox_seq;
SELECT assay_isolate('outbox');

CREATE TABLE idempotency (
    org           TEXT   NOT NULL,
    principal     TEXT   NOT NULL,
    route         TEXT   NOT NULL,
    key           TEXT   NOT NULL,
    body          BYTEA  NOT NULL,
    status        BIGINT NOT NULL,
    resource_kind TEXT   NOT NULL,
    resource_id   TEXT   NOT NULL,
    at            BIGINT NOT NULL,
    PRIMARY KEY (org, principal, route, key)
);
CREATE INDEX idempotency_at ON idempotency (at);
SELECT assay_isolate('idempotency');

-- Fixed windows: the start of each in microseconds and the calls in it. Keys are principals and addresses. The free
-- half of each page lets a counter grow in place (HOT updates).
CREATE TABLE window_counter (
    key     TEXT   NOT NULL PRIMARY KEY,
    min_at  BIGINT NOT NULL,
    min_n   BIGINT NOT NULL,
    hour_at BIGINT NOT NULL,
    hour_n  BIGINT NOT NULL,
    day_at  BIGINT NOT NULL,
    day_n   BIGINT NOT NULL
) WITH (fillfactor = 50);

-- Checksums of the applied migration files.
CREATE TABLE schema_file (
    version BIGINT NOT NULL PRIMARY KEY,
    sha256  TEXT   NOT NULL
);
