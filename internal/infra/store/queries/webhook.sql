-- Webhooks: what people register, and how receivers have answered.

-- name: webhook.rows
SELECT w.id, w.name, w.note, w.url, w.events, w.stop, w.failures, w.failing_since, w.last_at, w.last_ok_at, w.created_by,
       w.created_at, w.updated_at, w.sealed, w.previous, w.previous_until
FROM webhook w WHERE w.org = $1;

-- Holding the organization's row lets nobody else add a webhook meanwhile.
-- name: webhook.org_hold
UPDATE organization SET suspended = suspended WHERE org = $1;

-- name: webhook.count
SELECT count(*) FROM webhook WHERE org = $1;

-- name: webhook.hold
UPDATE webhook SET failures = failures WHERE org = $1 AND id = $2;

-- name: webhook.insert
INSERT INTO webhook (org, id, name, note, url, events, stop, created_by, created_at, updated_at, sealed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: webhook.update
UPDATE webhook SET name = $3, note = $4, url = $5, events = $6, stop = $7, failures = $8, failing_since = $9,
       updated_at = $10, sealed = $11, previous = $12, previous_until = $13
WHERE org = $1 AND id = $2;

-- name: webhook.delete
DELETE FROM webhook WHERE org = $1 AND id = $2;

-- Writing a row to itself holds it until the unit ends.
-- name: webhook.health_hold
UPDATE webhook SET failures = failures WHERE org = $1 AND id = $2
RETURNING failures, failing_since, last_at, last_ok_at;

-- name: webhook.health
UPDATE webhook SET failures = $3, failing_since = $4, last_at = $5, last_ok_at = $6 WHERE org = $1 AND id = $2;

-- name: all.webhook.of
-- all: who of these organizations listens
SELECT w.org, w.id, w.events, w.stop, w.created_at FROM webhook w WHERE w.org IN ($1 /*list*/);

-- name: callback.insert
INSERT INTO scan_callback (org, scan, url) VALUES /*rows*/ ($1, $2, $3);

-- name: callback.url
SELECT url FROM scan_callback WHERE org = $1 AND scan = $2;
