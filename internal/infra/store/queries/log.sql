-- name: all.audit_insert
-- all: one batch holds entries of many organizations; each row carries its own
INSERT INTO audit_entry (org, id, idx, at, leaf, leaf_hash, salt, client_address, user_agent, actor_name)
VALUES /*rows*/ ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- name: all.log_node_insert
-- all: as all.audit_insert
INSERT INTO log_node (org, level, idx, hash) VALUES /*rows*/ ($1, $2, $3, $4)

-- name: all.log_state_put
-- all: as all.audit_insert
INSERT INTO log_state (org, size, state) VALUES /*rows*/ ($1, $2, $3)
ON CONFLICT (org) DO UPDATE SET size = excluded.size, state = excluded.state, use_hour = 0, calls = 0, success = 0,
    errors = 0, micros = 0, max_micros = 0

-- name: all.log_state_grow
-- all: as all.audit_insert
INSERT INTO log_state (org, size, state, use_hour, calls, success, errors, micros, max_micros)
VALUES /*rows*/ ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (org) DO UPDATE SET size = excluded.size, state = excluded.state, use_hour = excluded.use_hour,
    calls = excluded.calls, success = excluded.success, errors = excluded.errors, micros = excluded.micros,
    max_micros = excluded.max_micros

-- name: all.log_sizes
-- all: the check at start looks at every log. The recursion hops over the index from organization to organization,
-- where GROUP BY would read every entry.
WITH RECURSIVE o (org) AS (
    SELECT min(org) FROM audit_entry
    UNION ALL
    SELECT (SELECT min(e.org) FROM audit_entry e WHERE e.org > o.org) FROM o WHERE o.org IS NOT NULL
)
SELECT o.org, coalesce((SELECT max(e.idx) + 1 FROM audit_entry e WHERE e.org = o.org AND e.idx IS NOT NULL), 0)
FROM o WHERE o.org IS NOT NULL

-- name: log.state
SELECT state FROM log_state WHERE org = $1

-- name: log.edge
SELECT state, use_hour, calls, success, errors, micros, max_micros FROM log_state WHERE org = $1

-- name: log.nodes_drop
DELETE FROM log_node WHERE org = $1

-- name: log.leaves
SELECT idx, leaf_hash FROM audit_entry WHERE org = $1 AND idx >= $2 ORDER BY idx LIMIT $3

-- name: log.entries
SELECT idx, id, leaf, leaf_hash, salt, client_address, user_agent, actor_name FROM audit_entry
WHERE org = $1 AND idx >= $2 AND idx < $3 ORDER BY idx LIMIT $4

-- name: log.newest
SELECT idx, id, leaf, leaf_hash, salt, client_address, user_agent, actor_name FROM audit_entry
WHERE org = $1 AND idx < $2 ORDER BY idx DESC LIMIT $3

-- name: log.entry
SELECT coalesce(idx, -1), id, leaf, leaf_hash, salt, client_address, user_agent, actor_name FROM audit_entry
WHERE org = $1 AND id = $2
