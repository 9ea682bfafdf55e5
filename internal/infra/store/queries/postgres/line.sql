-- LATERAL reads the head of each organization's line from the index; on SQLite the same name does it with IN.

-- name: all.line.waiting
-- all: the dispatcher looks at the head of every organization's line
WITH RECURSIVE orgs (org) AS (
    (SELECT s.org FROM scan s WHERE s.status = 'queued' AND s.admitted = 0 ORDER BY s.org LIMIT 1)
    UNION ALL
    SELECT (SELECT s.org FROM scan s WHERE s.status = 'queued' AND s.admitted = 0 AND s.org > orgs.org
            ORDER BY s.org LIMIT 1)
    FROM orgs WHERE orgs.org IS NOT NULL
)
SELECT w.org, w.id, w.engine, w.host, w.due
FROM orgs CROSS JOIN LATERAL (
    SELECT x.org, x.id, x.engine, x.host, x.due FROM scan x
    WHERE x.org = orgs.org AND x.status = 'queued' AND x.admitted = 0
    ORDER BY x.due, x.id LIMIT CAST($1 AS BIGINT)) w
ORDER BY w.due, w.id;

-- Several processes may dispatch: the lock makes counting and admitting one step.
-- name: all.line.lock
-- all: one dispatcher at a time
SELECT 1 FROM (SELECT pg_advisory_xact_lock(4703001)) l;
