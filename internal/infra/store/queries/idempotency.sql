-- name: idempotency.claim
-- A claim that is older than its time is taken over; a living one stays, and no row is touched.
INSERT INTO idempotency (org, principal, route, key, body, status, resource_kind, resource_id, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (org, principal, route, key) DO UPDATE
SET body = excluded.body, status = excluded.status, resource_kind = excluded.resource_kind,
    resource_id = excluded.resource_id, at = excluded.at
WHERE idempotency.at <= $10

-- name: idempotency.find
SELECT body, status, resource_kind, resource_id FROM idempotency
WHERE org = $1 AND principal = $2 AND route = $3 AND key = $4 AND at > $5

-- name: all.idempotency_expire
-- all: the sweep of expired keys serves every organization at once; it deletes by age only
DELETE FROM idempotency WHERE (org, principal, route, key) IN
    (SELECT org, principal, route, key FROM idempotency WHERE at <= $1 ORDER BY at LIMIT 500)
