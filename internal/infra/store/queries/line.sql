-- The waiting line, over all organizations.

-- name: all.line.orgs
-- all: how many organizations wait
WITH RECURSIVE orgs (org) AS (
    SELECT min(s.org) FROM scan s WHERE s.status = 'queued' AND s.admitted = 0
    UNION ALL
    SELECT (SELECT min(s.org) FROM scan s WHERE s.status = 'queued' AND s.admitted = 0 AND s.org > orgs.org)
    FROM orgs WHERE orgs.org IS NOT NULL
)
SELECT count(orgs.org) FROM orgs;

-- name: all.line.running
-- all: the dispatcher counts the slots in use
SELECT org, id, engine, host, fence, attempt FROM scan WHERE admitted = 1;

-- name: all.line.expired
-- all: the watchdog looks for workers that stopped answering
SELECT org, id, engine, host, fence, attempt FROM scan
WHERE admitted = 1 AND lease_until < $1 ORDER BY lease_until, id LIMIT $2;

-- name: all.line.settings
-- all: the limits of the organizations that wait or run
SELECT org, doc FROM org_settings WHERE org IN ($1 /*list*/);

-- name: all.line.admit
-- all: the dispatcher lets a scan of any organization start
UPDATE scan SET admitted = 1, fence = fence + 1, lease_until = $3
WHERE org = $1 AND id = $2 AND status = 'queued' AND admitted = 0
RETURNING fence;

-- Behind the head of one organization's line: of its next so many scans, as many of each host as may run there at once,
-- and those of each engine in turn. What waits in thousands for one host or one engine hides nothing else.
-- name: all.line.behind
-- all: the dispatcher looks further into the line of one organization whose head can't start
SELECT b.org, b.id, b.engine, b.host, b.due FROM (
    SELECT a.org, a.id, a.engine, a.host, a.due, row_number() OVER (PARTITION BY a.engine ORDER BY a.due, a.id) AS turn
    FROM (
        SELECT w.org, w.id, w.engine, w.host, w.due,
               row_number() OVER (PARTITION BY w.engine, w.host ORDER BY w.due, w.id) AS place
        FROM (
            SELECT s.org, s.id, s.engine, s.host, s.due FROM scan s
            WHERE s.org = $1 AND s.status = 'queued' AND s.admitted = 0
            ORDER BY s.due, s.id LIMIT $2) w) a
    WHERE a.place <= $3) b
ORDER BY b.turn, b.due, b.id LIMIT $4;
