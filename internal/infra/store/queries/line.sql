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
