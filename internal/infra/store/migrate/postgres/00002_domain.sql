-- The records of the domain: organizations, access, quotas, assets, scans, findings.
--
-- Keys begin with org, so that every index is one organization's own range. Times are microseconds UTC, 0 where
-- absent; flags are 0 or 1; JSON is text that no query looks into. An absent text is NULL, never empty.
-- Foreign keys are immediate: a deferred one would fail at COMMIT and take a whole batch of changes with it. What a
-- row merely mentions (a scan its asset, a result its finding) carries no key, so that either may go first.
-- Assets and findings name their organization without a key: there are many, and each insert would lock its row. Who
-- deletes an organization empties them first, in chunks.
-- Keys and whatever a range is read of compare by byte (collation C), as on SQLite.

-- +goose Up
CREATE TABLE organization (
    org        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name       TEXT COLLATE "C" NOT NULL,
    plan       TEXT    NOT NULL,
    suspended  BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL
);
SELECT assay_isolate('organization');

CREATE TABLE org_settings (
    org TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES organization (org) ON DELETE CASCADE,
    doc TEXT NOT NULL
);
SELECT assay_isolate('org_settings');

-- Sealed secrets of the organization itself, one of a kind: 'signing_keys', 'callback'.
CREATE TABLE org_secret (
    org    TEXT COLLATE "C" NOT NULL REFERENCES organization (org) ON DELETE CASCADE,
    kind   TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (org, kind)
);
SELECT assay_isolate('org_secret');

CREATE TABLE scan_scope (
    org        TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES organization (org) ON DELETE CASCADE,
    allow_doc  TEXT    NOT NULL,
    deny_doc   TEXT    NOT NULL,
    updated_at BIGINT NOT NULL
);
SELECT assay_isolate('scan_scope');

CREATE TABLE quota_counter (
    org    TEXT COLLATE "C" NOT NULL REFERENCES organization (org) ON DELETE CASCADE,
    metric TEXT COLLATE "C" NOT NULL,
    period TEXT COLLATE "C" NOT NULL,
    used   BIGINT NOT NULL,
    PRIMARY KEY (org, metric, period)
);
SELECT assay_isolate('quota_counter');

CREATE TABLE api_key (
    org              TEXT COLLATE "C" NOT NULL REFERENCES organization (org) ON DELETE CASCADE,
    id               TEXT COLLATE "C" NOT NULL,
    name             TEXT COLLATE "C" NOT NULL,
    description      TEXT    NOT NULL,
    prefix           TEXT    NOT NULL,
    scopes           TEXT    NOT NULL,
    engines          TEXT    NOT NULL,
    addresses        TEXT    NOT NULL,
    per_minute       BIGINT NOT NULL,
    per_hour         BIGINT NOT NULL,
    per_day          BIGINT NOT NULL,
    created_by       TEXT COLLATE "C" NOT NULL,
    created_at       BIGINT NOT NULL,
    expires_at       BIGINT NOT NULL DEFAULT 0,
    suspended_at     BIGINT NOT NULL DEFAULT 0,
    revoked_at       BIGINT NOT NULL DEFAULT 0,
    last_used_at     BIGINT NOT NULL DEFAULT 0,
    previous_expires BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (org, id)
);
SELECT assay_isolate('api_key');
CREATE INDEX api_key_newest ON api_key (org, created_at, id);

-- The at most two living secrets of a key. until is 0 for the current one. The hash is unique over all
-- organizations: it is what finds the organization.
CREATE TABLE key_secret (
    hash   BYTEA NOT NULL PRIMARY KEY,
    org    TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    until  BIGINT NOT NULL DEFAULT 0,
    FOREIGN KEY (org, key_id) REFERENCES api_key (org, id) ON DELETE CASCADE
);
SELECT assay_isolate('key_secret');
CREATE INDEX key_secret_key ON key_secret (org, key_id);
CREATE UNIQUE INDEX key_secret_current ON key_secret (org, key_id) WHERE until = 0;
CREATE UNIQUE INDEX key_secret_previous ON key_secret (org, key_id) WHERE until <> 0;
CREATE INDEX key_secret_expiry ON key_secret (until) WHERE until <> 0;

