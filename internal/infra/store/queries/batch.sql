-- Batches of orders.

-- name: batch.keep
INSERT INTO scan_batch (org, id, at, doc) VALUES ($1, $2, $3, $4);

-- name: batch.find
SELECT doc FROM scan_batch WHERE org = $1 AND id = $2;

-- name: all.batch_expire
-- all: the sweep of expired idempotency keys takes along what it would answer; it deletes by age only
DELETE FROM scan_batch WHERE (org, id) IN (SELECT org, id FROM scan_batch WHERE at <= $1 ORDER BY at LIMIT 500)
