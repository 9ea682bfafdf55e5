-- name: log.nodes
-- The ids asked for come as JSON [[level, index], ...]; taking JSON apart is spelled differently on each database.
-- Subqueries instead of joins, because a planner that begins with the table reads the whole log.
SELECT want.value ->> 0, want.value ->> 1, CASE
    WHEN want.value ->> 0 > 0 THEN (SELECT n.hash FROM log_node n WHERE n.org = $1 AND n.level = want.value ->> 0 AND n.idx = want.value ->> 1)
    ELSE (SELECT e.leaf_hash FROM audit_entry e WHERE e.org = $1 AND e.idx = want.value ->> 1)
    END
FROM json_each($2) AS want

-- name: all.log_pending
-- all: a metric of the whole installation. Here entries get their place in the commit, so nothing is ever pending.
SELECT 0, 0

-- name: log.pending
-- Entries that have no place yet: none here, where the place is given in the commit. On PostgreSQL they are read in the
-- order of a column that only it has.
SELECT -1, id, leaf, leaf_hash, salt, client_address, user_agent, actor_name FROM audit_entry
WHERE org = $1 AND idx IS NULL ORDER BY id DESC LIMIT $2
