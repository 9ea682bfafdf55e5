-- name: all.outbox_prune
-- all: old events of every organization go alike, oldest first. The order of writing is called seq here and n on
-- PostgreSQL, where seq comes later.
DELETE FROM outbox WHERE at < $1 AND seq IN (SELECT seq FROM outbox ORDER BY seq LIMIT 500)
