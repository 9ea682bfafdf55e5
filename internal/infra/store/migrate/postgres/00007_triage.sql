-- The life of findings as people see it: their order in lists, decisions on them, their history, and counts of them.
--
-- place sorts worst first and then newest: (4 - severity) << 56 | first_seen_at, so that the order of a list changes
-- only where a severity does. look_at is the start of the scan that saw the finding last, unseen_at since when complete
-- scans no longer see one that a person has decided on. until and decision are the ruling in force; entries is the
-- length of the history, revision the entry that made the status what it is. was is the counted cell (status/severity)
-- that the row left with its last upsert, so that counts stay exact where several scans write.

-- +goose Up
ALTER TABLE finding ADD COLUMN place BIGINT NOT NULL DEFAULT 0;
ALTER TABLE finding ADD COLUMN category TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE finding ADD COLUMN kind BIGINT NOT NULL DEFAULT 0;
ALTER TABLE finding ADD COLUMN cves TEXT NOT NULL DEFAULT '';
ALTER TABLE finding ADD COLUMN first_scan TEXT COLLATE "C";
ALTER TABLE finding ADD COLUMN look_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE finding ADD COLUMN unseen_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE finding ADD COLUMN until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE finding ADD COLUMN decision TEXT;
ALTER TABLE finding ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
ALTER TABLE finding ADD COLUMN entries BIGINT NOT NULL DEFAULT 0;
ALTER TABLE finding ADD COLUMN was TEXT NOT NULL DEFAULT '';

-- What happened to a finding, numbered from 1.
CREATE TABLE finding_history (
    org        TEXT COLLATE "C" NOT NULL,
    finding    TEXT COLLATE "C" NOT NULL,
    seq        BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL,
    before     TEXT    NOT NULL,
    status     TEXT COLLATE "C" NOT NULL,
    scan       TEXT COLLATE "C",
    actor_kind TEXT,
    actor      TEXT,
    decision   TEXT,
    PRIMARY KEY (org, finding, seq)
);
SELECT assay_isolate('finding_history');

CREATE TABLE finding_cve (
    org TEXT COLLATE "C" NOT NULL,
    cve TEXT COLLATE "C" NOT NULL,
    id  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org, cve, id)
);
SELECT assay_isolate('finding_cve');

-- A kind of finding: a rule and the words that its findings are called by. Few kinds hold many findings, so a search by
-- word finds kinds first. kind is 63 bits of a digest of both. Words of a title of before keep their kind.
CREATE TABLE finding_kind (
    org  TEXT COLLATE "C" NOT NULL,
    kind BIGINT NOT NULL,
    rule TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org, kind)
);
SELECT assay_isolate('finding_kind');
CREATE INDEX finding_kind_rule ON finding_kind (org, rule, kind);

CREATE TABLE finding_word (
    org  TEXT COLLATE "C" NOT NULL,
    word TEXT COLLATE "C" NOT NULL,
    kind BIGINT NOT NULL,
    PRIMARY KEY (org, word, kind)
);
SELECT assay_isolate('finding_word');

-- How many findings stand in a cell, kept by every change.
CREATE TABLE finding_count (
    org      TEXT COLLATE "C" NOT NULL,
    severity BIGINT NOT NULL,
    status   TEXT COLLATE "C" NOT NULL,
    n        BIGINT NOT NULL,
    PRIMARY KEY (org, severity, status)
);
SELECT assay_isolate('finding_count');

-- The rows of all organizations are meant.
SET LOCAL app.org = '*';
-- Findings of before: a history that begins with what is known of them. Without a digest the next scan that sees one
-- enters its kind and CVE ids.
INSERT INTO finding_history (org, finding, seq, at, kind, before, status, scan)
SELECT org, id, 1, first_seen_at, 'opened', '', 'open', NULL FROM finding;
INSERT INTO finding_history (org, finding, seq, at, kind, before, status, scan)
SELECT org, id, 2, fixed_at, 'fixed', 'open', 'fixed', fixed_scan FROM finding WHERE status = 'fixed';
UPDATE finding SET place = ((4 - severity) * 72057594037927936) + first_seen_at, digest = ''::bytea,
    revision = CASE WHEN status = 'fixed' THEN 2 ELSE 1 END, entries = CASE WHEN status = 'fixed' THEN 2 ELSE 1 END,
    category = coalesce((SELECT d.doc::json ->> 'category' FROM finding_doc d WHERE d.org = finding.org AND d.id = finding.id), '');
INSERT INTO finding_count (org, severity, status, n) SELECT org, severity, status, count(*) FROM finding GROUP BY org, severity, status;

CREATE INDEX finding_worst ON finding (org, status, place, id);
CREATE INDEX finding_host ON finding (org, host, place, id);
CREATE INDEX finding_kind_place ON finding (org, kind, place);
CREATE INDEX finding_until ON finding (org, until, id) WHERE status = 'accepted' AND until > 0;
CREATE INDEX finding_lapse ON finding (until, org) WHERE status = 'accepted' AND until > 0;
CREATE INDEX finding_unseen ON finding (org, place, id) WHERE unseen_at > 0;
