-- What public sources say of CVE ids.

-- name: all.intel_sources
-- all: public data of the server, of no organization
SELECT source, shelf, version, date, row_count, sha256, imported_at FROM intel_source WHERE shelf <> 0 ORDER BY source

-- name: all.intel_lookup
-- all: as all.intel_sources. The shelves are given, so that no planner can look for the ids in all of them.
SELECT shelf, cve, score, percentile, detail FROM intel_cve WHERE shelf IN ($1, $2, $3) AND cve IN ($4 /*list*/)

-- name: all.intel_page
-- all: as all.intel_sources
SELECT cve, score, percentile, detail FROM intel_cve WHERE shelf = $1 AND cve > $2 ORDER BY cve LIMIT $3

-- name: all.intel_begin
-- all: as all.intel_sources. Whoever comes last has the hold.
INSERT INTO intel_source (source, shelf, token) VALUES ($1, 0, $2)
ON CONFLICT (source) DO UPDATE SET token = excluded.token
RETURNING shelf

-- name: all.intel_hold
-- all: as all.intel_sources. Touches no row where another import has the hold; else it keeps others waiting.
UPDATE intel_source SET token = $2 WHERE source = $1 AND token = $2

-- name: all.intel_put
-- all: as all.intel_sources
INSERT INTO intel_cve (shelf, cve, score, percentile, detail) VALUES /*rows*/ ($1, $2, $3, $4, $5)
ON CONFLICT (shelf, cve) DO UPDATE SET score = excluded.score, percentile = excluded.percentile, detail = excluded.detail

-- name: all.intel_drop
-- all: as all.intel_sources
DELETE FROM intel_cve WHERE shelf = $1 AND cve IN ($2 /*list*/)

-- name: all.intel_switch
-- all: as all.intel_sources
UPDATE intel_source SET shelf = $3, version = $4, date = $5, row_count = $6, sha256 = $7, imported_at = $8
WHERE source = $1 AND token = $2
