-- Templates of scans, their schedules, and what schedules have started.

-- +goose Up
-- next_due, start_at and last_due are 0 where there is no schedule or none that is enabled; cron is NULL without a
-- schedule. stopped says why the server disabled it. version rises with each change of the template, not with its runs.
CREATE TABLE scan_template (
    org         TEXT COLLATE "C" NOT NULL REFERENCES organization (org) ON DELETE CASCADE,
    id          TEXT COLLATE "C" NOT NULL,
    name        TEXT COLLATE "C" NOT NULL,
    note        TEXT    NOT NULL,
    engine      TEXT COLLATE "C" NOT NULL,
    target_type TEXT    NOT NULL,
    priority    TEXT    NOT NULL,
    options     TEXT,
    config      TEXT,
    sealed      BYTEA,
    tags        TEXT    NOT NULL,
    timeout     BIGINT  NOT NULL,
    targets     TEXT    NOT NULL,
    created_by  TEXT COLLATE "C" NOT NULL,
    created_at  BIGINT  NOT NULL,
    updated_at  BIGINT  NOT NULL,
    version     BIGINT  NOT NULL,
    cron        TEXT,
    time_zone   TEXT    NOT NULL DEFAULT '',
    jitter      BIGINT  NOT NULL DEFAULT 0,
    overlap     TEXT    NOT NULL DEFAULT '',
    enabled     BIGINT  NOT NULL DEFAULT 0,
    runs_as     TEXT COLLATE "C" NOT NULL DEFAULT '',
    next_due    BIGINT  NOT NULL DEFAULT 0,
    start_at    BIGINT  NOT NULL DEFAULT 0,
    last_due    BIGINT  NOT NULL DEFAULT 0,
    stopped     TEXT,
    PRIMARY KEY (org, id)
);
SELECT assay_isolate('scan_template');
CREATE UNIQUE INDEX scan_template_name ON scan_template (org, name);
CREATE INDEX scan_template_engine ON scan_template (org, engine, id);
CREATE INDEX scan_template_start ON scan_template (start_at, id) WHERE start_at > 0;

CREATE TABLE scan_template_tag (
    org TEXT COLLATE "C" NOT NULL,
    tag TEXT COLLATE "C" NOT NULL,
    id  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org, tag, id),
    FOREIGN KEY (org, id) REFERENCES scan_template (org, id) ON DELETE CASCADE
);
SELECT assay_isolate('scan_template_tag');
CREATE INDEX scan_template_tag_id ON scan_template_tag (org, id);

CREATE TABLE scan_template_word (
    org  TEXT COLLATE "C" NOT NULL,
    word TEXT COLLATE "C" NOT NULL,
    id   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org, word, id),
    FOREIGN KEY (org, id) REFERENCES scan_template (org, id) ON DELETE CASCADE
);
SELECT assay_isolate('scan_template_word');
CREATE INDEX scan_template_word_id ON scan_template_word (org, id);

-- One row for each due time that was taken: that it can be there once only is the second lock on starting once.
CREATE TABLE scan_template_run (
    org      TEXT COLLATE "C" NOT NULL,
    id       TEXT COLLATE "C" NOT NULL,
    template TEXT COLLATE "C" NOT NULL,
    due      BIGINT  NOT NULL,
    at       BIGINT  NOT NULL,
    state    TEXT    NOT NULL,
    replaced BIGINT  NOT NULL DEFAULT 0,
    doc      TEXT    NOT NULL,
    PRIMARY KEY (org, template, due),
    FOREIGN KEY (org, template) REFERENCES scan_template (org, id) ON DELETE CASCADE
);
SELECT assay_isolate('scan_template_run');

-- Where a scan comes from; NULL where somebody ordered it directly.
ALTER TABLE scan ADD COLUMN template TEXT COLLATE "C";
ALTER TABLE scan ADD COLUMN template_run TEXT COLLATE "C";
CREATE INDEX scan_template_made ON scan (org, template, created_at, id) WHERE template IS NOT NULL;
CREATE INDEX scan_template_live ON scan (org, template) WHERE template_run IS NOT NULL AND status IN ('queued', 'running');
