-- name: log.nodes
-- The ids asked for come as JSON [[level, index], ...]; taking JSON apart is spelled differently on each database.
SELECT n.level, n.idx, n.hash FROM json_each($2) AS want
JOIN log_node n ON n.org = $1 AND n.level = json_extract(want.value, '$[0]') AND n.idx = json_extract(want.value, '$[1]')
WHERE json_extract(want.value, '$[0]') > 0
UNION ALL
SELECT 0, e.idx, e.leaf_hash FROM json_each($2) AS want
JOIN audit_entry e ON e.org = $1 AND e.idx = json_extract(want.value, '$[1]')
WHERE json_extract(want.value, '$[0]') = 0

-- name: all.log_pending
-- all: a metric of the whole installation. Here entries get their place in the commit, so nothing is ever pending.
SELECT 0, 0
