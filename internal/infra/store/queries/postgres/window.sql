-- name: all.window_take
-- all: windows belong to principals and addresses, not to organizations. On SQLite one process counts in memory.
SELECT * FROM assay_take($1, $2, $3, $4, $5, $6, $7, $8)
