-- Two scans beside each other. A weakness counts once, by its worst place; the rows are those of result.rows.

-- name: comparison.counts
-- Of the try $2/$3: how many weaknesses of each severity the other try ($4/$5) has too, and how many not. Both sides
-- are read by the index of weaknesses alone.
SELECT w.position / 4294967296, w.both_have, count(*) FROM (
    SELECT min(r.position) AS position, CASE WHEN EXISTS (
        SELECT 1 FROM scan_result o WHERE o.org = $1 AND o.scan = $4 AND o.generation = $5 AND o.finding = r.finding)
        THEN 1 ELSE 0 END AS both_have
    FROM scan_result r WHERE r.org = $1 AND r.scan = $2 AND r.generation = $3 GROUP BY r.finding) w
GROUP BY w.position / 4294967296, w.both_have;
