-- +goose Up

-- What public sources say of CVE ids (EPSS, KEV, NVD). The rows are public and the server's: they belong to no
-- organization. Each source has two shelves; intel_source names the one that is read, 0 for none, while an import fills
-- the other one and then switches.
CREATE TABLE intel_source (
    source      TEXT    NOT NULL PRIMARY KEY,
    shelf       INTEGER NOT NULL,
    token       TEXT    NOT NULL, -- of the import that may write
    version     TEXT    NOT NULL DEFAULT '',
    date        INTEGER NOT NULL DEFAULT 0,
    row_count   INTEGER NOT NULL DEFAULT 0,
    sha256      TEXT    NOT NULL DEFAULT '',
    imported_at INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE intel_cve (
    shelf      INTEGER NOT NULL,
    cve        TEXT    NOT NULL,
    score      REAL    NOT NULL,
    percentile REAL    NOT NULL,
    detail     TEXT    NOT NULL,
    PRIMARY KEY (shelf, cve)
) STRICT, WITHOUT ROWID;
