-- As finding.sql: LATERAL looks up each value by its index, whatever the planner believes of the table. A list is filled
-- up with its last value, which is looked up once.

-- name: case.standings
SELECT f.id, f.engine, f.engines, f.scan, f.status, f.first_seen_at, f.last_seen_at, f.fixed_at, f.case_id, f.case_since,
       f.case_why, f.case_keys, f.risk, f.doc
FROM (SELECT DISTINCT u.id FROM unnest(ARRAY[$2 /*list*/]::text[]) AS u (id)) AS v CROSS JOIN LATERAL (
    SELECT k.*, d.doc FROM finding k JOIN finding_doc d ON d.org = k.org AND d.id = k.id
    WHERE k.org = $1 AND k.id = v.id LIMIT 1) f;

-- name: case.keyed
SELECT f.id FROM (SELECT DISTINCT u.key FROM unnest(ARRAY[$2 /*list*/]::text[]) AS u (key)) AS v CROSS JOIN LATERAL (
    SELECT k.id FROM finding k WHERE k.org = $1 AND k.case_keys <> '' AND k.case_keys = v.key ORDER BY k.case_keys, k.id OFFSET 0) f;

-- name: case.tied
SELECT f.finding FROM (SELECT DISTINCT u.key FROM unnest(ARRAY[$2 /*list*/]::text[]) AS u (key)) AS v CROSS JOIN LATERAL (
    SELECT k.finding FROM finding_case_key k WHERE k.org = $1 AND k.key = v.key ORDER BY k.finding OFFSET 0) f;

-- name: case.in_cases
SELECT f.id FROM (SELECT DISTINCT u.id FROM unnest(ARRAY[$2 /*list*/]::text[]) AS u (id)) AS v CROSS JOIN LATERAL (
    SELECT k.id FROM finding k WHERE k.org = $1 AND k.case_id IS NOT NULL AND k.case_id = v.id ORDER BY k.case_id, k.id OFFSET 0) f;

-- name: case.pins
SELECT f.finding, f.other, f.was, f.reason, f.actor_kind, f.actor, f.at, f.own
FROM (SELECT DISTINCT u.id FROM unnest(ARRAY[$2 /*list*/]::text[]) AS u (id)) AS v CROSS JOIN LATERAL (
    SELECT p.* FROM finding_case_pin p WHERE p.org = $1 AND p.finding = v.id ORDER BY p.other OFFSET 0) f;

-- name: case.rows
SELECT f.id, f.title, f.severity, f.confidence, f.status, f.kind, f.asset, f.engines, f.cves, f.members, f.risk,
       f.first_seen_at, f.last_seen_at, f.fixed_at, f.merged_into, f.entries
FROM (SELECT DISTINCT u.id FROM unnest(ARRAY[$2 /*list*/]::text[]) AS u (id)) AS v CROSS JOIN LATERAL (
    SELECT c.* FROM finding_case c WHERE c.org = $1 AND c.id = v.id LIMIT 1) f;
