-- The life of findings as people see it: their order in lists, decisions on them, their history, and counts of them.
--
-- place sorts worst first and then newest: (4 - severity) << 56 | first_seen_at, so that the order of a list changes
-- only where a severity does. look_at is the start of the scan that saw the finding last, unseen_at since when complete
-- scans no longer see one that a person has decided on. until and decision are the ruling in force; entries is the
-- length of the history, revision the entry that made the status what it is. was is the counted cell (status/severity)
-- that the row left with its last upsert, so that counts stay exact where several scans write.

-- +goose Up
ALTER TABLE finding ADD COLUMN place INTEGER NOT NULL DEFAULT 0;
ALTER TABLE finding ADD COLUMN category TEXT NOT NULL DEFAULT '';
ALTER TABLE finding ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;
ALTER TABLE finding ADD COLUMN cves TEXT NOT NULL DEFAULT '';
ALTER TABLE finding ADD COLUMN first_scan TEXT;
ALTER TABLE finding ADD COLUMN look_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE finding ADD COLUMN unseen_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE finding ADD COLUMN until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE finding ADD COLUMN decision TEXT;
ALTER TABLE finding ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE finding ADD COLUMN entries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE finding ADD COLUMN was TEXT NOT NULL DEFAULT '';

-- What happened to a finding, numbered from 1.
CREATE TABLE finding_history (
    org        TEXT    NOT NULL,
    finding    TEXT    NOT NULL,
    seq        INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    kind       TEXT    NOT NULL,
    before     TEXT    NOT NULL,
    status     TEXT    NOT NULL,
    scan       TEXT,
    actor_kind TEXT,
    actor      TEXT,
    decision   TEXT,
    PRIMARY KEY (org, finding, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE finding_cve (
    org TEXT NOT NULL,
    cve TEXT NOT NULL,
    id  TEXT NOT NULL,
    PRIMARY KEY (org, cve, id)
) STRICT, WITHOUT ROWID;

-- A kind of finding: a rule and the words that its findings are called by. Few kinds hold many findings, so a search by
-- word finds kinds first. kind is 63 bits of a digest of both. Words of a title of before keep their kind.
CREATE TABLE finding_kind (
    org  TEXT NOT NULL,
    kind INTEGER NOT NULL,
    rule TEXT NOT NULL,
    PRIMARY KEY (org, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX finding_kind_rule ON finding_kind (org, rule, kind);

CREATE TABLE finding_word (
    org  TEXT NOT NULL,
    word TEXT NOT NULL,
    kind INTEGER NOT NULL,
    PRIMARY KEY (org, word, kind)
) STRICT, WITHOUT ROWID;

-- How many findings stand in a cell, kept by every change.
CREATE TABLE finding_count (
    org      TEXT    NOT NULL,
    severity INTEGER NOT NULL,
    status   TEXT    NOT NULL,
    n        INTEGER NOT NULL,
    PRIMARY KEY (org, severity, status)
) STRICT, WITHOUT ROWID;

-- Findings of before: a history that begins with what is known of them. Without a digest the next scan that sees one
-- enters its kind and CVE ids.
INSERT INTO finding_history (org, finding, seq, at, kind, before, status, scan)
SELECT org, id, 1, first_seen_at, 'opened', '', 'open', NULL FROM finding;
INSERT INTO finding_history (org, finding, seq, at, kind, before, status, scan)
SELECT org, id, 2, fixed_at, 'fixed', 'open', 'fixed', fixed_scan FROM finding WHERE status = 'fixed';
UPDATE finding SET place = ((4 - severity) * 72057594037927936) + first_seen_at, digest = x'',
    revision = CASE WHEN status = 'fixed' THEN 2 ELSE 1 END, entries = CASE WHEN status = 'fixed' THEN 2 ELSE 1 END,
    category = coalesce((SELECT json_extract(d.doc, '$.category') FROM finding_doc d WHERE d.org = finding.org AND d.id = finding.id), '');
INSERT INTO finding_count (org, severity, status, n) SELECT org, severity, status, count(*) FROM finding GROUP BY org, severity, status;

CREATE INDEX finding_worst ON finding (org, status, place, id);
CREATE INDEX finding_host ON finding (org, host, place, id);
CREATE INDEX finding_kind_place ON finding (org, kind, place);
CREATE INDEX finding_until ON finding (org, until, id) WHERE status = 'accepted' AND until > 0;
CREATE INDEX finding_lapse ON finding (until, org) WHERE status = 'accepted' AND until > 0;
CREATE INDEX finding_unseen ON finding (org, place, id) WHERE unseen_at > 0;
