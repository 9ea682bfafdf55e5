-- name: all.window_put
-- all: windows belong to principals and addresses, not to organizations
INSERT INTO window_counter (key, min_at, min_n, hour_at, hour_n, day_at, day_n)
VALUES /*rows*/ ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (key) DO UPDATE SET min_at = excluded.min_at, min_n = excluded.min_n, hour_at = excluded.hour_at,
    hour_n = excluded.hour_n, day_at = excluded.day_at, day_n = excluded.day_n

-- name: all.windows
-- all: as all.window_put
SELECT key, min_at, min_n, hour_at, hour_n, day_at, day_n FROM window_counter WHERE day_at >= $1

-- name: all.window_prune
-- all: as all.window_put. At most 500 at a time; times are Unix seconds.
DELETE FROM window_counter WHERE key IN (SELECT key FROM window_counter WHERE day_at < $1 LIMIT 500)
