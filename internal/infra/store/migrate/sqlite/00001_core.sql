-- +goose Up

-- One row per audit entry. leaf is what the log proves, leaf_hash its RFC 6962 hash as it was when written: where a leaf was
-- altered, the two tell which. Salt, address, agent and name are the personal data beside it; erasing sets all four to
-- NULL. idx is the place in the organization's log; here it is known when the row is written.
CREATE TABLE audit_entry (
    id             TEXT    NOT NULL,
    org            TEXT    NOT NULL,
    idx            INTEGER,
    at             INTEGER NOT NULL,
    leaf           BLOB    NOT NULL,
    leaf_hash      BLOB    NOT NULL,
    salt           BLOB,
    client_address TEXT,
    user_agent     TEXT,
    actor_name     TEXT
);
CREATE UNIQUE INDEX audit_entry_id ON audit_entry (id);
CREATE UNIQUE INDEX audit_entry_idx ON audit_entry (org, idx);

-- Complete subtrees of level 1 and above; level 0 are the leaf hashes.
CREATE TABLE log_node (
    org   TEXT    NOT NULL,
    level INTEGER NOT NULL,
    idx   INTEGER NOT NULL,
    hash  BLOB    NOT NULL,
    PRIMARY KEY (org, level, idx)
) WITHOUT ROWID;

-- The growing edge of each organization's log.
CREATE TABLE log_state (
    org   TEXT    NOT NULL PRIMARY KEY,
    size  INTEGER NOT NULL,
    state BLOB    NOT NULL
) WITHOUT ROWID;

-- AUTOINCREMENT, so that a position is never given twice, also when the newest rows were pruned.
CREATE TABLE outbox (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    org     TEXT    NOT NULL,
    type    TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    data    TEXT    NOT NULL
);
CREATE INDEX outbox_subject ON outbox (org, subject, seq);

CREATE TABLE idempotency (
    org           TEXT    NOT NULL,
    principal     TEXT    NOT NULL,
    route         TEXT    NOT NULL,
    key           TEXT    NOT NULL,
    body          BLOB    NOT NULL,
    status        INTEGER NOT NULL,
    resource_kind TEXT    NOT NULL,
    resource_id   TEXT    NOT NULL,
    at            INTEGER NOT NULL,
    PRIMARY KEY (org, principal, route, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_at ON idempotency (at);

-- Fixed windows: the start of each in Unix seconds and the calls in it. Keys are principals and addresses.
CREATE TABLE window_counter (
    key     TEXT    NOT NULL PRIMARY KEY,
    min_at  INTEGER NOT NULL,
    min_n   INTEGER NOT NULL,
    hour_at INTEGER NOT NULL,
    hour_n  INTEGER NOT NULL,
    day_at  INTEGER NOT NULL,
    day_n   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX window_counter_day ON window_counter (day_at);

-- Checksums of the applied migration files.
CREATE TABLE schema_file (
    version INTEGER NOT NULL PRIMARY KEY,
    sha256  TEXT    NOT NULL
);
