-- SQLite looks up each value of an IN by the index. PostgreSQL has the same name with LATERAL.

-- name: finding.known
SELECT f.id, f.fingerprint, f.status, f.scan, f.last_seen_at, f.engines, f.digest, f.cves FROM finding f
WHERE f.org = $1 AND f.fingerprint IN ($2 /*list*/);

-- What a scan sees as it was seen before, which is most of what a re-scan sees: nothing is written that an index holds.
-- A row that doesn't fit any more doesn't come back, and finding.upsert takes it.
-- name: finding.touch
UPDATE finding SET last_seen_at = $2, scan = $3, look_at = $4, entries = entries + $5
WHERE org = $1 AND id IN ($6 /*list*/) AND status <> 'fixed' AND unseen_at = 0
RETURNING fingerprint, id, status, severity, entries;
