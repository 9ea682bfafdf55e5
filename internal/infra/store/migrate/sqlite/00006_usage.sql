-- What was used, kept and not counted: sums for each organization and hour, written in the transaction that gives the
-- audit entries which they count their places. hour is the hour's first microsecond, durations are microseconds.

-- +goose Up
CREATE TABLE usage_call (
    org        TEXT    NOT NULL,
    hour       INTEGER NOT NULL,
    calls      INTEGER NOT NULL,
    success    INTEGER NOT NULL,
    errors     INTEGER NOT NULL,
    micros     INTEGER NOT NULL,
    max_micros INTEGER NOT NULL,
    PRIMARY KEY (org, hour)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_call_hour ON usage_call (hour);

-- The hour that is being counted lies beside the log's edge, in a row that every batch of entries writes anyway: counting
-- touches no further page. Once an entry of a later hour comes, it moves to usage_call.
ALTER TABLE log_state ADD COLUMN use_hour INTEGER NOT NULL DEFAULT 0;
ALTER TABLE log_state ADD COLUMN calls INTEGER NOT NULL DEFAULT 0;
ALTER TABLE log_state ADD COLUMN success INTEGER NOT NULL DEFAULT 0;
ALTER TABLE log_state ADD COLUMN errors INTEGER NOT NULL DEFAULT 0;
ALTER TABLE log_state ADD COLUMN micros INTEGER NOT NULL DEFAULT 0;
ALTER TABLE log_state ADD COLUMN max_micros INTEGER NOT NULL DEFAULT 0;

-- submitted and returned count in the hour of the submission, the rest in that of the end. Each is counted twice: in a
-- row of its hour (hours = 1) and in one of its UTC day (hours = 24), so that long periods read few rows.
CREATE TABLE usage_scan (
    org       TEXT    NOT NULL,
    hours     INTEGER NOT NULL,
    hour      INTEGER NOT NULL,
    engine    TEXT    NOT NULL,
    submitted INTEGER NOT NULL,
    returned  INTEGER NOT NULL,
    completed INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    ran       INTEGER NOT NULL,
    micros    INTEGER NOT NULL,
    findings  INTEGER NOT NULL,
    PRIMARY KEY (org, hours, hour, engine)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_scan_hour ON usage_scan (hour);

-- Entries from before there were counters: those with next_idx <= idx < end_idx are still to be counted.
CREATE TABLE usage_fill (
    org      TEXT    NOT NULL PRIMARY KEY,
    next_idx INTEGER NOT NULL,
    end_idx  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO usage_fill (org, next_idx, end_idx)
SELECT s.org, coalesce((SELECT max(d.last_idx) + 1 FROM log_drop d WHERE d.org = s.org), 0), s.size FROM log_state s;

INSERT INTO usage_scan (org, hours, hour, engine, submitted, returned, completed, failed, cancelled, ran, micros, findings)
SELECT org, 1, hour, engine, sum(submitted), 0, sum(completed), sum(failed), sum(cancelled), sum(ran), sum(micros), sum(findings)
FROM (
    SELECT org, created_at - created_at % 3600000000 AS hour, engine, 1 AS submitted, 0 AS completed, 0 AS failed,
           0 AS cancelled, 0 AS ran, 0 AS micros, 0 AS findings
    FROM scan
    UNION ALL
    SELECT org, ended_at - ended_at % 3600000000, engine, 0, status = 'completed', status = 'failed',
           status = 'cancelled', started_at <> 0, CASE WHEN started_at <> 0 THEN max(ended_at - started_at, 0) ELSE 0 END,
           coalesce(json_extract(summary, '$.total'), 0)
    FROM scan WHERE ended_at <> 0
) AS s GROUP BY org, hour, engine;

INSERT INTO usage_scan (org, hours, hour, engine, submitted, returned, completed, failed, cancelled, ran, micros, findings)
SELECT org, 24, hour - hour % 86400000000 AS day, engine, sum(submitted), 0, sum(completed), sum(failed), sum(cancelled), sum(ran),
       sum(micros), sum(findings)
FROM usage_scan GROUP BY org, day, engine;