CREATE TABLE user_account (
    org           TEXT COLLATE "C" NOT NULL REFERENCES organization (org) ON DELETE CASCADE,
    id            TEXT COLLATE "C" NOT NULL,
    username      TEXT    NOT NULL,
    folded        TEXT COLLATE "C" NOT NULL,
    email         TEXT    NOT NULL,
    role          TEXT    NOT NULL,
    password_hash TEXT    NOT NULL,
    must_reset    BIGINT NOT NULL DEFAULT 0,
    disabled      BIGINT NOT NULL DEFAULT 0,
    failures      BIGINT NOT NULL DEFAULT 0,
    failed_at     BIGINT NOT NULL DEFAULT 0,
    locked_until  BIGINT NOT NULL DEFAULT 0,
    created_at    BIGINT NOT NULL,
    last_login_at BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (org, id)
);
SELECT assay_isolate('user_account');
-- User names are unique per server.
CREATE UNIQUE INDEX user_account_folded ON user_account (folded);

CREATE TABLE login_session (
    org        TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    user_id    TEXT COLLATE "C" NOT NULL,
    hash       BYTEA    NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (org, id),
    FOREIGN KEY (org, user_id) REFERENCES user_account (org, id) ON DELETE CASCADE
);
SELECT assay_isolate('login_session');
CREATE UNIQUE INDEX login_session_hash ON login_session (hash);
CREATE INDEX login_session_expiry ON login_session (expires_at);
CREATE INDEX login_session_user ON login_session (org, user_id);

-- An id rises with time, so the key is the order of the list, newest last.
CREATE TABLE asset (
    org           TEXT COLLATE "C" NOT NULL,
    id            TEXT COLLATE "C" NOT NULL,
    kind          TEXT COLLATE "C" NOT NULL,
    name          TEXT COLLATE "C" NOT NULL,
    note          TEXT    NOT NULL,
    tags          TEXT    NOT NULL,
    attributes    TEXT,
    source        TEXT    NOT NULL,
    status        TEXT COLLATE "C" NOT NULL,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    first_seen_at BIGINT NOT NULL,
    last_seen_at  BIGINT NOT NULL,
    PRIMARY KEY (org, id)
);
SELECT assay_isolate('asset');
CREATE UNIQUE INDEX asset_name ON asset (org, name, kind);
CREATE INDEX asset_kind ON asset (org, kind, id);
CREATE INDEX asset_status ON asset (org, status, id) WHERE status <> 'active';

CREATE TABLE asset_tag (
    org        TEXT COLLATE "C" NOT NULL,
    tag        TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org, tag, id)
);
SELECT assay_isolate('asset_tag');

-- The full-text index: one row for each distinct word of a record, cut and folded by the same Go code on both
-- databases. A prefix is a range of it.
CREATE TABLE asset_word (
    org  TEXT COLLATE "C" NOT NULL,
    word TEXT COLLATE "C" NOT NULL,
    id   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org, word, id)
);
SELECT assay_isolate('asset_word');

CREATE TABLE scan (
    org         TEXT COLLATE "C" NOT NULL REFERENCES organization (org) ON DELETE CASCADE,
    id          TEXT COLLATE "C" NOT NULL,
    engine      TEXT COLLATE "C" NOT NULL,
    name        TEXT COLLATE "C" NOT NULL,
    target      TEXT COLLATE "C" NOT NULL,
    target_type TEXT    NOT NULL,
    host        TEXT COLLATE "C" NOT NULL,
    priority    TEXT    NOT NULL,
    status      TEXT COLLATE "C" NOT NULL,
    admitted    BIGINT NOT NULL DEFAULT 0,
    progress    BIGINT NOT NULL DEFAULT 0,
    phase       TEXT    NOT NULL DEFAULT '',
    options     TEXT,
    config      TEXT,
    sealed      BYTEA,
    tags        TEXT    NOT NULL,
    timeout     BIGINT NOT NULL,
    asset_id    TEXT COLLATE "C",
    created_by  TEXT COLLATE "C" NOT NULL,
    created_at  BIGINT NOT NULL,
    due         BIGINT NOT NULL,
    started_at  BIGINT NOT NULL DEFAULT 0,
    ended_at    BIGINT NOT NULL DEFAULT 0,
    attempt     BIGINT NOT NULL DEFAULT 0,
    fence       BIGINT NOT NULL DEFAULT 0,
    lease_until BIGINT NOT NULL DEFAULT 0,
    outcome     TEXT,
    reasons     TEXT    NOT NULL DEFAULT '[]',
    error       TEXT,
    version     TEXT    NOT NULL DEFAULT '',
    summary     TEXT    NOT NULL DEFAULT '{}',
    -- the fence of the try whose results are shown; 0 until the scan has ended
    generation  BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (org, id)
) WITH (fillfactor = 70);
SELECT assay_isolate('scan');
CREATE INDEX scan_newest ON scan (org, created_at, id);
CREATE INDEX scan_status ON scan (org, status, created_at, id);
CREATE INDEX scan_engine ON scan (org, engine, created_at, id);
CREATE INDEX scan_target ON scan (org, target, created_at, id);
-- The waiting line and the slots in use. Neither names a column that a heartbeat writes.
CREATE INDEX scan_waiting ON scan (org, due, id, engine, host) WHERE status = 'queued' AND admitted = 0;
CREATE INDEX scan_slot ON scan (org, id) WHERE admitted = 1;

