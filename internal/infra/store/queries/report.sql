-- Recurring reports and their runs. Every transition of a run names the fence it starts from: no row touched means that
-- somebody else was first.

-- name: report.rows
SELECT r.id, r.name, r.kind, r.format, r.filter, r.schedule, r.enabled, r.stopped, r.owner, r.created_by, r.created_at,
       r.updated_at, r.next_at, r.mark_at
FROM report r WHERE r.org = $1;

-- name: report.insert
INSERT INTO report (org, id, name, kind, format, filter, schedule, enabled, stopped, owner, created_by, created_at, updated_at, next_at)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14
WHERE (SELECT count(*) FROM report WHERE org = $1) < $15;

-- Writing a row to itself holds it until the unit ends.
-- name: report.hold
UPDATE report SET owner = owner WHERE org = $1 AND id = $2;

-- name: report.update
UPDATE report SET name = $3, kind = $4, format = $5, filter = $6, schedule = $7, enabled = $8, stopped = $9, owner = $10,
    updated_at = $11, next_at = $12
WHERE org = $1 AND id = $2;

-- name: report.mark
UPDATE report SET mark_at = $3 WHERE org = $1 AND id = $2 AND mark_at < $3;

-- name: report.delete
DELETE FROM report WHERE org = $1 AND id = $2;

-- name: all.report_due
-- all: one look finds what is due in every organization
SELECT r.org, r.id, r.name, r.kind, r.format, r.filter, r.schedule, r.enabled, r.stopped, r.owner, r.created_by, r.created_at,
       r.updated_at, r.next_at, r.mark_at
FROM report r WHERE r.next_at <> 0 AND r.next_at <= $1 ORDER BY r.next_at LIMIT $2;

-- name: report.run_rows
SELECT n.id, n.report, n.kind, n.format, n.status, n.asked_by, n.due, n.from_at, n.to_at, n.attempt, n.fence, n.hold_until,
       n.started_at, n.ended_at, n.counts, n.size, n.sha256, n.error
FROM report_run n WHERE n.org = $1;

-- name: report.run_insert
INSERT INTO report_run (org, id, report, kind, format, status, asked_by, due, from_at, to_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT DO NOTHING;

-- name: report.run_take
UPDATE report_run SET status = 'running', fence = fence + 1, attempt = attempt + 1, started_at = $4, hold_until = $5
WHERE org = $1 AND id = $2 AND fence = $3 AND ended_at = 0;

-- name: report.run_free
UPDATE report_run SET status = 'queued', fence = fence + 1, attempt = attempt - $4, hold_until = $5
WHERE org = $1 AND id = $2 AND fence = $3 AND status = 'running' AND ended_at = 0;

-- name: report.run_finish
UPDATE report_run SET status = $4, ended_at = $5, counts = $6, size = $7, sha256 = $8, error = $9, hold_until = 0
WHERE org = $1 AND id = $2 AND fence = $3 AND status = 'running' AND ended_at = 0;

-- name: report.run_drop
DELETE FROM report_run WHERE org = $1 AND report = $2 AND ended_at <> 0 AND id NOT IN
    (SELECT id FROM report_run WHERE org = $1 AND report = $2 ORDER BY id DESC LIMIT $3);

-- name: all.report_run_open
-- all: one look finds what waits in every organization
SELECT n.org, n.id, n.report, n.kind, n.format, n.status, n.asked_by, n.due, n.from_at, n.to_at, n.attempt, n.fence, n.hold_until,
       n.started_at, n.ended_at, n.counts, n.size, n.sha256, n.error
FROM report_run n WHERE n.ended_at = 0 AND n.hold_until <= $1 ORDER BY n.hold_until, n.id LIMIT $2;

-- name: all.report_run_expire
-- all: what is kept too long goes in every organization alike
DELETE FROM report_run WHERE (org, id) IN
    (SELECT org, id FROM report_run WHERE ended_at <> 0 AND ended_at < $1 LIMIT 500);

-- What reports tell of. Conditions, order and limit are added.
-- name: report.findings
SELECT f.id, f.engine, f.fingerprint, f.status, f.first_seen_at, f.last_seen_at, f.fixed_at, f.scan, f.engines, d.doc
FROM finding f JOIN finding_doc d ON d.org = f.org AND d.id = f.id WHERE f.org = $1;

-- name: report.finding_counts
SELECT count(*) FILTER (WHERE f.severity = 0), count(*) FILTER (WHERE f.severity = 1),
       count(*) FILTER (WHERE f.severity = 2), count(*) FILTER (WHERE f.severity = 3), count(*) FILTER (WHERE f.severity = 4)
FROM finding f WHERE f.org = $1;
