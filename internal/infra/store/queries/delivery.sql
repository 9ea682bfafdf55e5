-- Deliveries: events on their way to receivers.

-- name: delivery.rows
SELECT d.id, d.hook, d.scan, d.event, d.type, d.state, d.attempts, d.due, d.created_at, a.at, a.took, a.status, a.error,
       a.answer
FROM hook_delivery d LEFT JOIN hook_attempt a ON a.org = d.org AND a.delivery = d.id AND a.n = d.attempts
WHERE d.org = $1;

-- name: delivery.count
SELECT 1
FROM hook_delivery d WHERE d.org = $1;

-- name: delivery.message
SELECT e.body, coalesce(w.url, c.url, '')
FROM hook_delivery d JOIN hook_event e ON e.org = d.org AND e.id = d.event
LEFT JOIN webhook w ON w.org = d.org AND w.id = d.hook
LEFT JOIN scan_callback c ON c.org = d.org AND c.scan = d.scan
WHERE d.org = $1 AND d.id = $2;

-- name: delivery.attempts
SELECT n, at, took, status, error, answer FROM hook_attempt WHERE org = $1 AND delivery = $2 ORDER BY n LIMIT 200;

-- name: delivery.event_insert
INSERT INTO hook_event (org, id, type, at, body) VALUES /*rows*/ ($1, $2, $3, $4, $5);

-- name: delivery.insert
INSERT INTO hook_delivery (org, id, hook, scan, lane, event, type, state, attempts, due, created_at)
VALUES /*rows*/ ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- A try that two senders made counts once.
-- name: delivery.attempt_insert
INSERT INTO hook_attempt (org, delivery, n, at, took, status, error, answer)
VALUES /*rows*/ ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (org, delivery, n) DO NOTHING;

-- name: delivery.drop
DELETE FROM hook_delivery WHERE org = $1 AND id IN (
    SELECT d.id FROM hook_delivery d WHERE d.org = $1 AND d.hook = $2 ORDER BY d.id LIMIT 500);

-- name: delivery.hold
UPDATE hook_delivery SET state = 'held' WHERE org = $1 AND state = 'pending' AND id IN (
    SELECT d.id FROM hook_delivery d WHERE d.org = $1 AND d.hook = $2 AND d.state = 'pending' AND d.state <> 'delivered'
    ORDER BY d.id LIMIT 500);

-- The order of ids is the order in which they are made: all get the same due.
-- name: delivery.revive
UPDATE hook_delivery SET state = 'pending', tries = 0, lease = 0, due = $6 WHERE org = $1 AND state = $3 AND id IN (
    SELECT d.id FROM hook_delivery d
    WHERE d.org = $1 AND d.hook = $2 AND d.state = $3 AND d.state <> 'delivered'
      AND d.created_at >= $4 AND d.created_at < $5
    ORDER BY d.id LIMIT $7);

-- name: delivery.again
UPDATE hook_delivery SET state = 'pending', tries = 0, lease = 0, due = $3 WHERE org = $1 AND id = $2;

-- What was delivered was, whoever holds the lease now.
-- name: delivery.delivered
UPDATE hook_delivery SET state = 'delivered', attempts = attempts + 1, tries = tries + 1, lease = 0
WHERE org = $1 AND id IN ($2 /*list*/);

-- What fails is written by whoever holds the lease. A delivery that was held meanwhile stays so.
-- name: delivery.failed
UPDATE hook_delivery SET state = CASE WHEN state = 'held' THEN 'held' ELSE $4 END, due = $5, lease = 0,
       attempts = attempts + 1, tries = tries + 1
WHERE org = $1 AND id = $2 AND lease = $3 AND state IN ('pending', 'held');

-- name: delivery.release
UPDATE hook_delivery SET due = $3, lease = 0
WHERE org = $1 AND id = $2 AND lease = $4 AND state IN ('pending', 'held');

-- name: delivery.expire
DELETE FROM hook_delivery WHERE org = $1 AND id IN (
    SELECT d.id FROM hook_delivery d WHERE d.org = $1 AND d.id < $2 ORDER BY d.id LIMIT 500);

-- name: delivery.attempt_expire
DELETE FROM hook_attempt WHERE org = $1 AND delivery IN (
    SELECT a.delivery FROM hook_attempt a WHERE a.org = $1 AND a.delivery < $2 ORDER BY a.delivery LIMIT 500);

-- name: delivery.event_expire
DELETE FROM hook_event WHERE org = $1 AND id IN (
    SELECT e.id FROM hook_event e WHERE e.org = $1 AND e.id < $2 ORDER BY e.id LIMIT 500);

-- name: delivery.expire_any
SELECT count(*) FROM (SELECT 1 FROM hook_delivery WHERE org = $1 AND id < $2 LIMIT 1) c;

-- name: delivery.attempt_expire_any
SELECT count(*) FROM (SELECT 1 FROM hook_attempt WHERE org = $1 AND delivery < $2 LIMIT 1) c;

-- name: delivery.event_expire_any
SELECT count(*) FROM (SELECT 1 FROM hook_event WHERE org = $1 AND id < $2 LIMIT 1) c;
