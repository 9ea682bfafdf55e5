-- Cases: which findings are one real issue.

-- Writing the row to itself holds it: one unit at a time arranges an organization's cases.
-- name: case.hold
INSERT INTO finding_case_state (org) VALUES ($1) ON CONFLICT (org) DO UPDATE SET org = excluded.org;

-- name: case.row
SELECT c.id, c.title, c.severity, c.confidence, c.status, c.kind, c.asset, c.engines, c.cves, c.members, c.risk,
       c.first_seen_at, c.last_seen_at, c.fixed_at, c.merged_into, c.entries
FROM finding_case c WHERE c.org = $1 AND c.id = $2;

-- The keys of a page in each order; case.rows gives the rows.
-- name: case.risky
SELECT c.risk, c.id
FROM finding_case c WHERE c.org = $1;

-- name: case.worst
SELECT c.place, c.id
FROM finding_case c WHERE c.org = $1;

-- name: case.seen
SELECT c.last_seen_at, c.id
FROM finding_case c WHERE c.org = $1;

-- name: case.members
SELECT f.id FROM finding f WHERE f.org = $1 AND f.case_id = $2 AND f.case_id IS NOT NULL ORDER BY f.id LIMIT $3;

-- name: case.history
SELECT h.seq, h.at, h.kind, h.doc FROM finding_case_history h WHERE h.org = $1 AND h.case_id = $2 ORDER BY h.seq DESC LIMIT $3;

-- Of each engine and target the last complete look.
-- name: case.looks
SELECT s.engine, s.id, s.target, s.ended_at FROM scan s
WHERE s.org = $1 AND s.host = $2 AND s.outcome = 'complete' AND s.generation > 0 AND s.ended_at >= $3 AND NOT EXISTS (
    SELECT 1 FROM scan n WHERE n.org = $1 AND n.host = $2 AND n.outcome = 'complete' AND n.generation > 0 AND n.engine = s.engine
        AND n.target = s.target AND (n.ended_at > s.ended_at OR (n.ended_at = s.ended_at AND n.id > s.id)))
ORDER BY s.engine, s.ended_at DESC LIMIT 200;

-- name: case.aliases
SELECT name, address FROM host_alias WHERE org = $1 ORDER BY name, address LIMIT 50000;

-- What an organization's aliases are, for whoever remembers them: they only grow.
-- name: case.alias_count
SELECT count(*) FROM host_alias WHERE org = $1;

-- Only new ones come back.
-- name: case.alias_add
INSERT INTO host_alias (org, name, address, at) VALUES /*rows*/ ($1, $2, $3, $4) ON CONFLICT (org, name, address) DO NOTHING
RETURNING name, address;

-- name: case.scan_hosts
SELECT a.name, a.attributes FROM scan_asset a JOIN scan s ON s.org = a.org AND s.id = a.scan AND s.generation = a.generation
WHERE a.org = $1 AND a.scan = $2 AND a.kind = 'host' AND a.name > $3 ORDER BY a.name LIMIT 500;

-- name: case.scan_findings
SELECT DISTINCT r.finding FROM scan_result r
WHERE r.org = $1 AND r.scan = $2 AND r.generation = (SELECT s.fence FROM scan s WHERE s.org = $1 AND s.id = $2) AND r.finding > $3
ORDER BY r.finding LIMIT $4;

-- name: case.fixed_findings
SELECT f.id FROM finding f WHERE f.org = $1 AND f.fixed_scan = $2 AND f.fixed_scan IS NOT NULL AND f.id > $3 ORDER BY f.id LIMIT $4;

-- name: case.all_findings
SELECT f.id FROM finding f WHERE f.org = $1 AND f.id > $2 ORDER BY f.id LIMIT $3;

-- name: case.put
INSERT INTO finding_case (org, id, title, severity, confidence, status, kind, asset, engines, cves, words, members, risk, place,
                          first_seen_at, last_seen_at, fixed_at, merged_into, entries)
