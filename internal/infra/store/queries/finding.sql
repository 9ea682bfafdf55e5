-- Findings in their life, and what each scan saw.

-- The scanner's fields are renewed; id and first sight stay, and so does the status, but what a scan had closed comes
-- back (finding.Next). A row that another scan made first comes back with its own id.
-- An upsert finds its rows by the unique key, whatever the planner believes of the table: an UPDATE with a long IN
-- reads all of an organization's findings on PostgreSQL while statistics are missing.
-- name: finding.upsert
INSERT INTO finding (org, id, engine, fingerprint, case_key, host, severity, status, first_seen_at, last_seen_at, scan,
                     engines, digest)
VALUES /*rows*/ ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (org, fingerprint) DO UPDATE SET case_key = excluded.case_key, host = excluded.host,
    severity = excluded.severity, last_seen_at = excluded.last_seen_at, scan = excluded.scan,
    engines = excluded.engines, digest = excluded.digest,
    status = CASE WHEN finding.status = 'fixed' THEN 'open' ELSE finding.status END,
    fixed_at = CASE WHEN finding.status = 'fixed' THEN 0 ELSE finding.fixed_at END,
    fixed_scan = CASE WHEN finding.status = 'fixed' THEN NULL ELSE finding.fixed_scan END
RETURNING fingerprint, id, status;

-- name: finding.doc_put
INSERT INTO finding_doc (org, id, doc) VALUES /*rows*/ ($1, $2, $3)
ON CONFLICT (org, id) DO UPDATE SET doc = excluded.doc;

-- name: finding.fix
UPDATE finding SET status = 'fixed', fixed_at = $3, fixed_scan = $4
WHERE org = $1 AND id = $2 AND status = 'open';

-- name: finding.unfixed
SELECT f.id, f.engine, f.fingerprint, f.status, f.first_seen_at, f.last_seen_at, f.fixed_at, f.scan, f.engines, d.doc
FROM finding f JOIN finding_doc d ON d.org = f.org AND d.id = f.id
WHERE f.org = $1 AND f.engine = $2 AND f.host = $3 AND f.status <> 'fixed' AND f.fingerprint > $4
ORDER BY f.fingerprint LIMIT 500;

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
