-- Findings by their CVE ids, for VEX documents.

-- name: vex.pairs
SELECT k.cve, k.id FROM finding_cve k WHERE k.org = $1 AND (k.cve, k.id) > ($2, $3) ORDER BY k.cve, k.id LIMIT $4;

-- name: vex.with_cve
SELECT k.cve, k.id FROM finding_cve k WHERE k.org = $1 AND k.cve IN ($3 /*list*/) ORDER BY k.cve, k.id LIMIT $2;
