-- As finding.sql: SQLite looks up each value of an IN by the index. PostgreSQL has the same names with LATERAL.

-- name: case.standings
SELECT f.id, f.engine, f.engines, f.scan, f.status, f.first_seen_at, f.last_seen_at, f.fixed_at, f.case_id, f.case_since,
       f.case_why, f.case_keys, f.risk, d.doc
FROM finding f JOIN finding_doc d ON d.org = f.org AND d.id = f.id
WHERE f.org = $1 AND f.id IN ($2 /*list*/);

-- name: case.keyed
SELECT f.id FROM finding f WHERE f.org = $1 AND f.case_keys <> '' AND f.case_keys IN ($2 /*list*/);

-- name: case.tied
SELECT k.finding FROM finding_case_key k WHERE k.org = $1 AND k.key IN ($2 /*list*/);

-- name: case.in_cases
SELECT f.id FROM finding f WHERE f.org = $1 AND f.case_id IS NOT NULL AND f.case_id IN ($2 /*list*/);

-- name: case.pins
SELECT p.finding, p.other, p.was, p.reason, p.actor_kind, p.actor, p.at, p.own FROM finding_case_pin p
WHERE p.org = $1 AND p.finding IN ($2 /*list*/);

-- name: case.rows
SELECT c.id, c.title, c.severity, c.confidence, c.status, c.kind, c.asset, c.engines, c.cves, c.members, c.risk,
       c.first_seen_at, c.last_seen_at, c.fixed_at, c.merged_into, c.entries
FROM finding_case c WHERE c.org = $1 AND c.id IN ($2 /*list*/);
