-- What was used, kept and not counted: sums for each organization and hour, written by the sequencer in the transaction
-- that gives the audit entries which they count their places, so that no two units ever wait for one row. hour is the
-- hour's first microsecond, durations are microseconds.

-- +goose Up
CREATE TABLE usage_call (
    org        TEXT COLLATE "C" NOT NULL,
    hour       BIGINT NOT NULL,
    calls      BIGINT NOT NULL,
    success    BIGINT NOT NULL,
    errors     BIGINT NOT NULL,
    micros     BIGINT NOT NULL,
    max_micros BIGINT NOT NULL,
    PRIMARY KEY (org, hour)
) WITH (fillfactor = 50);
CREATE INDEX usage_call_hour ON usage_call (hour);
SELECT assay_isolate('usage_call');

-- The hour that is being counted lies beside the log's edge, in a row that every batch of entries writes anyway: counting
-- touches no further page. Once an entry of a later hour comes, it moves to usage_call.
ALTER TABLE log_state ADD COLUMN use_hour BIGINT NOT NULL DEFAULT 0;
ALTER TABLE log_state ADD COLUMN calls BIGINT NOT NULL DEFAULT 0;
ALTER TABLE log_state ADD COLUMN success BIGINT NOT NULL DEFAULT 0;
ALTER TABLE log_state ADD COLUMN errors BIGINT NOT NULL DEFAULT 0;
ALTER TABLE log_state ADD COLUMN micros BIGINT NOT NULL DEFAULT 0;
ALTER TABLE log_state ADD COLUMN max_micros BIGINT NOT NULL DEFAULT 0;

-- submitted and returned count in the hour of the submission, the rest in that of the end. Each is counted twice: in a
-- row of its hour (hours = 1) and in one of its UTC day (hours = 24), so that long periods read few rows.
CREATE TABLE usage_scan (
    org       TEXT COLLATE "C" NOT NULL,
    hours     BIGINT NOT NULL,
    hour      BIGINT NOT NULL,
    engine    TEXT COLLATE "C" NOT NULL,
    submitted BIGINT NOT NULL,
    returned  BIGINT NOT NULL,
    completed BIGINT NOT NULL,
    failed    BIGINT NOT NULL,
    cancelled BIGINT NOT NULL,
    ran       BIGINT NOT NULL,
    micros    BIGINT NOT NULL,
    findings  BIGINT NOT NULL,
    PRIMARY KEY (org, hours, hour, engine)
) WITH (fillfactor = 50);
CREATE INDEX usage_scan_hour ON usage_scan (hour);
SELECT assay_isolate('usage_scan');

-- What a unit has done to scans, beside its entry, until the sequencer has counted it. NULL in nearly every row.
ALTER TABLE audit_entry ADD COLUMN tally TEXT;

-- Entries from before there were counters: those with next_idx <= idx < end_idx are still to be counted.
CREATE TABLE usage_fill (
    org      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    next_idx BIGINT NOT NULL,
    end_idx  BIGINT NOT NULL
);
SELECT assay_isolate('usage_fill');

-- Row-level security hides every row from a session that names no organization; migrations are such.
SELECT set_config('app.org', '*', true);
INSERT INTO usage_fill (org, next_idx, end_idx)
SELECT s.org, coalesce((SELECT max(d.last_idx) + 1 FROM log_drop d WHERE d.org = s.org), 0), s.size FROM log_state s;

INSERT INTO usage_scan (org, hours, hour, engine, submitted, returned, completed, failed, cancelled, ran, micros, findings)
SELECT org, 1, hour, engine, sum(submitted), 0, sum(completed), sum(failed), sum(cancelled), sum(ran), sum(micros), sum(findings)
FROM (
    SELECT org, created_at - created_at % 3600000000 AS hour, engine, 1 AS submitted, 0 AS completed, 0 AS failed,
           0 AS cancelled, 0 AS ran, 0 AS micros, 0 AS findings
    FROM scan
    UNION ALL
    SELECT org, ended_at - ended_at % 3600000000, engine, 0, (status = 'completed')::int, (status = 'failed')::int,
           (status = 'cancelled')::int, (started_at <> 0)::int,
           CASE WHEN started_at <> 0 THEN greatest(ended_at - started_at, 0) ELSE 0 END,
           coalesce((summary::json ->> 'total')::bigint, 0)
    FROM scan WHERE ended_at <> 0
) AS s GROUP BY org, hour, engine;

INSERT INTO usage_scan (org, hours, hour, engine, submitted, returned, completed, failed, cancelled, ran, micros, findings)
SELECT org, 24, hour - hour % 86400000000 AS day, engine, sum(submitted), 0, sum(completed), sum(failed), sum(cancelled), sum(ran),
       sum(micros), sum(findings)
FROM usage_scan GROUP BY org, day, engine;