VALUES /*rows*/ ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
ON CONFLICT (org, id) DO UPDATE SET title = excluded.title, severity = excluded.severity, confidence = excluded.confidence,
    status = excluded.status, kind = excluded.kind, asset = excluded.asset, engines = excluded.engines, cves = excluded.cves,
    words = excluded.words, members = excluded.members, risk = excluded.risk, place = excluded.place,
    first_seen_at = excluded.first_seen_at, last_seen_at = excluded.last_seen_at, fixed_at = excluded.fixed_at,
    merged_into = excluded.merged_into, entries = excluded.entries;

-- Of the organization whose cases the unit holds. Values of rows are texts to PostgreSQL, so numbers travel as such.
-- name: case.place
WITH held (org) AS (SELECT s.org FROM finding_case_state s WHERE s.org = $1),
v (org, id, case_id, case_since, case_why, case_keys, risk) AS (VALUES /*rows*/ ($1, $2, $3, $4, $5, $6, $7))
UPDATE finding SET case_id = v.case_id, case_since = CAST(v.case_since AS BIGINT), case_why = v.case_why, case_keys = v.case_keys,
    risk = CAST(v.risk AS BIGINT)
FROM v JOIN held ON held.org = v.org WHERE finding.org = held.org AND finding.id = v.id;

-- name: case.tie
INSERT INTO finding_case_key (org, key, finding) VALUES /*rows*/ ($1, $2, $3) ON CONFLICT (org, key, finding) DO NOTHING;

-- name: case.untie
DELETE FROM finding_case_key WHERE org = $1 AND key = $2 AND finding = $3;

-- name: case.history_add
INSERT INTO finding_case_history (org, case_id, seq, at, kind, doc) VALUES /*rows*/ ($1, $2, $3, $4, $5, $6);

-- name: case.pin_add
INSERT INTO finding_case_pin (org, finding, other, was, reason, actor_kind, actor, at, own)
VALUES /*rows*/ ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (org, finding, other) DO NOTHING;

-- name: case.pin_remove
DELETE FROM finding_case_pin WHERE org = $1 AND finding = $2 AND other = $3;

-- What the server's follower reads over all organizations.

-- name: all.case.news
-- all: the outbox is read for every organization's cases
SELECT o.seq, o.org, o.type, o.subject, o.data FROM outbox o
WHERE o.seq > (SELECT c.seq FROM outbox_cursor c WHERE c.name = 'cases') ORDER BY o.seq LIMIT $1;

-- name: all.case.cursor_move
-- all: how far the outbox was read belongs to no organization
UPDATE outbox_cursor SET seq = $1 WHERE name = 'cases' AND seq < $1;

-- name: all.case.uncased
-- all: the server correlates for every organization
SELECT f.org FROM finding f WHERE f.case_id IS NULL ORDER BY f.org, f.id LIMIT 1;

-- name: case.uncased
SELECT f.id FROM finding f WHERE f.org = $1 AND f.case_id IS NULL ORDER BY f.id LIMIT $2;

-- name: all.case.outdated
-- all: a new import or version concerns every organization
SELECT o.org, CASE WHEN s.goal = $1 THEN s.after ELSE '' END
FROM organization o LEFT JOIN finding_case_state s ON s.org = o.org
WHERE o.org > $2 AND (s.org IS NULL OR s.done <> $1) ORDER BY o.org LIMIT 1;

-- name: case.pass_keep
INSERT INTO finding_case_state (org, done, goal, after) VALUES ($1, $2, $3, $4)
ON CONFLICT (org) DO UPDATE SET done = CASE WHEN excluded.done = '' THEN finding_case_state.done ELSE excluded.done END,
    goal = excluded.goal, after = excluded.after;

-- name: case.host_findings
SELECT f.id FROM finding f WHERE f.org = $1 AND f.host = $2 AND f.id > $3 ORDER BY f.id LIMIT $4;
