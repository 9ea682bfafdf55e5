-- Templates of scans, their schedules and runs.

-- name: template.rows
SELECT t.id, t.name, t.note, t.engine, t.target_type, t.priority, t.options, t.config, t.sealed, t.tags, t.timeout,
       t.targets, t.created_by, t.created_at, t.updated_at, t.version, t.cron, t.time_zone, t.jitter, t.overlap,
       t.enabled, t.runs_as, t.next_due, t.start_at, t.last_due, t.stopped
FROM scan_template t WHERE t.org = $1;

-- CROSS JOIN fixes the order on SQLite: the tag's index is the list's order.
-- name: template.tagged
SELECT t.id, t.name, t.note, t.engine, t.target_type, t.priority, t.options, t.config, t.sealed, t.tags, t.timeout,
       t.targets, t.created_by, t.created_at, t.updated_at, t.version, t.cron, t.time_zone, t.jitter, t.overlap,
       t.enabled, t.runs_as, t.next_due, t.start_at, t.last_due, t.stopped
FROM scan_template_tag k CROSS JOIN scan_template t WHERE k.org = $1 AND t.org = k.org AND t.id = k.id;

-- name: template.insert
INSERT INTO scan_template (org, id, created_by, created_at, name, note, engine, target_type, priority, options, config,
                           sealed, tags, timeout, targets, updated_at, version, cron, time_zone, jitter, overlap,
                           enabled, runs_as, next_due, start_at, last_due, stopped)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
        $25, $26, $27);

-- Writing a row to itself holds it until the unit ends.
-- name: template.hold
UPDATE scan_template SET version = version WHERE org = $1 AND id = $2;

-- name: template.replace
UPDATE scan_template SET name = $3, note = $4, engine = $5, target_type = $6, priority = $7, options = $8, config = $9,
       sealed = $10, tags = $11, timeout = $12, targets = $13, updated_at = $14, version = $15, cron = $16,
       time_zone = $17, jitter = $18, overlap = $19, enabled = $20, runs_as = $21, next_due = $22, start_at = $23,
       last_due = $24, stopped = $25
WHERE org = $1 AND id = $2;

-- name: template.delete
DELETE FROM scan_template WHERE org = $1 AND id = $2;

-- name: template.tag_insert
INSERT INTO scan_template_tag (org, tag, id) VALUES /*rows*/ ($1, $2, $3);

-- name: template.tags_clear
DELETE FROM scan_template_tag WHERE org = $1 AND id = $2;

-- name: template.word_insert
INSERT INTO scan_template_word (org, word, id) VALUES /*rows*/ ($1, $2, $3);

-- name: template.words_clear
DELETE FROM scan_template_word WHERE org = $1 AND id = $2;

-- This statement is why a due time starts once: of all who try, one finds the row as it was read.
-- name: template.take
UPDATE scan_template SET next_due = $6, start_at = $7, last_due = $5
WHERE org = $1 AND id = $2 AND version = $3 AND next_due = $4 AND enabled = 1;

-- name: template.stop
UPDATE scan_template SET enabled = 0, next_due = 0, start_at = 0, stopped = $4, version = version + 1
WHERE org = $1 AND id = $2 AND version = $3 AND enabled = 1;

-- name: template.ran
SELECT count(*) FROM scan_template_run WHERE org = $1 AND template = $2 AND due = $3;

-- name: template.run_insert
INSERT INTO scan_template_run (org, id, template, due, at, state, replaced, doc) VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: template.run_prune
DELETE FROM scan_template_run WHERE org = $1 AND template = $2 AND due <= (
    SELECT r.due FROM scan_template_run r WHERE r.org = $1 AND r.template = $2 ORDER BY r.due DESC LIMIT 1 OFFSET 1000);

-- name: template.runs
SELECT r.id, r.template, r.due, r.at, r.state, r.replaced, r.doc
FROM scan_template_run r WHERE r.org = $1;

-- name: template.running
SELECT id FROM scan
WHERE org = $1 AND template = $2 AND template_run IS NOT NULL AND status IN ('queued', 'running') LIMIT 500;

-- name: all.template.due
-- all: the scheduler starts templates of every organization
SELECT t.org, t.id, t.start_at FROM scan_template t JOIN organization o ON o.org = t.org
WHERE t.start_at > 0 AND t.start_at <= $1 AND (t.start_at, t.id) > ($2, $3) AND o.suspended = 0
ORDER BY t.start_at, t.id LIMIT $4;

-- name: all.template.next
-- all: the scheduler sleeps until the next start of any organization
SELECT t.start_at FROM scan_template t JOIN organization o ON o.org = t.org
WHERE t.start_at > 0 AND t.start_at > $1 AND o.suspended = 0
ORDER BY t.start_at, t.id LIMIT 1;
