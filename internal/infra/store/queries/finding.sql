-- Findings in their life, and what each scan saw.

-- name: finding.known
SELECT id, fingerprint, status, scan, last_seen_at, engines, digest FROM finding
WHERE org = $1 AND fingerprint IN ($2 /*list*/);

-- The scanner's fields are renewed; status, first sight and id stay. A row that another scan made first comes back
-- with its own id.
-- name: finding.upsert
INSERT INTO finding (org, id, engine, fingerprint, case_key, host, severity, status, first_seen_at, last_seen_at, scan,
                     engines, digest, doc)
VALUES /*rows*/ ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT (org, fingerprint) DO UPDATE SET case_key = excluded.case_key, host = excluded.host,
    severity = excluded.severity, last_seen_at = excluded.last_seen_at, scan = excluded.scan,
    engines = excluded.engines, digest = excluded.digest, doc = excluded.doc
RETURNING fingerprint, id, status;

-- name: finding.touch
UPDATE finding SET last_seen_at = $2, scan = $3 WHERE org = $1 AND id IN ($4 /*list*/);

-- Only what a scan had closed comes back.
-- name: finding.reopen
UPDATE finding SET status = 'open', fixed_at = 0, fixed_scan = NULL
WHERE org = $1 AND status = 'fixed' AND id IN ($2 /*list*/);

-- name: finding.fix
UPDATE finding SET status = 'fixed', fixed_at = $2, fixed_scan = $3
WHERE org = $1 AND status = 'open' AND id IN ($4 /*list*/);

-- name: finding.unfixed
SELECT id, engine, fingerprint, status, first_seen_at, last_seen_at, fixed_at, scan, engines, doc FROM finding
WHERE org = $1 AND engine = $2 AND host = $3 AND status <> 'fixed' AND fingerprint > $4
ORDER BY fingerprint LIMIT 500;

-- name: result.insert
INSERT INTO scan_result (org, scan, generation, position, category, finding, occurrence, words, doc)
VALUES /*rows*/ ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (org, scan, generation, position) DO UPDATE SET category = excluded.category, finding = excluded.finding,
    occurrence = excluded.occurrence, words = excluded.words, doc = excluded.doc;

-- name: result.rows
SELECT r.position, r.occurrence, r.doc, f.id, f.engine, f.fingerprint, f.status, f.first_seen_at, f.last_seen_at,
       f.fixed_at, f.scan, f.engines
FROM scan_result r JOIN finding f ON f.org = r.org AND f.id = r.finding
WHERE r.org = $1;

-- name: result.severities
SELECT r.position / 4294967296 AS severity, count(*) FROM scan_result r
WHERE r.org = $1 AND r.scan = $2 AND r.generation = $3 GROUP BY r.position / 4294967296;

-- name: result.keys
SELECT r.position
FROM scan_result r WHERE r.org = $1;
