-- SQLite looks up each value of an IN by the index. PostgreSQL has the same name with LATERAL.

-- name: finding.known
SELECT f.id, f.fingerprint, f.status, f.scan, f.last_seen_at, f.engines, f.digest, f.cves FROM finding f
WHERE f.org = $1 AND f.fingerprint IN ($2 /*list*/);
