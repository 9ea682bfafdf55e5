-- The server's view of all organizations' events and deliveries.

-- name: all.post.events
-- all: the outbox is read for every organization's receivers
SELECT o.seq, o.org, o.type, o.subject, o.at, o.data, c.url
FROM outbox o LEFT JOIN scan_callback c
     ON c.org = o.org AND c.scan = o.subject AND o.type IN ('scan.completed', 'scan.failed', 'scan.cancelled')
WHERE o.seq > $1 ORDER BY o.seq LIMIT $2;

-- Writing the row to itself holds it: one at a time fans out.
-- name: all.post.cursor_hold
-- all: how far the outbox was read belongs to no organization
UPDATE outbox_cursor SET seq = seq WHERE name = 'webhooks' RETURNING seq;

-- name: all.post.cursor_move
-- all: how far the outbox was read belongs to no organization
UPDATE outbox_cursor SET seq = $1 WHERE name = 'webhooks' AND seq < $1;

-- The first due delivery of every lane, and whether its webhook takes any: 0 yes, 1 disabled, 2 gone. Few index entries
-- for each lane, however many deliveries wait in it.
-- name: all.post.lanes
-- all: senders serve every organization
WITH RECURSIVE lanes (lane) AS (
    SELECT min(d.lane) FROM hook_delivery d WHERE d.state = 'pending'
    UNION ALL
    SELECT (SELECT min(d.lane) FROM hook_delivery d WHERE d.state = 'pending' AND d.lane > lanes.lane)
    FROM lanes WHERE lanes.lane IS NOT NULL
)
SELECT lanes.lane,
       (SELECT d.org FROM hook_delivery d WHERE d.state = 'pending' AND d.lane = lanes.lane ORDER BY d.due, d.id LIMIT 1),
       (SELECT min(d.due) FROM hook_delivery d WHERE d.state = 'pending' AND d.lane = lanes.lane),
       CASE WHEN lanes.lane LIKE 'cb-%' THEN 0
            ELSE coalesce((SELECT CASE WHEN w.stop IS NULL THEN 0 ELSE 1 END FROM webhook w WHERE w.id = lanes.lane), 2)
       END
FROM lanes WHERE lanes.lane IS NOT NULL;

-- name: post.letters
SELECT d.id, d.hook, d.event, d.type, d.attempts, d.tries, e.body, w.url, w.sealed, w.previous, w.previous_until, c.url,
       s.sealed
FROM hook_delivery d JOIN hook_event e ON e.org = d.org AND e.id = d.event
LEFT JOIN webhook w ON w.org = d.org AND w.id = d.hook
LEFT JOIN scan_callback c ON c.org = d.org AND c.scan = d.scan
LEFT JOIN org_secret s ON s.org = d.org AND s.kind = 'callback' AND d.hook IS NULL
WHERE d.org = $1 AND d.id IN ($2 /*list*/);

-- name: post.drop_lane
DELETE FROM hook_delivery WHERE org = $1 AND id IN (
    SELECT d.id FROM hook_delivery d WHERE d.org = $1 AND d.lane = $2 AND d.state = 'pending' ORDER BY d.due, d.id LIMIT 500);

-- name: all.post.release
-- all: a process that is the only one takes back what an earlier life had claimed
UPDATE hook_delivery SET due = $1, lease = 0 WHERE state = 'pending' AND lease <> 0;

-- name: all.post.depth
-- all: how much waits, for whoever watches the server
SELECT count(*) FROM (SELECT 1 FROM hook_delivery d WHERE d.state = 'pending' LIMIT 10001) c;

-- name: all.post.orgs
-- all: retention looks at every organization
SELECT o.org FROM organization o WHERE o.org > $1 ORDER BY o.org LIMIT 100;

-- name: all.post.cursor
-- all: how far the outbox was read belongs to no organization
SELECT seq FROM outbox_cursor WHERE name = 'webhooks';
