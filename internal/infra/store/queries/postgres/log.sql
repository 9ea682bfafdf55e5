-- name: log.nodes
-- The ids asked for come as JSON [[level, index], ...]; taking JSON apart is spelled differently on each database.
-- MATERIALIZED, because row-level security lets only leakproof conditions use an index: plain numbers are, a cast of
-- JSON is not. Subqueries instead of joins, because a planner that begins with the table reads the whole log.
WITH want AS MATERIALIZED (SELECT (j ->> 0)::bigint AS level, (j ->> 1)::bigint AS idx FROM json_array_elements($2::json) AS j)
SELECT want.level, want.idx, CASE
    WHEN want.level > 0 THEN (SELECT n.hash FROM log_node n WHERE n.org = $1 AND n.level = want.level AND n.idx = want.idx)
    ELSE (SELECT e.leaf_hash FROM audit_entry e WHERE e.org = $1 AND e.idx = want.idx)
    END
FROM want

-- name: audit.insert_pending
-- Only PostgreSQL has entries without a place: there the sequencer gives it after the commit.
INSERT INTO audit_entry (org, id, at, leaf, leaf_hash, salt, client_address, user_agent, actor_name, tally)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- name: all.audit_pending
-- all: one sequencer serves every organization
SELECT n, org, at, leaf, leaf_hash, tally FROM audit_entry WHERE idx IS NULL ORDER BY n LIMIT $1

-- name: all.audit_place
-- all: as all.audit_pending; rows are named by the sequencer's own reading
UPDATE audit_entry AS e SET idx = u.idx, tally = NULL FROM unnest($1::bigint[], $2::bigint[]) AS u (n, idx)
WHERE e.n = u.n AND e.idx IS NULL

-- name: all.outbox_place
-- all: as all.audit_pending
WITH next AS (SELECT n FROM outbox WHERE seq IS NULL ORDER BY n LIMIT $1),
placed AS (
    UPDATE outbox AS o SET seq = s.seq
    FROM (SELECT n, nextval('outbox_seq') AS seq FROM (SELECT n FROM next ORDER BY n) AS sorted) AS s
    WHERE o.n = s.n RETURNING o.org, o.subject
)
SELECT org, subject, count(*) FROM placed GROUP BY org, subject

-- name: all.sequencer_lock
-- all: one sequencer in the whole installation; the lock ends with the transaction
SELECT pg_try_advisory_xact_lock(4709311905542337)

-- name: all.notify
-- all: wakes the subscribers of every process
SELECT pg_notify($1, $2)

-- name: all.role
-- all: says whether the role would pass row-level security by
SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user

-- name: all.log_pending
-- all: a metric of the whole installation; counting stops at 100,000
SELECT count(*), coalesce(min(at), 0) FROM (SELECT at FROM audit_entry WHERE idx IS NULL ORDER BY n LIMIT 100000) AS p

-- name: all.audit_insert_pending
-- all: one batch holds entries of many organizations; each row carries its own
INSERT INTO audit_entry (org, id, at, leaf, leaf_hash, salt, client_address, user_agent, actor_name)
VALUES /*rows*/ ($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: all.log_node_unnest
-- all: as all.audit_insert_pending
INSERT INTO log_node (org, level, idx, hash) SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bytea[])

-- name: all.log_states
-- all: as all.audit_pending
SELECT org, state, use_hour, calls, success, errors, micros, max_micros FROM log_state WHERE org = ANY($1::text[])

-- name: log.pending
-- Entries that have no place yet, newest first, by the index that holds only them.
SELECT -1, id, leaf, leaf_hash, salt, client_address, user_agent, actor_name FROM audit_entry
WHERE org = $1 AND idx IS NULL ORDER BY n DESC LIMIT $2
