-- The records of the domain: organizations, access, quotas, assets, scans, findings.
--
-- Keys begin with org, so that every index is one organization's own range. Times are microseconds UTC, 0 where
-- absent; flags are 0 or 1; JSON is text that no query looks into. An absent text is NULL, never empty.
-- Foreign keys are immediate: a deferred one would fail at COMMIT and take a whole batch of changes with it. What a
-- row merely mentions (a scan its asset, a result its finding) carries no key, so that either may go first.
-- Assets and findings name their organization without a key: there are many, and each insert would lock its row. Who
-- deletes an organization empties them first, in chunks.

-- +goose Up
CREATE TABLE organization (
    org        TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    plan       TEXT    NOT NULL,
    suspended  INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE org_settings (
    org TEXT NOT NULL PRIMARY KEY REFERENCES organization (org) ON DELETE CASCADE,
    doc TEXT NOT NULL
) STRICT;

-- Sealed secrets of the organization itself, one of a kind: 'signing_keys', 'callback'.
CREATE TABLE org_secret (
    org    TEXT NOT NULL REFERENCES organization (org) ON DELETE CASCADE,
    kind   TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (org, kind)
) STRICT;

CREATE TABLE scan_scope (
    org        TEXT    NOT NULL PRIMARY KEY REFERENCES organization (org) ON DELETE CASCADE,
    allow_doc  TEXT    NOT NULL,
    deny_doc   TEXT    NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE quota_counter (
    org    TEXT    NOT NULL REFERENCES organization (org) ON DELETE CASCADE,
    metric TEXT    NOT NULL,
    period TEXT    NOT NULL,
    used   INTEGER NOT NULL,
    PRIMARY KEY (org, metric, period)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_key (
    org              TEXT    NOT NULL REFERENCES organization (org) ON DELETE CASCADE,
    id               TEXT    NOT NULL,
    name             TEXT    NOT NULL,
    description      TEXT    NOT NULL,
    prefix           TEXT    NOT NULL,
    scopes           TEXT    NOT NULL,
    engines          TEXT    NOT NULL,
    addresses        TEXT    NOT NULL,
    per_minute       INTEGER NOT NULL,
    per_hour         INTEGER NOT NULL,
    per_day          INTEGER NOT NULL,
    created_by       TEXT    NOT NULL,
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL DEFAULT 0,
    suspended_at     INTEGER NOT NULL DEFAULT 0,
    revoked_at       INTEGER NOT NULL DEFAULT 0,
    last_used_at     INTEGER NOT NULL DEFAULT 0,
    previous_expires INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (org, id)
) STRICT;
CREATE INDEX api_key_newest ON api_key (org, created_at, id);

-- The at most two living secrets of a key. until is 0 for the current one. The hash is unique over all
-- organizations: it is what finds the organization.
CREATE TABLE key_secret (
    hash   BLOB NOT NULL PRIMARY KEY,
    org    TEXT NOT NULL,
    key_id TEXT NOT NULL,
    until  INTEGER NOT NULL DEFAULT 0,
    FOREIGN KEY (org, key_id) REFERENCES api_key (org, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX key_secret_key ON key_secret (org, key_id);
CREATE UNIQUE INDEX key_secret_current ON key_secret (org, key_id) WHERE until = 0;
CREATE UNIQUE INDEX key_secret_previous ON key_secret (org, key_id) WHERE until <> 0;
CREATE INDEX key_secret_expiry ON key_secret (until) WHERE until <> 0;

CREATE TABLE user_account (
    org           TEXT    NOT NULL REFERENCES organization (org) ON DELETE CASCADE,
    id            TEXT    NOT NULL,
    username      TEXT    NOT NULL,
    folded        TEXT    NOT NULL,
    email         TEXT    NOT NULL,
    role          TEXT    NOT NULL,
    password_hash TEXT    NOT NULL,
    must_reset    INTEGER NOT NULL DEFAULT 0,
    disabled      INTEGER NOT NULL DEFAULT 0,
    failures      INTEGER NOT NULL DEFAULT 0,
    failed_at     INTEGER NOT NULL DEFAULT 0,
    locked_until  INTEGER NOT NULL DEFAULT 0,
    created_at    INTEGER NOT NULL,
    last_login_at INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (org, id)
) STRICT;
-- User names are unique per server.
CREATE UNIQUE INDEX user_account_folded ON user_account (folded);

CREATE TABLE login_session (
    org        TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    user_id    TEXT    NOT NULL,
    hash       BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (org, id),
    FOREIGN KEY (org, user_id) REFERENCES user_account (org, id) ON DELETE CASCADE
) STRICT;
CREATE UNIQUE INDEX login_session_hash ON login_session (hash);
CREATE INDEX login_session_expiry ON login_session (expires_at);
CREATE INDEX login_session_user ON login_session (org, user_id);

-- An id rises with time, so the key is the order of the list, newest last.
CREATE TABLE asset (
    org           TEXT    NOT NULL,
    id            TEXT    NOT NULL,
    kind          TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    note          TEXT    NOT NULL,
    tags          TEXT    NOT NULL,
    attributes    TEXT,
    source        TEXT    NOT NULL,
    status        TEXT    NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    first_seen_at INTEGER NOT NULL,
    last_seen_at  INTEGER NOT NULL,
    PRIMARY KEY (org, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX asset_name ON asset (org, name, kind);
CREATE INDEX asset_kind ON asset (org, kind, id);
CREATE INDEX asset_status ON asset (org, status, id) WHERE status <> 'active';

CREATE TABLE asset_tag (
    org        TEXT    NOT NULL,
    tag        TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    PRIMARY KEY (org, tag, id)
) STRICT, WITHOUT ROWID;

-- The full-text index: one row for each distinct word of a record, cut and folded by the same Go code on both
-- databases. A prefix is a range of it.
CREATE TABLE asset_word (
    org  TEXT NOT NULL,
    word TEXT NOT NULL,
    id   TEXT NOT NULL,
    PRIMARY KEY (org, word, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE scan (
    org         TEXT    NOT NULL REFERENCES organization (org) ON DELETE CASCADE,
    id          TEXT    NOT NULL,
    engine      TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    target      TEXT    NOT NULL,
    target_type TEXT    NOT NULL,
    host        TEXT    NOT NULL,
    priority    TEXT    NOT NULL,
    status      TEXT    NOT NULL,
    admitted    INTEGER NOT NULL DEFAULT 0,
    progress    INTEGER NOT NULL DEFAULT 0,
    phase       TEXT    NOT NULL DEFAULT '',
    options     TEXT,
    config      TEXT,
    sealed      BLOB,
    tags        TEXT    NOT NULL,
    timeout     INTEGER NOT NULL,
    asset_id    TEXT,
    created_by  TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    due         INTEGER NOT NULL,
    started_at  INTEGER NOT NULL DEFAULT 0,
    ended_at    INTEGER NOT NULL DEFAULT 0,
    attempt     INTEGER NOT NULL DEFAULT 0,
    fence       INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER NOT NULL DEFAULT 0,
    outcome     TEXT,
    reasons     TEXT    NOT NULL DEFAULT '[]',
    error       TEXT,
    version     TEXT    NOT NULL DEFAULT '',
    summary     TEXT    NOT NULL DEFAULT '{}',
    -- the fence of the try whose results are shown; 0 until the scan has ended
    generation  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (org, id)
) STRICT;
CREATE INDEX scan_newest ON scan (org, created_at, id);
CREATE INDEX scan_status ON scan (org, status, created_at, id);
CREATE INDEX scan_engine ON scan (org, engine, created_at, id);
CREATE INDEX scan_target ON scan (org, target, created_at, id);
-- The waiting line and the slots in use. Neither names a column that a heartbeat writes.
CREATE INDEX scan_waiting ON scan (org, due, id, engine, host) WHERE status = 'queued' AND admitted = 0;
CREATE INDEX scan_slot ON scan (org, id) WHERE admitted = 1;

CREATE TABLE scan_tag (
    org        TEXT    NOT NULL,
    tag        TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    id         TEXT    NOT NULL,
    PRIMARY KEY (org, tag, created_at, id),
    FOREIGN KEY (org, id) REFERENCES scan (org, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX scan_tag_scan ON scan_tag (org, id);

CREATE TABLE scan_word (
    org  TEXT NOT NULL,
    word TEXT NOT NULL,
    id   TEXT NOT NULL,
    PRIMARY KEY (org, word, id),
    FOREIGN KEY (org, id) REFERENCES scan (org, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX scan_word_scan ON scan_word (org, id);

CREATE TABLE scan_artifact (
    org        TEXT    NOT NULL,
    scan       TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    name       TEXT    NOT NULL,
    media_type TEXT    NOT NULL,
    size       INTEGER NOT NULL,
    sha256     TEXT    NOT NULL,
    truncated  INTEGER NOT NULL,
    ordinal    INTEGER NOT NULL,
    PRIMARY KEY (org, scan, generation, name),
    FOREIGN KEY (org, scan) REFERENCES scan (org, id) ON DELETE CASCADE
) STRICT;

CREATE TABLE scan_asset (
    org        TEXT    NOT NULL,
    scan       TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    kind       TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    attributes TEXT,
    source     TEXT    NOT NULL,
    PRIMARY KEY (org, scan, generation, kind, name),
    FOREIGN KEY (org, scan) REFERENCES scan (org, id) ON DELETE CASCADE
) STRICT;

-- A weakness in its life. severity is the rank, 0 = critical.
CREATE TABLE finding (
    org           TEXT    NOT NULL,
    id            TEXT    NOT NULL,
    engine        TEXT    NOT NULL,
    fingerprint   TEXT    NOT NULL,
    case_key      TEXT,
    host          TEXT    NOT NULL,
    severity      INTEGER NOT NULL,
    status        TEXT    NOT NULL,
    first_seen_at INTEGER NOT NULL,
    last_seen_at  INTEGER NOT NULL,
    fixed_at      INTEGER NOT NULL DEFAULT 0,
    fixed_scan    TEXT,
    scan          TEXT    NOT NULL,
    engines       TEXT    NOT NULL,
    digest        BLOB    NOT NULL,
    PRIMARY KEY (org, id)
) STRICT;
CREATE UNIQUE INDEX finding_fingerprint ON finding (org, fingerprint);
CREATE INDEX finding_unfixed ON finding (org, engine, host, fingerprint) WHERE status <> 'fixed';

-- The newest observation of each finding, apart from its life: a scan that sees nothing new of a finding writes only
-- the small row. digest in finding tells.
CREATE TABLE finding_doc (
    org TEXT NOT NULL,
    id  TEXT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (org, id),
    FOREIGN KEY (org, id) REFERENCES finding (org, id) ON DELETE CASCADE
) STRICT;

-- One observation of one try of one scan. position sorts worst first: severity rank << 32 | ordinal.
CREATE TABLE scan_result (
    org        TEXT    NOT NULL,
    scan       TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    position   INTEGER NOT NULL,
    category   TEXT    NOT NULL,
    finding    TEXT    NOT NULL,
    occurrence TEXT    NOT NULL,
    words      TEXT    NOT NULL,
    doc        TEXT    NOT NULL,
    PRIMARY KEY (org, scan, generation, position),
    FOREIGN KEY (org, scan) REFERENCES scan (org, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX scan_result_category ON scan_result (org, scan, generation, category, position);
