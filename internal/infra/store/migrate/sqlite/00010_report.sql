-- Recurring reports: definitions, and one row for each making of one.
--
-- next_at is the next due time of an enabled report, 0 where nothing is due. mark_at is the end of the period that its
-- last counting run told of. A run is open while it is queued or running; hold_until is until when it must not be begun
-- by anybody else. asked_by is NULL for what was due.

-- +goose Up
CREATE TABLE report (
    org        TEXT    NOT NULL REFERENCES organization (org) ON DELETE CASCADE,
    id         TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    format     TEXT    NOT NULL,
    filter     TEXT    NOT NULL,
    schedule   TEXT,
    enabled    INTEGER NOT NULL,
    stopped    TEXT,
    owner      TEXT    NOT NULL,
    created_by TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    next_at    INTEGER NOT NULL DEFAULT 0,
    mark_at    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (org, id)
) STRICT;
CREATE INDEX report_due ON report (next_at) WHERE next_at <> 0;

CREATE TABLE report_run (
    org        TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    report     TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    format     TEXT    NOT NULL,
    status     TEXT    NOT NULL,
    asked_by   TEXT,
    due        INTEGER NOT NULL,
    from_at    INTEGER NOT NULL,
    to_at      INTEGER NOT NULL,
    attempt    INTEGER NOT NULL DEFAULT 0,
    fence      INTEGER NOT NULL DEFAULT 0,
    hold_until INTEGER NOT NULL DEFAULT 0,
    started_at INTEGER NOT NULL DEFAULT 0,
    ended_at   INTEGER NOT NULL DEFAULT 0,
    counts     TEXT    NOT NULL DEFAULT '{}',
    size       INTEGER NOT NULL DEFAULT 0,
    sha256     TEXT,
    error      TEXT,
    PRIMARY KEY (org, id),
    FOREIGN KEY (org, report) REFERENCES report (org, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX report_run_list ON report_run (org, report, id);
-- A due time has one run; so has a question, until it is answered.
CREATE UNIQUE INDEX report_run_due ON report_run (org, report, due) WHERE asked_by IS NULL;
CREATE UNIQUE INDEX report_run_asked ON report_run (org, report) WHERE asked_by IS NOT NULL AND ended_at = 0;
CREATE INDEX report_run_ended ON report_run (ended_at) WHERE ended_at <> 0;
CREATE INDEX report_run_open ON report_run (hold_until) WHERE ended_at = 0;
CREATE INDEX report_run_digest ON report_run (org, sha256) WHERE sha256 IS NOT NULL;
