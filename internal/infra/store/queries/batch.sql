-- Batches of orders.

-- name: batch.keep
INSERT INTO scan_batch (org, id, at, doc) VALUES ($1, $2, $3, $4);

-- name: batch.find
SELECT doc FROM scan_batch WHERE org = $1 AND id = $2;

-- name: batch.scans
SELECT s.id, s.engine, s.name, s.target, s.target_type, s.host, s.priority, s.status, s.progress, s.phase, s.options,
       s.config, s.sealed, s.tags, s.timeout, s.asset_id, s.created_by, s.created_at, s.started_at, s.ended_at,
       s.attempt, s.fence, s.lease_until, s.outcome, s.reasons, s.error, s.version, s.summary
FROM scan s WHERE s.org = $1 AND s.id IN ($2 /*list*/);

-- name: all.batch_expire
-- all: the sweep of expired idempotency keys takes along what it would answer; it deletes by age only
DELETE FROM scan_batch WHERE (org, id) IN (SELECT org, id FROM scan_batch WHERE at <= $1 ORDER BY at LIMIT 500)
