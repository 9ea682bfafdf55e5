-- name: all.outbox_prune
-- all: old events of every organization go alike, oldest first. The order of writing is called n here and seq on
-- SQLite.
DELETE FROM outbox WHERE at < $1 AND seq IS NOT NULL AND n IN (SELECT n FROM outbox ORDER BY n LIMIT 500)
