-- Quotas: one counter for each organization, metric and period.

-- No row touched means that the limit would be passed. The first use in a period takes the INSERT and isn't checked
-- here: the caller compares n with the limit.
-- name: usage.consume
INSERT INTO quota_counter (org, metric, period, used) VALUES ($1, $2, $3, $4)
ON CONFLICT (org, metric, period) DO UPDATE SET used = quota_counter.used + excluded.used
WHERE CAST($5 AS BIGINT) = 0 OR quota_counter.used + excluded.used <= CAST($5 AS BIGINT);

-- name: usage.used
SELECT used FROM quota_counter WHERE org = $1 AND metric = $2 AND period = $3;

-- What was consumed for nothing is given back; never below none.
-- name: usage.give_back
UPDATE quota_counter SET used = CASE WHEN used > CAST($4 AS BIGINT) THEN used - CAST($4 AS BIGINT) ELSE 0 END
WHERE org = $1 AND metric = $2 AND period = $3;

-- Kept counters. See migration 6.

-- name: all.usage_call_add
-- all: one batch of entries counts for many organizations; each row carries its own
INSERT INTO usage_call (org, hour, calls, success, errors, micros, max_micros)
VALUES /*rows*/ ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (org, hour) DO UPDATE SET calls = usage_call.calls + excluded.calls,
    success = usage_call.success + excluded.success, errors = usage_call.errors + excluded.errors,
    micros = usage_call.micros + excluded.micros,
    max_micros = CASE WHEN excluded.max_micros > usage_call.max_micros THEN excluded.max_micros ELSE usage_call.max_micros END;

-- name: all.usage_scan_add
-- all: as all.usage_call_add
INSERT INTO usage_scan (org, hours, hour, engine, submitted, returned, completed, failed, cancelled, ran, micros, findings)
VALUES /*rows*/ ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (org, hours, hour, engine) DO UPDATE SET submitted = usage_scan.submitted + excluded.submitted,
    returned = usage_scan.returned + excluded.returned, completed = usage_scan.completed + excluded.completed,
    failed = usage_scan.failed + excluded.failed, cancelled = usage_scan.cancelled + excluded.cancelled,
    ran = usage_scan.ran + excluded.ran, micros = usage_scan.micros + excluded.micros,
    findings = usage_scan.findings + excluded.findings;

-- The hour being counted lies in log_state. $4 is the length of a stretch in microseconds.
-- name: usage.calls
SELECT hour - hour % CAST($4 AS BIGINT) AS start, CAST(sum(calls) AS BIGINT), CAST(sum(success) AS BIGINT),
       CAST(sum(errors) AS BIGINT), CAST(sum(micros) AS BIGINT), max(max_micros)
FROM (
    SELECT hour, calls, success, errors, micros, max_micros FROM usage_call WHERE org = $1 AND hour >= $2 AND hour < $3
    UNION ALL
    SELECT use_hour, calls, success, errors, micros, max_micros FROM log_state
    WHERE org = $1 AND use_hour >= $2 AND use_hour < $3 AND calls > 0
) AS u GROUP BY start ORDER BY start;

-- name: usage.submissions
SELECT hour - hour % CAST($5 AS BIGINT) AS start, CAST(sum(submitted) AS BIGINT) FROM usage_scan
WHERE org = $1 AND hours = $2 AND hour >= $3 AND hour < $4 GROUP BY start ORDER BY start;

-- name: usage.engines
SELECT engine, CAST(sum(submitted) AS BIGINT), CAST(sum(returned) AS BIGINT), CAST(sum(completed) AS BIGINT),
       CAST(sum(failed) AS BIGINT), CAST(sum(cancelled) AS BIGINT), CAST(sum(ran) AS BIGINT),
       CAST(sum(micros) AS BIGINT), CAST(sum(findings) AS BIGINT)
FROM usage_scan WHERE org = $1 AND hours = $2 AND hour >= $3 AND hour < $4 GROUP BY engine ORDER BY engine;

-- What the counters need of a scan that has just been changed.
-- name: usage.scan
SELECT engine, created_at, started_at, ended_at, summary, parent IS NOT NULL FROM scan WHERE org = $1 AND id = $2;

-- At most 500 at a time, as all that the sweep does.
-- name: all.usage_call_expire
-- all: counters of every organization go alike, by their age
DELETE FROM usage_call WHERE (org, hour) IN (SELECT u.org, u.hour FROM usage_call u WHERE u.hour < $1 LIMIT 500);

-- name: all.usage_scan_expire
-- all: as all.usage_call_expire
DELETE FROM usage_scan WHERE (org, hours, hour, engine) IN
    (SELECT u.org, u.hours, u.hour, u.engine FROM usage_scan u WHERE u.hour < $1 LIMIT 500);

-- Entries that were written before there were counters.

-- name: all.usage_unfilled
-- all: every log is counted
SELECT org FROM usage_fill WHERE next_idx < end_idx ORDER BY org LIMIT 1;

-- name: usage.fill
SELECT next_idx, end_idx FROM usage_fill WHERE org = $1;

-- A log whose edge was made anew is counted anew.
-- name: usage.recount
INSERT INTO usage_fill (org, next_idx, end_idx) VALUES ($1, $2, $3)
ON CONFLICT (org) DO UPDATE SET next_idx = excluded.next_idx, end_idx = excluded.end_idx;

-- name: usage.calls_clear
DELETE FROM usage_call WHERE org = $1;

-- The guard makes two processes that fill at once count each entry once.
-- name: usage.filled
UPDATE usage_fill SET next_idx = $3 WHERE org = $1 AND next_idx = $2;

-- The call log.

-- name: usage.log_size
SELECT size FROM log_state WHERE org = $1;

-- name: usage.entry_at
SELECT at FROM audit_entry WHERE org = $1 AND idx = $2;

-- Conditions on idx and what the leaf must contain are added, and the order.
-- name: usage.call_log
SELECT idx, leaf FROM audit_entry WHERE org = $1;
