-- LATERAL with LIMIT looks up each value by the unique key. A long IN leaves the choice to the planner, which reads all
-- of an organization's findings while statistics are missing or a plan is shared between organizations.

-- name: finding.known
SELECT f.id, f.fingerprint, f.status, f.scan, f.last_seen_at, f.engines, f.digest, f.cves
FROM unnest(ARRAY[$2 /*list*/]::text[]) AS v (print) CROSS JOIN LATERAL (
    SELECT k.id, k.fingerprint, k.status, k.scan, k.last_seen_at, k.engines, k.digest, k.cves FROM finding k
    WHERE k.org = $1 AND k.fingerprint = v.print LIMIT 1) f;
