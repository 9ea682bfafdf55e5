-- The inventory and the scan scope.

-- Lists add conditions, order and limit to asset.rows, or to asset.tagged where a tag leads.
-- name: asset.rows
SELECT a.id, a.kind, a.name, a.note, a.tags, a.attributes, a.source, a.status, a.created_at, a.updated_at,
       a.first_seen_at, a.last_seen_at
FROM asset a WHERE a.org = $1;

-- CROSS JOIN fixes the order on SQLite: the tag's index is the list's order.
-- name: asset.tagged
SELECT a.id, a.kind, a.name, a.note, a.tags, a.attributes, a.source, a.status, a.created_at, a.updated_at,
       a.first_seen_at, a.last_seen_at
FROM asset_tag k CROSS JOIN asset a WHERE k.org = $1 AND a.org = k.org AND a.id = k.id;

-- name: asset.insert
INSERT INTO asset (org, id, kind, name, note, tags, attributes, source, status, created_at, updated_at,
                   first_seen_at, last_seen_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13);

-- name: asset.update
UPDATE asset SET note = $3, tags = $4, attributes = $5, status = $6, updated_at = $7
WHERE org = $1 AND id = $2;

-- name: asset.delete
DELETE FROM asset WHERE org = $1 AND id = $2;

-- A row that was there keeps its id, so the id that comes back tells new from known. What a person wrote stays.
-- name: asset.observe
INSERT INTO asset (org, id, kind, name, note, tags, attributes, source, status, created_at, updated_at,
                   first_seen_at, last_seen_at)
VALUES /*rows*/ ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (org, name, kind) DO UPDATE SET
    attributes = coalesce(excluded.attributes, asset.attributes),
    status = 'active',
    last_seen_at = CASE WHEN excluded.last_seen_at > asset.last_seen_at THEN excluded.last_seen_at ELSE asset.last_seen_at END
RETURNING id, kind, name;

-- name: asset.tag_insert
INSERT INTO asset_tag (org, tag, id) VALUES /*rows*/ ($1, $2, $3);

-- name: asset.tag_delete
DELETE FROM asset_tag WHERE org = $1 AND tag = $2 AND id = $3;

-- name: asset.word_insert
INSERT INTO asset_word (org, word, id) VALUES /*rows*/ ($1, $2, $3);

-- name: asset.word_delete
DELETE FROM asset_word WHERE org = $1 AND word = $2 AND id = $3;

-- Writing a row to itself holds it until the unit ends.
-- name: asset.hold
UPDATE asset SET source = source WHERE org = $1 AND id = $2;

-- name: scope.get
SELECT allow_doc, deny_doc, updated_at FROM scan_scope WHERE org = $1;

-- name: scope.put
INSERT INTO scan_scope (org, allow_doc, deny_doc, updated_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (org) DO UPDATE SET allow_doc = excluded.allow_doc, deny_doc = excluded.deny_doc,
    updated_at = excluded.updated_at;
