-- What a scan looked at, and scans that other scans carry out.
--
-- A parent (course is set) is never in the line and never leased: admitted is 2 while it is open. Its turn says when it
-- is to be looked at next: at once after the end of a child, else after a while. seq rises with each such end, so that
-- who has looked at the parent can tell whether another child has ended meanwhile. A closed parent has no turn.

-- +goose Up
ALTER TABLE scan ADD COLUMN looked TEXT;
ALTER TABLE scan ADD COLUMN course TEXT;
ALTER TABLE scan ADD COLUMN parent TEXT;
ALTER TABLE scan ADD COLUMN stage TEXT;
CREATE INDEX scan_top ON scan (org, created_at, id) WHERE parent IS NULL;
CREATE INDEX scan_parent ON scan (org, parent, created_at, id) WHERE parent IS NOT NULL;

CREATE TABLE scan_turn (
    org  TEXT    NOT NULL,
    scan TEXT    NOT NULL,
    at   INTEGER NOT NULL,
    seq  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (org, scan),
    FOREIGN KEY (org, scan) REFERENCES scan (org, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX scan_turn_at ON scan_turn (at, scan);
