-- LATERAL with LIMIT looks up each value by the unique key. A long IN leaves the choice to the planner, which reads all
-- of an organization's findings while statistics are missing or a plan is shared between organizations.

-- name: finding.known
SELECT f.id, f.fingerprint, f.status, f.scan, f.last_seen_at, f.engines, f.digest, f.cves
FROM unnest(ARRAY[$2 /*list*/]::text[]) AS v (print) CROSS JOIN LATERAL (
    SELECT k.id, k.fingerprint, k.status, k.scan, k.last_seen_at, k.engines, k.digest, k.cves FROM finding k
    WHERE k.org = $1 AND k.fingerprint = v.print LIMIT 1) f;

-- A row that another unit moved meanwhile doesn't come back, as one that doesn't fit: finding.upsert takes it.
-- name: finding.touch
UPDATE finding SET last_seen_at = $2, scan = $3, look_at = $4, entries = entries + $5
WHERE org = $1 AND status <> 'fixed' AND unseen_at = 0 AND ctid IN (
    SELECT f.ctid FROM unnest(ARRAY[$6 /*list*/]::text[]) AS v (id) CROSS JOIN LATERAL (
        SELECT k.ctid FROM finding k WHERE k.org = $1 AND k.id = v.id LIMIT 1) f)
RETURNING fingerprint, id, status, severity, entries;
