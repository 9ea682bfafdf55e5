-- Batches, comparison of two scans, and retention of scans.

-- +goose Up
-- What became of each order of a batch, for a call that is repeated under its idempotency key: kept as long as that.
CREATE TABLE scan_batch (
    org TEXT COLLATE "C" NOT NULL,
    id  TEXT COLLATE "C" NOT NULL,
    at  BIGINT NOT NULL,
    doc TEXT   NOT NULL,
    PRIMARY KEY (org, id)
);
CREATE INDEX scan_batch_at ON scan_batch (at);
SELECT assay_isolate('scan_batch');

-- Scans that retention has dropped and whose rows are still being removed: generation -1, which shows no results.
CREATE INDEX scan_dropped ON scan (org, id) WHERE generation = -1;

-- Whether a kept output is still named by a scan.
CREATE INDEX scan_artifact_digest ON scan_artifact (org, sha256);

-- The weaknesses of a try, each with its worst place first: what two scans are compared by.
CREATE INDEX scan_result_finding ON scan_result (org, scan, generation, finding, position);
