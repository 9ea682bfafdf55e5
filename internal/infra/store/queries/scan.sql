-- Scans and what they left. Every transition is one statement that names the state it starts from: no row touched
-- means that somebody else was first. A scan that retention has dropped has generation -1, and shows no results.

-- name: scan.rows
SELECT s.id, s.engine, s.name, s.target, s.target_type, s.host, s.priority, s.status, s.progress, s.phase, s.options,
       s.config, s.sealed, s.tags, s.timeout, s.asset_id, s.created_by, s.created_at, s.started_at, s.ended_at,
       s.attempt, s.fence, s.lease_until, s.outcome, s.reasons, s.error, s.version, s.summary, s.template, s.template_run,
       s.course, s.parent, s.stage
FROM scan s WHERE s.org = $1;

-- CROSS JOIN fixes the order on SQLite: the tag's index is the list's order.
-- name: scan.tagged
SELECT s.id, s.engine, s.name, s.target, s.target_type, s.host, s.priority, s.status, s.progress, s.phase, s.options,
       s.config, s.sealed, s.tags, s.timeout, s.asset_id, s.created_by, s.created_at, s.started_at, s.ended_at,
       s.attempt, s.fence, s.lease_until, s.outcome, s.reasons, s.error, s.version, s.summary, s.template, s.template_run,
       s.course, s.parent, s.stage
FROM scan_tag k CROSS JOIN scan s WHERE k.org = $1 AND s.org = k.org AND s.id = k.id;

-- name: scan.insert
INSERT INTO scan (org, id, engine, name, target, target_type, host, priority, status, options, config, sealed, tags,
                  timeout, asset_id, created_by, created_at, due, template, template_run, admitted, course, parent, stage)
VALUES /*rows*/ ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24);

-- name: scan.tag_insert
INSERT INTO scan_tag (org, tag, created_at, id) VALUES /*rows*/ ($1, $2, $3, $4);

-- name: scan.word_insert
INSERT INTO scan_word (org, word, id) VALUES /*rows*/ ($1, $2, $3);

-- name: scan.cancel
UPDATE scan SET status = 'cancelled', ended_at = $3, admitted = 0, lease_until = 0, generation = fence
WHERE org = $1 AND id = $2 AND status IN ('queued', 'running');

-- Name and tags are all that a scan's owner may change.
-- name: scan.edit
UPDATE scan SET name = $3, tags = $4 WHERE org = $1 AND id = $2 AND generation >= 0;

-- name: scan.hold_any
UPDATE scan SET fence = fence WHERE org = $1 AND id = $2 AND generation >= 0;

-- name: scan.tags_clear
DELETE FROM scan_tag WHERE org = $1 AND id = $2;

-- name: scan.words_clear
DELETE FROM scan_word WHERE org = $1 AND id = $2;

-- name: scan.summarise
UPDATE scan SET summary = $3 WHERE org = $1 AND id = $2;

-- name: scan.start
UPDATE scan SET status = 'running', started_at = $4, attempt = attempt + 1, progress = 0, phase = ''
WHERE org = $1 AND id = $2 AND fence = $3 AND status = 'queued' AND admitted = 1;

-- name: scan.keep
UPDATE scan SET lease_until = $4, phase = $6,
       progress = CASE WHEN CAST($5 AS BIGINT) > progress THEN CAST($5 AS BIGINT) ELSE progress END
WHERE org = $1 AND id = $2 AND fence = $3 AND admitted = 1;

-- An attempt that doesn't count is taken back, where it had been started at all. The fence rises here too, so that
-- the worker before can't write even when the scan is cancelled in the line.
-- name: scan.requeue
UPDATE scan SET status = 'queued', admitted = 0, lease_until = 0, progress = 0, phase = '', started_at = 0,
       fence = fence + 1,
       attempt = attempt - CASE WHEN status = 'running' AND CAST($4 AS BIGINT) = 0 THEN 1 ELSE 0 END
WHERE org = $1 AND id = $2 AND fence = $3 AND admitted = 1;

-- name: scan.finish
UPDATE scan SET status = $4, ended_at = $5, outcome = $6, reasons = $7, error = $8, version = $9, summary = $10, looked = $11,
       progress = CASE WHEN CAST($12 AS BIGINT) = 1 THEN 100 ELSE progress END,
       admitted = 0, lease_until = 0, generation = fence
WHERE org = $1 AND id = $2 AND fence = $3 AND admitted = 1;

-- What a worker has to say of a scan that was cancelled under it. Status and end stay.
-- name: scan.finish_cancelled
UPDATE scan SET outcome = $4, reasons = $5, version = $6, summary = $7, looked = $8, generation = fence
WHERE org = $1 AND id = $2 AND fence = $3 AND status = 'cancelled';

-- Holds the scan for a worker's write. A lost lease touches no row.
-- name: scan.hold
UPDATE scan SET fence = fence WHERE org = $1 AND id = $2 AND fence = $3 AND status IN ('running', 'cancelled');

-- name: scan.hold_attempt
UPDATE scan SET fence = fence WHERE org = $1 AND id = $2 AND attempt = $3 AND status IN ('running', 'cancelled')
RETURNING fence;

-- name: scan.generation
SELECT generation FROM scan WHERE org = $1 AND id = $2 AND generation >= 0;

-- name: scan.artifact_count
SELECT count(*) FROM scan_artifact WHERE org = $1 AND scan = $2 AND generation = $3;

-- name: scan.artifact_put
INSERT INTO scan_artifact (org, scan, generation, name, media_type, size, sha256, truncated, ordinal)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (org, scan, generation, name) DO UPDATE SET media_type = excluded.media_type, size = excluded.size,
    sha256 = excluded.sha256, truncated = excluded.truncated;

-- name: scan.artifacts
SELECT name, media_type, size, sha256, truncated FROM scan_artifact
WHERE org = $1 AND scan = $2 AND generation = $3 ORDER BY ordinal, name;

-- name: scan.asset_insert
INSERT INTO scan_asset (org, scan, generation, kind, name, attributes, source)
VALUES /*rows*/ ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (org, scan, generation, kind, name) DO NOTHING;

-- name: scan.assets
SELECT kind, name, attributes, source FROM scan_asset
WHERE org = $1 AND scan = $2 AND generation = $3 ORDER BY kind, name;
