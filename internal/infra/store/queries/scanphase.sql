-- Parents and their children. Whoever holds several of them locks the parent first, then children, then the turn.

-- name: scan.looked
SELECT looked FROM scan WHERE org = $1 AND id = $2 AND generation >= 0;

-- name: scan.open_children
SELECT id FROM scan WHERE org = $1 AND parent = $2 AND status IN ('queued', 'running') ORDER BY id LIMIT 500;

-- name: scan.family_assets
SELECT a.kind, a.name, a.attributes, a.source FROM scan c JOIN scan_asset a
    ON a.org = c.org AND a.scan = c.id AND a.generation = c.generation
WHERE c.org = $1 AND c.parent = $2 AND c.generation > 0 ORDER BY a.kind, a.name, c.id;

-- name: scan.turn_insert
INSERT INTO scan_turn (org, scan, at) VALUES /*rows*/ ($1, $2, $3);

-- A child has begun or ended. It touches the turn and not the parent's row, which somebody may hold who waits for the child.
-- name: scan.turn_mark
UPDATE scan_turn SET at = $3, seq = seq + 1
WHERE org = $1 AND scan = (SELECT c.parent FROM scan c WHERE c.org = $1 AND c.id = $2);

-- name: scan.turn_settle
UPDATE scan_turn SET at = $4 WHERE org = $1 AND scan = $2 AND seq = $3;

-- name: scan.turn_end
DELETE FROM scan_turn WHERE org = $1 AND scan = $2;

-- name: all.scan_turns
-- all: parents of every organization are brought on
SELECT org, scan, seq FROM scan_turn WHERE at <= $1 ORDER BY at, scan LIMIT $2;

-- name: scan.parent_hold
UPDATE scan SET fence = fence WHERE org = $1 AND id = $2 AND course IS NOT NULL AND generation >= 0;

-- name: scan.parent_advance
UPDATE scan SET course = $4, phase = $6,
       status = CASE WHEN CAST($3 AS BIGINT) > 0 THEN 'running' ELSE status END,
       attempt = CASE WHEN CAST($3 AS BIGINT) > 0 THEN 1 ELSE attempt END,
       started_at = CASE WHEN started_at = 0 THEN CAST($3 AS BIGINT) ELSE started_at END,
       progress = CASE WHEN CAST($5 AS BIGINT) > progress THEN CAST($5 AS BIGINT) ELSE progress END
WHERE org = $1 AND id = $2 AND admitted = 2;

-- The results of a try to merge stand under a fence of their own; they are shown with the end.
-- name: scan.parent_renew
UPDATE scan SET fence = fence + 1 WHERE org = $1 AND id = $2 AND course IS NOT NULL
    AND (admitted = 2 OR status = 'cancelled') AND generation >= 0
RETURNING fence;

-- name: scan.parent_owns
UPDATE scan SET fence = fence WHERE org = $1 AND id = $2 AND fence = $3 AND course IS NOT NULL
    AND (admitted = 2 OR status = 'cancelled') AND generation >= 0;

-- name: scan.parent_finish
UPDATE scan SET status = $4, ended_at = $5, outcome = $6, reasons = $7, error = $8, version = $9, summary = $10, looked = $11,
       progress = CASE WHEN CAST($12 AS BIGINT) = 1 THEN 100 ELSE progress END,
       phase = '', admitted = 0, generation = fence
WHERE org = $1 AND id = $2 AND fence = $3 AND admitted = 2;

-- What is left to say of a parent that was cancelled. Status and end stay.
-- name: scan.parent_finish_cancelled
UPDATE scan SET outcome = $4, reasons = $5, version = $6, summary = $7, looked = $8, phase = '', generation = fence
WHERE org = $1 AND id = $2 AND fence = $3 AND status = 'cancelled';
