-- name: all.outbox_prune
-- all: old events of every organization go alike, oldest first, once every reader of
-- the outbox has seen them. The order of writing is called n here and seq on
-- SQLite.
DELETE FROM outbox WHERE at < $1 AND seq <= (SELECT min(c.seq) FROM outbox_cursor c) AND seq IS NOT NULL AND n IN (SELECT n FROM outbox ORDER BY n LIMIT 500)
