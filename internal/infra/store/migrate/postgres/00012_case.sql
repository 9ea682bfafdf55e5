-- Cases: findings of several engines that are one real issue. A finding is in one case, which stands in its own row, so
-- that a list of findings knows it; NULL until it was correlated.
--
-- case_keys are what others find it by (correlation.KeysOf), with blanks between; '' where nothing ties it to any. A
-- single one is found here, and where there are several each has a row of finding_case_key. risk is the score of 0 to 100, -1
-- until it was weighed.

-- +goose Up
ALTER TABLE finding ADD COLUMN case_id TEXT COLLATE "C";
ALTER TABLE finding ADD COLUMN case_since BIGINT NOT NULL DEFAULT 0;
ALTER TABLE finding ADD COLUMN case_why TEXT;
ALTER TABLE finding ADD COLUMN case_keys TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE finding ADD COLUMN risk BIGINT NOT NULL DEFAULT -1;
CREATE INDEX finding_in_case ON finding (org, case_id, id) WHERE case_id IS NOT NULL;
CREATE INDEX finding_uncased ON finding (org, id) WHERE case_id IS NULL;
CREATE INDEX finding_case_keys ON finding (org, case_keys, id) WHERE case_keys <> '';
CREATE INDEX finding_risk ON finding (org, status, risk, id);
CREATE INDEX finding_fixed_by ON finding (org, fixed_scan, id) WHERE fixed_scan IS NOT NULL;

CREATE TABLE finding_case_key (
    org     TEXT COLLATE "C" NOT NULL,
    key     TEXT COLLATE "C" NOT NULL,
    finding TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org, key, finding)
);
SELECT assay_isolate('finding_case_key');

CREATE TABLE finding_case (
    org           TEXT COLLATE "C" NOT NULL,
    id            TEXT COLLATE "C" NOT NULL,
    title         TEXT    NOT NULL,
    severity      BIGINT NOT NULL,
    confidence    TEXT    NOT NULL,
    status        TEXT COLLATE "C" NOT NULL,
    kind          TEXT    NOT NULL,
    asset         TEXT COLLATE "C" NOT NULL,
    engines       TEXT    NOT NULL,
    cves          TEXT    NOT NULL,
    words         TEXT    NOT NULL,
    members       BIGINT NOT NULL,
    risk          BIGINT NOT NULL,
    -- worst first, then the one seen last
    place         BIGINT NOT NULL,
    first_seen_at BIGINT NOT NULL,
    last_seen_at  BIGINT NOT NULL,
    fixed_at      BIGINT NOT NULL DEFAULT 0,
    merged_into   TEXT COLLATE "C",
    entries       BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (org, id)
);
SELECT assay_isolate('finding_case');
CREATE INDEX finding_case_risk ON finding_case (org, status, risk, id);
CREATE INDEX finding_case_place ON finding_case (org, status, place, id);
CREATE INDEX finding_case_seen ON finding_case (org, status, last_seen_at, id);
CREATE INDEX finding_case_asset ON finding_case (org, asset, risk, id);

-- What happened to a case. doc holds who did it, and which findings came or went.
CREATE TABLE finding_case_history (
    org     TEXT COLLATE "C" NOT NULL,
    case_id TEXT COLLATE "C" NOT NULL,
    seq     BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    kind    TEXT    NOT NULL,
    doc     TEXT    NOT NULL,
    PRIMARY KEY (org, case_id, seq)
);
SELECT assay_isolate('finding_case_history');

-- What people said: a finding stays by itself (other is ''), or belongs with another, and then there is a row from each
-- end.
CREATE TABLE finding_case_pin (
    org        TEXT COLLATE "C" NOT NULL,
    finding    TEXT COLLATE "C" NOT NULL,
    other      TEXT COLLATE "C" NOT NULL,
    was        TEXT COLLATE "C",
    reason     TEXT    NOT NULL,
    actor_kind TEXT    NOT NULL,
    actor      TEXT    NOT NULL,
    at         BIGINT NOT NULL,
    -- 0 of the row that was made from the far end
    own        BIGINT NOT NULL,
    PRIMARY KEY (org, finding, other)
);
SELECT assay_isolate('finding_case_pin');

-- Names and the addresses that scans found them to have.
CREATE TABLE host_alias (
    org     TEXT COLLATE "C" NOT NULL,
    name    TEXT COLLATE "C" NOT NULL,
    address TEXT COLLATE "C" NOT NULL,
    at      BIGINT NOT NULL,
    PRIMARY KEY (org, name, address)
);
SELECT assay_isolate('host_alias');

-- Under which rules and sources an organization's cases were formed, and how far a pass under newer ones has come. The
-- row is held by whoever arranges the organization's cases.
CREATE TABLE finding_case_state (
    org   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    done  TEXT COLLATE "C" NOT NULL DEFAULT '',
    goal  TEXT COLLATE "C" NOT NULL DEFAULT '',
    after TEXT COLLATE "C" NOT NULL DEFAULT ''
);
SELECT assay_isolate('finding_case_state');

CREATE INDEX scan_host_complete ON scan (org, host, engine, ended_at, id) WHERE outcome = 'complete';

-- The rows of all organizations are meant.
SET LOCAL app.org = '*';
INSERT INTO outbox_cursor (name, seq) SELECT 'cases', coalesce(max(seq), 0) FROM outbox;
