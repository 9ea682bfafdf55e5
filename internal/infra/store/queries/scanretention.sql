-- Retention of scans. A scan is dropped in one statement and then its rows go in bites: nothing shows it any more.

-- name: all.scan_retention_orgs
-- all: retention goes through every organization in turn
SELECT o.org, coalesce(s.doc, '') FROM organization o LEFT JOIN org_settings s ON s.org = o.org
WHERE o.org > $1 ORDER BY o.org LIMIT $2;

-- An ended scan was created before it ended, so the list's own index gives the candidates, oldest first.
-- name: scan.expired
SELECT s.id FROM scan s
WHERE s.org = $1 AND s.created_at < $2 AND s.ended_at < $2 AND s.ended_at > 0 AND s.admitted = 0
  AND s.status IN ('completed', 'failed', 'cancelled') AND s.generation >= 0
ORDER BY s.created_at, s.id LIMIT $3;

-- name: scan.drop
UPDATE scan SET generation = -1
WHERE org = $1 AND status IN ('completed', 'failed', 'cancelled') AND generation >= 0 AND id IN ($2 /*list*/);

-- name: all.scan_dropped
-- all: rows of dropped scans go in every organization alike
SELECT org, id FROM scan WHERE generation = -1 ORDER BY org, id LIMIT $1;

-- name: scan.results_prune
DELETE FROM scan_result WHERE org = $1 AND scan = $2 AND (generation, position) IN
    (SELECT r.generation, r.position FROM scan_result r JOIN scan s ON s.org = r.org AND s.id = r.scan AND s.generation = -1 WHERE r.org = $1 AND r.scan = $2
     ORDER BY r.generation, r.position LIMIT 500);

-- name: scan.assets_prune
DELETE FROM scan_asset WHERE org = $1 AND scan = $2 AND (generation, kind, name) IN
    (SELECT a.generation, a.kind, a.name FROM scan_asset a JOIN scan s ON s.org = a.org AND s.id = a.scan AND s.generation = -1 WHERE a.org = $1 AND a.scan = $2
     ORDER BY a.generation, a.kind, a.name LIMIT 500);

-- The few rows that are left below go with it.
-- name: scan.remove
DELETE FROM scan WHERE org = $1 AND generation = -1 AND id IN ($2 /*list*/);

-- name: scan.digests_named
SELECT DISTINCT k.sha256 FROM
    (SELECT org, sha256 FROM scan_artifact UNION ALL SELECT org, sha256 FROM report_run WHERE sha256 IS NOT NULL) k
WHERE k.org = $1 AND k.sha256 IN ($2 /*list*/);
