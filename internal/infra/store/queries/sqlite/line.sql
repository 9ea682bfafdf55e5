-- SQLite has no LATERAL; the IN drives the primary key instead, once for each organization.

-- name: all.line.waiting
-- all: the dispatcher looks at the head of every organization's line
WITH RECURSIVE orgs (org) AS (
    SELECT min(org) FROM scan WHERE status = 'queued' AND admitted = 0
    UNION ALL
    SELECT (SELECT min(s.org) FROM scan s WHERE s.status = 'queued' AND s.admitted = 0 AND s.org > orgs.org)
    FROM orgs WHERE orgs.org IS NOT NULL
)
SELECT w.org, w.id, w.engine, w.host, w.due
FROM orgs CROSS JOIN scan w
WHERE w.org = orgs.org AND w.id IN (
    SELECT x.id FROM scan x WHERE x.org = orgs.org AND x.status = 'queued' AND x.admitted = 0
    ORDER BY x.due, x.id LIMIT $1)
ORDER BY w.due, w.id;

-- One writer: nobody else decides meanwhile.
-- name: all.line.lock
-- all: one dispatcher at a time
SELECT 1;
