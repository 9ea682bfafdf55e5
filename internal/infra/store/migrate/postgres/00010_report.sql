-- Recurring reports: definitions, and one row for each making of one.
--
-- next_at is the next due time of an enabled report, 0 where nothing is due. mark_at is the end of the period that its
-- last counting run told of. A run is open while it is queued or running; hold_until is until when it must not be begun
-- by anybody else. asked_by is NULL for what was due.

-- +goose Up
CREATE TABLE report (
    org        TEXT COLLATE "C" NOT NULL REFERENCES organization (org) ON DELETE CASCADE,
    id         TEXT COLLATE "C" NOT NULL,
    name       TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    format     TEXT    NOT NULL,
    filter     TEXT    NOT NULL,
    schedule   TEXT,
    enabled    BIGINT NOT NULL,
    stopped    TEXT,
    owner      TEXT    NOT NULL,
    created_by TEXT    NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    next_at    BIGINT NOT NULL DEFAULT 0,
    mark_at    BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (org, id)
);
CREATE INDEX report_due ON report (next_at) WHERE next_at <> 0;
SELECT assay_isolate('report');

CREATE TABLE report_run (
    org        TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    report     TEXT COLLATE "C" NOT NULL,
    kind       TEXT    NOT NULL,
    format     TEXT    NOT NULL,
    status     TEXT    NOT NULL,
    asked_by   TEXT,
    due        BIGINT NOT NULL,
    from_at    BIGINT NOT NULL,
    to_at      BIGINT NOT NULL,
    attempt    BIGINT NOT NULL DEFAULT 0,
    fence      BIGINT NOT NULL DEFAULT 0,
    hold_until BIGINT NOT NULL DEFAULT 0,
    started_at BIGINT NOT NULL DEFAULT 0,
    ended_at   BIGINT NOT NULL DEFAULT 0,
    counts     TEXT    NOT NULL DEFAULT '{}',
    size       BIGINT NOT NULL DEFAULT 0,
    sha256     TEXT,
    error      TEXT,
    PRIMARY KEY (org, id),
    FOREIGN KEY (org, report) REFERENCES report (org, id) ON DELETE CASCADE
);
CREATE INDEX report_run_list ON report_run (org, report, id);
-- A due time has one run; so has a question, until it is answered.
CREATE UNIQUE INDEX report_run_due ON report_run (org, report, due) WHERE asked_by IS NULL;
CREATE UNIQUE INDEX report_run_asked ON report_run (org, report) WHERE asked_by IS NOT NULL AND ended_at = 0;
CREATE INDEX report_run_ended ON report_run (ended_at) WHERE ended_at <> 0;
CREATE INDEX report_run_open ON report_run (hold_until) WHERE ended_at = 0;
CREATE INDEX report_run_digest ON report_run (org, sha256) WHERE sha256 IS NOT NULL;
SELECT assay_isolate('report_run');
