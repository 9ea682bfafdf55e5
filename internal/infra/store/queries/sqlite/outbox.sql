-- name: all.outbox_prune
-- all: old events of every organization go alike, oldest first, once every reader of
-- the outbox has seen them. The order of writing is called seq here and n on
-- PostgreSQL, where seq comes later.
DELETE FROM outbox WHERE at < $1 AND seq <= (SELECT min(c.seq) FROM outbox_cursor c) AND seq IN (SELECT seq FROM outbox ORDER BY seq LIMIT 500)
