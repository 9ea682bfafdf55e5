-- What retention has dropped from the logs: one row for each sealed range of 256 entries, oldest first and without a
-- gap from entry 0 on. root is the node above the range (level 8), from which the log's nodes can be made again;
-- newest is the time of its youngest entry. pruned is 0 while nodes below level 8 are left to be removed.

-- +goose Up
CREATE TABLE log_drop (
    org       TEXT    NOT NULL,
    first_idx INTEGER NOT NULL,
    last_idx  INTEGER NOT NULL,
    root      BLOB    NOT NULL,
    newest    INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    pruned    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (org, first_idx)
) STRICT, WITHOUT ROWID;
CREATE INDEX log_drop_unpruned ON log_drop (org, first_idx) WHERE pruned = 0;