CREATE TABLE scan_tag (
    org        TEXT COLLATE "C" NOT NULL,
    tag        TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org, tag, created_at, id),
    FOREIGN KEY (org, id) REFERENCES scan (org, id) ON DELETE CASCADE
);
SELECT assay_isolate('scan_tag');
CREATE INDEX scan_tag_scan ON scan_tag (org, id);

CREATE TABLE scan_word (
    org  TEXT COLLATE "C" NOT NULL,
    word TEXT COLLATE "C" NOT NULL,
    id   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org, word, id),
    FOREIGN KEY (org, id) REFERENCES scan (org, id) ON DELETE CASCADE
);
SELECT assay_isolate('scan_word');
CREATE INDEX scan_word_scan ON scan_word (org, id);

CREATE TABLE scan_artifact (
    org        TEXT COLLATE "C" NOT NULL,
    scan       TEXT COLLATE "C" NOT NULL,
    generation BIGINT NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    media_type TEXT    NOT NULL,
    size       BIGINT NOT NULL,
    sha256     TEXT    NOT NULL,
    truncated  BIGINT NOT NULL,
    ordinal    BIGINT NOT NULL,
    PRIMARY KEY (org, scan, generation, name),
    FOREIGN KEY (org, scan) REFERENCES scan (org, id) ON DELETE CASCADE
);
SELECT assay_isolate('scan_artifact');

CREATE TABLE scan_asset (
    org        TEXT COLLATE "C" NOT NULL,
    scan       TEXT COLLATE "C" NOT NULL,
    generation BIGINT NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    attributes TEXT,
    source     TEXT    NOT NULL,
    PRIMARY KEY (org, scan, generation, kind, name),
    FOREIGN KEY (org, scan) REFERENCES scan (org, id) ON DELETE CASCADE
);
SELECT assay_isolate('scan_asset');

-- A weakness in its life. severity is the rank, 0 = critical.
CREATE TABLE finding (
    org           TEXT COLLATE "C" NOT NULL,
    id            TEXT COLLATE "C" NOT NULL,
    engine        TEXT COLLATE "C" NOT NULL,
    fingerprint   TEXT COLLATE "C" NOT NULL,
    case_key      TEXT COLLATE "C",
    host          TEXT COLLATE "C" NOT NULL,
    severity      BIGINT NOT NULL,
    status        TEXT COLLATE "C" NOT NULL,
    first_seen_at BIGINT NOT NULL,
    last_seen_at  BIGINT NOT NULL,
    fixed_at      BIGINT NOT NULL DEFAULT 0,
    fixed_scan    TEXT COLLATE "C",
    scan          TEXT COLLATE "C" NOT NULL,
    engines       TEXT    NOT NULL,
    digest        BYTEA NOT NULL,
    PRIMARY KEY (org, id)
);
SELECT assay_isolate('finding');
CREATE UNIQUE INDEX finding_fingerprint ON finding (org, fingerprint);
CREATE INDEX finding_unfixed ON finding (org, engine, host, fingerprint) WHERE status <> 'fixed';

-- The newest observation of each finding, apart from its life: a scan that sees nothing new of a finding writes only
-- the small row. digest in finding tells.
CREATE TABLE finding_doc (
    org TEXT COLLATE "C" NOT NULL,
    id  TEXT COLLATE "C" NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (org, id),
    FOREIGN KEY (org, id) REFERENCES finding (org, id) ON DELETE CASCADE
);
SELECT assay_isolate('finding_doc');

-- One observation of one try of one scan. position sorts worst first: severity rank << 32 | ordinal.
CREATE TABLE scan_result (
    org        TEXT COLLATE "C" NOT NULL,
    scan       TEXT COLLATE "C" NOT NULL,
    generation BIGINT NOT NULL,
    position   BIGINT NOT NULL,
    category   TEXT COLLATE "C" NOT NULL,
    finding    TEXT COLLATE "C" NOT NULL,
    occurrence TEXT    NOT NULL,
    words      TEXT    NOT NULL,
    doc        TEXT    NOT NULL,
    PRIMARY KEY (org, scan, generation, position),
    FOREIGN KEY (org, scan) REFERENCES scan (org, id) ON DELETE CASCADE
);
SELECT assay_isolate('scan_result');
CREATE INDEX scan_result_category ON scan_result (org, scan, generation, category, position);
