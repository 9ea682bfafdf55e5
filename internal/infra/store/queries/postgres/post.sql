-- Several processes claim; none waits for another. MATERIALIZED, because a sub-select that locks rows may be run more than
-- once when it is joined, and would then take more than its limit.

-- name: post.claim
WITH next AS MATERIALIZED (
    SELECT d.id FROM hook_delivery d WHERE d.org = $1 AND d.lane = $2 AND d.state = 'pending' AND d.due <= $3
    ORDER BY d.due, d.id LIMIT $5 FOR UPDATE SKIP LOCKED)
UPDATE hook_delivery u SET due = $4, lease = $4 FROM next WHERE u.org = $1 AND u.id = next.id
RETURNING u.id
