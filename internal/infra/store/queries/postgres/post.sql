-- Several processes claim; none waits for another.

-- name: post.claim
UPDATE hook_delivery SET due = $4, lease = $4 WHERE org = $1 AND id IN (
    SELECT d.id FROM hook_delivery d WHERE d.org = $1 AND d.lane = $2 AND d.state = 'pending' AND d.due <= $3
    ORDER BY d.due, d.id LIMIT $5 FOR UPDATE SKIP LOCKED)
RETURNING id
