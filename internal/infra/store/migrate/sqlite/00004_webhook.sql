-- Webhooks, callbacks of scans, and what is owed to their receivers.
--
-- An event that somebody is owed is kept once (hook_event): its id and its exact bytes stay the same over all tries.
-- hook_delivery is one receiver's claim on it, hook_attempt one try. Deliveries name their webhook without a key: there
-- are many, and who deletes a webhook removes them in chunks. Ids rise with time, so that keys are the order of lists
-- and retention is a range of each.

-- +goose Up
CREATE TABLE webhook (
    org            TEXT    NOT NULL REFERENCES organization (org) ON DELETE CASCADE,
    id             TEXT    NOT NULL,
    name           TEXT    NOT NULL,
    note           TEXT    NOT NULL,
    url            TEXT    NOT NULL,
    events         TEXT    NOT NULL,
    -- why nothing is delivered: user, gone, failing; NULL while it is
    stop           TEXT,
    failures       INTEGER NOT NULL DEFAULT 0,
    failing_since  INTEGER NOT NULL DEFAULT 0,
    last_at        INTEGER NOT NULL DEFAULT 0,
    last_ok_at     INTEGER NOT NULL DEFAULT 0,
    created_by     TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    sealed         BLOB    NOT NULL,
    -- the secret before the last rotation, which signs too until then
    previous       BLOB,
    previous_until INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (org, id)
) STRICT;
CREATE UNIQUE INDEX webhook_id ON webhook (id);

-- Where the end of a scan is told to.
CREATE TABLE scan_callback (
    org  TEXT NOT NULL,
    scan TEXT NOT NULL,
    url  TEXT NOT NULL,
    PRIMARY KEY (org, scan),
    FOREIGN KEY (org, scan) REFERENCES scan (org, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE hook_event (
    org  TEXT    NOT NULL,
    id   TEXT    NOT NULL,
    type TEXT    NOT NULL,
    at   INTEGER NOT NULL,
    body BLOB    NOT NULL,
    PRIMARY KEY (org, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE hook_delivery (
    org        TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    -- a webhook's id, or NULL: then scan says whose callback it is
    hook       TEXT,
    scan       TEXT,
    -- the line in front of one receiver; a webhook's id, or made from a callback's address
    lane       TEXT    NOT NULL,
    event      TEXT    NOT NULL,
    type       TEXT    NOT NULL,
    state      TEXT    NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    -- tries since it was made or redelivered: the place in the schedule
    tries      INTEGER NOT NULL DEFAULT 0,
    due        INTEGER NOT NULL,
    -- until when it is some sender's; 0 = nobody's
    lease      INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (org, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX hook_delivery_hook ON hook_delivery (org, hook, id) WHERE hook IS NOT NULL;
CREATE INDEX hook_delivery_scan ON hook_delivery (org, scan, id) WHERE scan IS NOT NULL;
CREATE INDEX hook_delivery_state ON hook_delivery (org, hook, state, id) WHERE state <> 'delivered';
-- The lines of all organizations; lanes are unique on the server.
CREATE INDEX hook_delivery_due ON hook_delivery (lane, due, id, org) WHERE state = 'pending';

CREATE TABLE hook_attempt (
    org      TEXT    NOT NULL,
    delivery TEXT    NOT NULL,
    n        INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    took     INTEGER NOT NULL,
    status   INTEGER NOT NULL,
    error    TEXT,
    answer   TEXT,
    PRIMARY KEY (org, delivery, n)
) STRICT, WITHOUT ROWID;

-- How far each reader of the outbox has come. Events are kept until all of them have seen them.
CREATE TABLE outbox_cursor (
    name TEXT    NOT NULL PRIMARY KEY,
    seq  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO outbox_cursor (name, seq) SELECT 'webhooks', coalesce(max(seq), 0) FROM outbox;
