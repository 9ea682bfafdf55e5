-- +goose Up

-- Row-level security as a second belt: a transaction sees the organization it names in app.org, and all of them only
-- when it names '*'. FORCE, because the server's role may own the tables. Every table with a column org gets it.
-- +goose StatementBegin
CREATE FUNCTION assay_isolate(t regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY one_organization ON %s
        USING (org = (SELECT current_setting(''app.org'', true)) OR (SELECT current_setting(''app.org'', true)) = ''*'')
        WITH CHECK (org = (SELECT current_setting(''app.org'', true)) OR (SELECT current_setting(''app.org'', true)) = ''*'')', t);
END
$$;
-- +goose StatementEnd

-- One row per audit entry. leaf is what the log proves, leaf_hash its RFC 6962 hash as it was when written: where a leaf was
-- altered, the two tell which. Salt, address, agent and name are the personal data beside it; erasing sets all four to
-- NULL. idx is the place in the organization's log, NULL until the sequencer has given it; n is the order in
-- which it does.
CREATE TABLE audit_entry (
    id             TEXT   NOT NULL PRIMARY KEY,
    org            TEXT   NOT NULL,
    idx            BIGINT,
    at             BIGINT NOT NULL,
    leaf           BYTEA  NOT NULL,
    leaf_hash      BYTEA  NOT NULL,
    salt           BYTEA,
    client_address TEXT,
    user_agent     TEXT,
    actor_name     TEXT,
    n              BIGSERIAL
);
CREATE UNIQUE INDEX audit_entry_idx ON audit_entry (org, idx);
CREATE INDEX audit_entry_pending ON audit_entry (n) WHERE idx IS NULL;
SELECT assay_isolate('audit_entry');

-- Complete subtrees of level 1 and above; level 0 are the leaf hashes.
CREATE TABLE log_node (
    org   TEXT   NOT NULL,
    level BIGINT NOT NULL,
    idx   BIGINT NOT NULL,
    hash  BYTEA  NOT NULL,
    PRIMARY KEY (org, level, idx)
);
SELECT assay_isolate('log_node');

-- The growing edge of each organization's log.
CREATE TABLE log_state (
    org   TEXT   NOT NULL PRIMARY KEY,
    size  BIGINT NOT NULL,
    state BYTEA  NOT NULL
);
SELECT assay_isolate('log_state');

-- seq is given by the sequencer after the commit, NULL until then: numbers given inside concurrent transactions become
-- visible out of order, and a reader that remembers the last one would miss rows.
CREATE TABLE outbox (
    n       BIGSERIAL PRIMARY KEY,
    seq     BIGINT UNIQUE,
    org     TEXT   NOT NULL,
    type    TEXT   NOT NULL,
    subject TEXT   NOT NULL,
    at      BIGINT NOT NULL,
    data    TEXT   NOT NULL
);
CREATE INDEX outbox_subject ON outbox (org, subject, seq);
CREATE INDEX outbox_pending ON outbox (n) WHERE seq IS NULL;
CREATE SEQUENCE outbox_seq;
SELECT assay_isolate('outbox');

CREATE TABLE idempotency (
    org           TEXT   NOT NULL,
    principal     TEXT   NOT NULL,
    route         TEXT   NOT NULL,
    key           TEXT   NOT NULL,
    body          BYTEA  NOT NULL,
    status        BIGINT NOT NULL,
    resource_kind TEXT   NOT NULL,
    resource_id   TEXT   NOT NULL,
    at            BIGINT NOT NULL,
    PRIMARY KEY (org, principal, route, key)
);
CREATE INDEX idempotency_at ON idempotency (at);
SELECT assay_isolate('idempotency');

-- Fixed windows: the start of each in Unix seconds and the calls in it. Keys are principals and addresses. The free
-- half of each page lets a counter grow in place (HOT updates).
CREATE TABLE window_counter (
    key     TEXT   NOT NULL PRIMARY KEY,
    min_at  BIGINT NOT NULL,
    min_n   BIGINT NOT NULL,
    hour_at BIGINT NOT NULL,
    hour_n  BIGINT NOT NULL,
    day_at  BIGINT NOT NULL,
    day_n   BIGINT NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX window_counter_day ON window_counter (day_at);

-- Charges one call to a principal's windows and, where plan_key isn't empty, to its organization's day, in one trip:
-- all limits (0 = none) are checked before any window is charged, a refused call is charged to the minute alone. It
-- returns the rows as they were before the charge, with the windows of that moment open. A window never opens twice:
-- its start only rises, whatever the clock does. at 0 = the server's clock, which all processes share. Rows are made
-- and locked in the order of their keys, so that two charges never wait for each other.
-- +goose StatementBegin
CREATE FUNCTION assay_take(own_key text, per_minute bigint, per_hour bigint, per_day bigint, plan_key text, plan_day bigint,
    at bigint, charge boolean)
RETURNS TABLE (sec bigint, o_min_at bigint, o_min_n bigint, o_hour_at bigint, o_hour_n bigint, o_day_at bigint, o_day_n bigint,
    p_day_at bigint, p_day_n bigint)
LANGUAGE plpgsql AS $$
DECLARE
    r   window_counter%ROWTYPE;
    ok  boolean;
BEGIN
    sec := CASE WHEN at > 0 THEN at ELSE floor(extract(epoch FROM clock_timestamp()))::bigint END;
    o_min_at := 0; o_min_n := 0; o_hour_at := 0; o_hour_n := 0; o_day_at := 0; o_day_n := 0; p_day_at := 0; p_day_n := 0;
    IF charge THEN
        INSERT INTO window_counter (key, min_at, min_n, hour_at, hour_n, day_at, day_n)
        SELECT k, 0, 0, 0, 0, 0, 0 FROM unnest(ARRAY[own_key, plan_key]) AS k
        WHERE k <> '' AND NOT EXISTS (SELECT FROM window_counter w WHERE w.key = k) ORDER BY k
        ON CONFLICT (key) DO NOTHING;
        PERFORM FROM window_counter w WHERE w.key IN (own_key, plan_key) ORDER BY w.key FOR UPDATE;
    END IF;
    SELECT * INTO r FROM window_counter w WHERE w.key = own_key;
    IF FOUND THEN
        o_min_at := r.min_at; o_min_n := r.min_n; o_hour_at := r.hour_at; o_hour_n := r.hour_n; o_day_at := r.day_at; o_day_n := r.day_n;
    END IF;
    IF plan_key <> '' THEN
        SELECT * INTO r FROM window_counter w WHERE w.key = plan_key;
        IF FOUND THEN
            p_day_at := r.day_at; p_day_n := r.day_n;
        END IF;
    END IF;
    IF sec - sec % 60 > o_min_at THEN o_min_at := sec - sec % 60; o_min_n := 0; END IF;
    IF sec - sec % 3600 > o_hour_at THEN o_hour_at := sec - sec % 3600; o_hour_n := 0; END IF;
    IF sec - sec % 86400 > o_day_at THEN o_day_at := sec - sec % 86400; o_day_n := 0; END IF;
    IF sec - sec % 86400 > p_day_at THEN p_day_at := sec - sec % 86400; p_day_n := 0; END IF;
    IF NOT charge THEN
        RETURN NEXT;
        RETURN;
    END IF;
    ok := (per_minute <= 0 OR o_min_n < per_minute) AND (per_hour <= 0 OR o_hour_n < per_hour)
        AND (per_day <= 0 OR o_day_n < per_day) AND (plan_key = '' OR plan_day <= 0 OR p_day_n < plan_day);
    UPDATE window_counter w SET min_at = o_min_at, min_n = o_min_n + 1, hour_at = o_hour_at, hour_n = o_hour_n + ok::int,
        day_at = o_day_at, day_n = o_day_n + ok::int WHERE w.key = own_key;
    IF ok AND plan_key <> '' THEN
        UPDATE window_counter w SET day_at = p_day_at, day_n = p_day_n + 1 WHERE w.key = plan_key;
    END IF;
    RETURN NEXT;
END
$$;
-- +goose StatementEnd

-- Checksums of the applied migration files.
CREATE TABLE schema_file (
    version BIGINT NOT NULL PRIMARY KEY,
    sha256  TEXT   NOT NULL
);
