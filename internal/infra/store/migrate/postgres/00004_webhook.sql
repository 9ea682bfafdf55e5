-- Webhooks, callbacks of scans, and what is owed to their receivers.
--
-- An event that somebody is owed is kept once (hook_event): its id and its exact bytes stay the same over all tries.
-- hook_delivery is one receiver's claim on it, hook_attempt one try. Deliveries name their webhook without a key: there
-- are many, and who deletes a webhook removes them in chunks. Ids rise with time, so that keys are the order of lists
-- and retention is a range of each.

-- +goose Up
CREATE TABLE webhook (
    org            TEXT COLLATE "C" NOT NULL REFERENCES organization (org) ON DELETE CASCADE,
    id             TEXT COLLATE "C" NOT NULL,
    name           TEXT COLLATE "C" NOT NULL,
    note           TEXT    NOT NULL,
    url            TEXT    NOT NULL,
    events         TEXT    NOT NULL,
    -- why nothing is delivered: user, gone, failing; NULL while it is
    stop           TEXT,
    failures       BIGINT  NOT NULL DEFAULT 0,
    failing_since  BIGINT  NOT NULL DEFAULT 0,
    last_at        BIGINT  NOT NULL DEFAULT 0,
    last_ok_at     BIGINT  NOT NULL DEFAULT 0,
    created_by     TEXT    NOT NULL,
    created_at     BIGINT  NOT NULL,
    updated_at     BIGINT  NOT NULL,
    sealed         BYTEA   NOT NULL,
    -- the secret before the last rotation, which signs too until then
    previous       BYTEA,
    previous_until BIGINT  NOT NULL DEFAULT 0,
    PRIMARY KEY (org, id)
);
SELECT assay_isolate('webhook');
CREATE UNIQUE INDEX webhook_id ON webhook (id);

-- Where the end of a scan is told to.
CREATE TABLE scan_callback (
    org  TEXT COLLATE "C" NOT NULL,
    scan TEXT COLLATE "C" NOT NULL,
    url  TEXT NOT NULL,
    PRIMARY KEY (org, scan),
    FOREIGN KEY (org, scan) REFERENCES scan (org, id) ON DELETE CASCADE
);
SELECT assay_isolate('scan_callback');

CREATE TABLE hook_event (
    org  TEXT COLLATE "C" NOT NULL,
    id   TEXT COLLATE "C" NOT NULL,
    type TEXT    NOT NULL,
    at   BIGINT  NOT NULL,
    body BYTEA   NOT NULL,
    PRIMARY KEY (org, id)
);
SELECT assay_isolate('hook_event');

CREATE TABLE hook_delivery (
    org        TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    -- a webhook's id, or NULL: then scan says whose callback it is
    hook       TEXT COLLATE "C",
    scan       TEXT COLLATE "C",
    -- the line in front of one receiver; a webhook's id, or made from a callback's address
    lane       TEXT COLLATE "C" NOT NULL,
    event      TEXT COLLATE "C" NOT NULL,
    type       TEXT    NOT NULL,
    state      TEXT COLLATE "C" NOT NULL,
    attempts   BIGINT  NOT NULL DEFAULT 0,
    -- tries since it was made or redelivered: the place in the schedule
    tries      BIGINT  NOT NULL DEFAULT 0,
    due        BIGINT  NOT NULL,
    -- until when it is some sender's; 0 = nobody's
    lease      BIGINT  NOT NULL DEFAULT 0,
    created_at BIGINT  NOT NULL,
    PRIMARY KEY (org, id)
);
SELECT assay_isolate('hook_delivery');
CREATE INDEX hook_delivery_hook ON hook_delivery (org, hook, id) WHERE hook IS NOT NULL;
CREATE INDEX hook_delivery_scan ON hook_delivery (org, scan, id) WHERE scan IS NOT NULL;
CREATE INDEX hook_delivery_state ON hook_delivery (org, hook, state, id) WHERE state <> 'delivered';
-- The lines of all organizations; lanes are unique on the server.
CREATE INDEX hook_delivery_due ON hook_delivery (lane, due, id, org) WHERE state = 'pending';

CREATE TABLE hook_attempt (
    org      TEXT COLLATE "C" NOT NULL,
    delivery TEXT COLLATE "C" NOT NULL,
    n        BIGINT  NOT NULL,
    at       BIGINT  NOT NULL,
    took     BIGINT  NOT NULL,
    status   BIGINT  NOT NULL,
    error    TEXT,
    answer   TEXT,
    PRIMARY KEY (org, delivery, n)
);
SELECT assay_isolate('hook_attempt');

-- How far each reader of the outbox has come. Events are kept until all of them have seen them.
CREATE TABLE outbox_cursor (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    seq  BIGINT  NOT NULL
);
INSERT INTO outbox_cursor (name, seq) SELECT 'webhooks', coalesce(max(seq), 0) FROM outbox;
