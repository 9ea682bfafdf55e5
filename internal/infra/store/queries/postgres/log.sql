-- name: log.nodes
-- The ids asked for come as JSON [[level, index], ...]; taking JSON apart is spelled differently on each database.
SELECT n.level, n.idx, n.hash FROM json_array_elements($2::json) AS want
JOIN log_node n ON n.org = $1 AND n.level = (want ->> 0)::bigint AND n.idx = (want ->> 1)::bigint
WHERE (want ->> 0)::bigint > 0
UNION ALL
SELECT 0, e.idx, e.leaf FROM json_array_elements($2::json) AS want
JOIN audit_entry e ON e.org = $1 AND e.idx = (want ->> 1)::bigint
WHERE (want ->> 0)::bigint = 0

-- name: audit.insert_pending
-- Only PostgreSQL has entries without a place: there the sequencer gives it after the commit.
INSERT INTO audit_entry (org, id, at, leaf, salt, client_address, user_agent, actor_name)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)

-- name: all.audit_pending
-- all: one sequencer serves every organization
SELECT n, org, leaf FROM audit_entry WHERE idx IS NULL ORDER BY n LIMIT $1

-- name: all.audit_place
-- all: as all.audit_pending; rows are named by the sequencer's own reading
UPDATE audit_entry AS e SET idx = u.idx FROM unnest($1::bigint[], $2::bigint[]) AS u (n, idx)
WHERE e.n = u.n AND e.idx IS NULL

-- name: all.outbox_place
-- all: as all.audit_pending
WITH next AS (SELECT n FROM outbox WHERE seq IS NULL ORDER BY n LIMIT $1),
placed AS (
    UPDATE outbox AS o SET seq = s.seq
    FROM (SELECT n, nextval('outbox_seq') AS seq FROM (SELECT n FROM next ORDER BY n) AS sorted) AS s
    WHERE o.n = s.n RETURNING o.org, o.subject
)
SELECT DISTINCT org, subject FROM placed

-- name: all.sequencer_lock
-- all: one sequencer in the whole installation; the lock ends with the transaction
SELECT pg_try_advisory_xact_lock(4709311905542337)

-- name: all.notify
-- all: wakes the subscribers of every process
SELECT pg_notify($1, $2)

-- name: all.role
-- all: says whether the role would pass row-level security by
SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user
