-- +goose Up

-- What public sources say of CVE ids (EPSS, KEV, NVD). The rows are public and the server's: they belong to no
-- organization. Each source has two shelves; intel_source names the one that is read, 0 for none, while an import fills
-- the other one and then switches.
CREATE TABLE intel_source (
    source      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    shelf       BIGINT NOT NULL,
    token       TEXT   NOT NULL, -- of the import that may write
    version     TEXT   NOT NULL DEFAULT '',
    date        BIGINT NOT NULL DEFAULT 0,
    row_count   BIGINT NOT NULL DEFAULT 0,
    sha256      TEXT   NOT NULL DEFAULT '',
    imported_at BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE intel_cve (
    shelf      BIGINT NOT NULL,
    cve        TEXT COLLATE "C" NOT NULL,
    score      DOUBLE PRECISION NOT NULL,
    percentile DOUBLE PRECISION NOT NULL,
    detail     TEXT   NOT NULL,
    PRIMARY KEY (shelf, cve)
);
