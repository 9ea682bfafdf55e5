-- Findings in their life, and what each scan saw.

-- The scanner's fields are renewed; id and first sight stay, and so does the status, but what was fixed comes back
-- (finding.Next): what a scan had closed always, what a person called fixed when the scan began after that. A row that
-- another scan made first comes back with its own id, with the cell it was counted in, and with the number of its entry
-- in the history.
-- An upsert finds its rows by the unique key, whatever the planner believes of the table: an UPDATE with a long IN
-- reads all of an organization's findings on PostgreSQL while statistics are missing.
-- name: finding.upsert
INSERT INTO finding (org, id, engine, fingerprint, case_key, host, severity, status, first_seen_at, last_seen_at, scan,
                     engines, digest, place, category, kind, cves, first_scan, look_at, entries, revision)
VALUES /*rows*/ ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
ON CONFLICT (org, fingerprint) DO UPDATE SET case_key = excluded.case_key, host = excluded.host,
    severity = excluded.severity, last_seen_at = excluded.last_seen_at, scan = excluded.scan,
    engines = excluded.engines, digest = excluded.digest,
    place = (4 - excluded.severity) * 72057594037927936 + finding.first_seen_at,
    category = excluded.category, kind = excluded.kind, cves = excluded.cves, look_at = excluded.look_at, unseen_at = 0,
    was = finding.status || '/' || finding.severity,
    status = CASE WHEN finding.status = 'fixed' AND (finding.fixed_scan IS NOT NULL OR finding.fixed_at <= excluded.look_at)
        THEN 'open' ELSE finding.status END,
    entries = finding.entries + CASE
        WHEN finding.status = 'fixed' AND (finding.fixed_scan IS NOT NULL OR finding.fixed_at <= excluded.look_at) THEN 1
        ELSE excluded.entries END,
    revision = CASE WHEN finding.status = 'fixed' AND (finding.fixed_scan IS NOT NULL OR finding.fixed_at <= excluded.look_at)
        THEN finding.entries + 1 ELSE finding.revision END,
    decision = CASE WHEN finding.status = 'fixed' AND (finding.fixed_scan IS NOT NULL OR finding.fixed_at <= excluded.look_at)
        THEN NULL ELSE finding.decision END,
    fixed_at = CASE WHEN finding.status = 'fixed' AND (finding.fixed_scan IS NOT NULL OR finding.fixed_at <= excluded.look_at)
        THEN 0 ELSE finding.fixed_at END,
    fixed_scan = CASE WHEN finding.status = 'fixed' THEN NULL ELSE finding.fixed_scan END
RETURNING fingerprint, id, status, severity, was, entries;

-- name: finding.doc_put
INSERT INTO finding_doc (org, id, doc) VALUES /*rows*/ ($1, $2, $3)
ON CONFLICT (org, id) DO UPDATE SET doc = excluded.doc;

-- name: finding.fix
UPDATE finding SET status = 'fixed', fixed_at = $3, fixed_scan = $4, decision = NULL, until = 0, entries = entries + 1,
    revision = entries + 1
WHERE org = $1 AND id = $2 AND status = 'open'
RETURNING severity, entries;

-- A person's decision stays; since when no complete scan sees the finding is noted once.
-- name: finding.miss
UPDATE finding SET unseen_at = $3, entries = entries + 1
WHERE org = $1 AND id = $2 AND status IN ('confirmed', 'false_positive', 'accepted') AND unseen_at = 0
RETURNING status, entries;

-- name: finding.history_add
INSERT INTO finding_history (org, finding, seq, at, kind, before, status, scan, actor_kind, actor, decision)
VALUES /*rows*/ ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: finding.cve_add
INSERT INTO finding_cve (org, cve, id) VALUES /*rows*/ ($1, $2, $3) ON CONFLICT (org, cve, id) DO NOTHING;

-- name: finding.cve_remove
DELETE FROM finding_cve WHERE org = $1 AND cve = $2 AND id = $3;

-- Only new kinds come back.
-- name: finding.kind_add
INSERT INTO finding_kind (org, kind, rule) VALUES /*rows*/ ($1, $2, $3) ON CONFLICT (org, kind) DO NOTHING
RETURNING kind;

-- name: finding.word_add
INSERT INTO finding_word (org, word, kind) VALUES /*rows*/ ($1, $2, $3) ON CONFLICT (org, word, kind) DO NOTHING;

-- name: finding.count_add
INSERT INTO finding_count (org, severity, status, n) VALUES /*rows*/ ($1, $2, $3, $4)
ON CONFLICT (org, severity, status) DO UPDATE SET n = finding_count.n + excluded.n;

-- name: finding.unfixed
SELECT f.id, f.engine, f.fingerprint, f.status, f.first_seen_at, f.last_seen_at, f.fixed_at, f.scan, f.engines, d.doc
FROM finding f JOIN finding_doc d ON d.org = f.org AND d.id = f.id
WHERE f.org = $1 AND f.engine = $2 AND f.host = $3 AND f.status <> 'fixed' AND f.fingerprint > $4
    AND (f.status = 'open' OR f.unseen_at = 0)
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
