-- name: all.ping
-- all: asks whether the database answers
SELECT 1

-- name: all.schema_files
-- all: the schema belongs to no organization
SELECT version, sha256 FROM schema_file

-- name: all.schema_file_insert
-- all: the schema belongs to no organization
INSERT INTO schema_file (version, sha256) VALUES ($1, $2) ON CONFLICT (version) DO NOTHING

-- name: outbox.insert
INSERT INTO outbox (org, type, subject, at, data) VALUES /*rows*/ ($1, $2, $3, $4, $5)

-- name: outbox.events
SELECT seq, type, at, data FROM outbox WHERE org = $1 AND subject = $2 AND seq > $3 ORDER BY seq LIMIT $4
