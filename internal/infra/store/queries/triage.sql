-- Findings with what people made of them.

-- name: triage.rows
SELECT f.id, f.engine, f.fingerprint, f.status, f.severity, f.first_seen_at, f.last_seen_at, f.fixed_at, f.scan, f.engines,
       f.first_scan, f.unseen_at, f.decision, f.revision, f.entries, f.case_id, f.risk, d.doc
FROM finding f JOIN finding_doc d ON d.org = f.org AND d.id = f.id
WHERE f.org = $1 AND f.id IN ($2 /*list*/);

-- The keys of a page in each order; triage.rows gives the rows.
-- name: triage.worst
SELECT f.place, f.id
FROM finding f WHERE f.org = $1;

-- name: triage.newest
SELECT 0, f.id
FROM finding f WHERE f.org = $1;

-- name: triage.risky
SELECT f.risk, f.id
FROM finding f WHERE f.org = $1;

-- CROSS JOIN: the findings of a CVE id are looked up one by one, whatever the planner believes.
-- name: triage.worst_cve
SELECT f.place, f.id
FROM finding_cve k CROSS JOIN finding f WHERE k.org = $1 AND f.org = k.org AND f.id = k.id;

-- name: triage.newest_cve
SELECT 0, f.id
FROM finding_cve k CROSS JOIN finding f WHERE k.org = $1 AND f.org = k.org AND f.id = k.id;

-- name: triage.risky_cve
SELECT f.risk, f.id
FROM finding_cve k CROSS JOIN finding f WHERE k.org = $1 AND f.org = k.org AND f.id = k.id;

-- name: triage.any
SELECT 1
FROM finding f WHERE f.org = $1;

-- name: triage.lapsed
SELECT f.id FROM finding f
WHERE f.org = $1 AND f.status = 'accepted' AND f.until > 0 AND f.until <= $2 ORDER BY f.until, f.id LIMIT $3;

-- Writing a row to itself holds it until the unit ends.
-- name: triage.hold
UPDATE finding SET engine = engine WHERE org = $1 AND id = $2;

-- What a person calls fixed no scan has closed: fixed_scan is NULL then.
-- name: triage.put
UPDATE finding SET status = $3, decision = $4, until = $5, fixed_at = $6, fixed_scan = NULL, unseen_at = $7, revision = $8,
    entries = $9
WHERE org = $1 AND id = $2;

-- name: triage.history
SELECT h.seq, h.at, h.kind, h.before, h.status, h.scan, h.actor_kind, h.actor, h.decision
FROM finding_history h WHERE h.org = $1;

-- name: triage.exists
SELECT 1 FROM finding WHERE org = $1 AND id = $2;

-- name: triage.counts
SELECT severity, status, n FROM finding_count WHERE org = $1;

-- name: all.triage.lapsed
-- all: the server ends acceptances of every organization
SELECT DISTINCT org FROM finding WHERE status = 'accepted' AND until > 0 AND until <= $1 ORDER BY org LIMIT $2;

-- name: all.triage.next
-- all: the server sleeps until the next acceptance ends
SELECT min(until) FROM finding WHERE status = 'accepted' AND until > 0;
