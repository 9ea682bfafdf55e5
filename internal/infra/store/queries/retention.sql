-- Retention of the audit log and erasure of the personal data beside it.

-- name: all.log_due
-- all: retention looks at the last entry of the oldest range of every log. Ranges hold 256 entries, so it is 511 above
-- the last range dropped, and entry 255 where none was.
SELECT s.org FROM log_state s
WHERE s.org > $1 AND (
    SELECT e.at FROM audit_entry e
    WHERE e.org = s.org AND e.idx = 511 + coalesce((SELECT max(d.first_idx) FROM log_drop d WHERE d.org = s.org), -256)
) < $2
ORDER BY s.org LIMIT $3

-- name: all.log_unpruned
-- all: nodes below dropped ranges go in every log alike
SELECT org, first_idx FROM log_drop WHERE pruned = 0 ORDER BY org, first_idx LIMIT $1

-- name: log.first
SELECT last_idx + 1, newest FROM log_drop WHERE org = $1 ORDER BY first_idx DESC LIMIT 1

-- name: log.drops
SELECT first_idx, last_idx, root FROM log_drop WHERE org = $1 AND first_idx >= $2 ORDER BY first_idx LIMIT $3

-- name: log.drop_insert
INSERT INTO log_drop (org, first_idx, last_idx, root, newest, at) VALUES ($1, $2, $3, $4, $5, $6)

-- name: log.entries_drop
DELETE FROM audit_entry WHERE org = $1 AND idx >= $2 AND idx < $3

-- name: log.nodes_prune
DELETE FROM log_node WHERE org = $1 AND level = $2 AND idx >= $3 AND idx < $4

-- name: log.pruned
UPDATE log_drop SET pruned = 1 WHERE org = $1 AND first_idx = $2

-- name: log.erasable
SELECT id, at, leaf FROM audit_entry WHERE org = $1 AND idx >= $2 AND idx < $3 AND salt IS NOT NULL ORDER BY idx

-- name: log.erase
UPDATE audit_entry SET salt = NULL, client_address = NULL, user_agent = NULL, actor_name = NULL
WHERE org = $1 AND salt IS NOT NULL AND id IN ($2 /*list*/)
