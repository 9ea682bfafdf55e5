-- API keys, users, sessions.

-- name: key.rows
SELECT k.id, k.name, k.description, k.prefix, k.scopes, k.engines, k.addresses, k.per_minute, k.per_hour, k.per_day,
       k.created_by, k.created_at, k.expires_at, k.suspended_at, k.revoked_at, k.last_used_at, k.previous_expires
FROM api_key k WHERE k.org = $1;

-- name: key.count
SELECT count(*) FROM (SELECT 1 FROM api_key k WHERE k.org = $1 LIMIT 10001) c;

-- name: all.key.by_hash
-- all: the hash of a presented secret is what finds its organization
SELECT k.id, k.name, k.description, k.prefix, k.scopes, k.engines, k.addresses, k.per_minute, k.per_hour, k.per_day,
       k.created_by, k.created_at, k.expires_at, k.suspended_at, k.revoked_at, k.last_used_at, k.previous_expires,
       k.org, x.hash, x.until, o.plan, o.suspended
FROM key_secret x
JOIN api_key k ON k.org = x.org AND k.id = x.key_id
JOIN organization o ON o.org = x.org
WHERE x.hash = $1;

-- Writing a row to itself holds it until the unit ends.
-- name: key.hold
UPDATE api_key SET name = name WHERE org = $1 AND id = $2;

-- name: key.insert
INSERT INTO api_key (org, id, name, description, prefix, scopes, engines, addresses, per_minute, per_hour, per_day,
                     created_by, created_at, expires_at, suspended_at, revoked_at, last_used_at, previous_expires)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18);

-- name: key.update
UPDATE api_key SET name = $3, description = $4, scopes = $5, engines = $6, addresses = $7, per_minute = $8,
       per_hour = $9, per_day = $10, expires_at = $11, suspended_at = $12, revoked_at = $13
WHERE org = $1 AND id = $2;

-- name: key.rotated
UPDATE api_key SET prefix = $3, previous_expires = $4 WHERE org = $1 AND id = $2;

-- name: key.touch
UPDATE api_key SET last_used_at = $3 WHERE org = $1 AND id = $2 AND last_used_at < $3;

-- name: key.secret_insert
INSERT INTO key_secret (org, hash, key_id, until) VALUES ($1, $2, $3, 0);

-- name: key.secret_drop_previous
DELETE FROM key_secret WHERE org = $1 AND key_id = $2 AND until <> 0;

-- name: key.secret_drop_current
DELETE FROM key_secret WHERE org = $1 AND key_id = $2 AND until = 0;

-- name: key.secret_end
UPDATE key_secret SET until = $3 WHERE org = $1 AND key_id = $2 AND until = 0;

-- name: user.get
SELECT id, org, username, email, role, password_hash, must_reset, disabled, failures, failed_at, locked_until,
       created_at, last_login_at
FROM user_account WHERE org = $1 AND id = $2;

-- name: all.user.by_name
-- all: a login knows no organization yet; user names are unique per server
SELECT id, org, username, email, role, password_hash, must_reset, disabled, failures, failed_at, locked_until,
       created_at, last_login_at
FROM user_account WHERE folded = $1;

-- name: user.hold
UPDATE user_account SET role = role WHERE org = $1 AND id = $2;

-- name: user.insert
INSERT INTO user_account (org, id, username, folded, email, role, password_hash, must_reset, disabled, failures,
                          failed_at, locked_until, created_at, last_login_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14);

-- name: user.update
UPDATE user_account SET email = $3, role = $4, password_hash = $5, must_reset = $6, disabled = $7, failures = $8,
       failed_at = $9, locked_until = $10, last_login_at = $11
WHERE org = $1 AND id = $2;

-- name: all.session.by_hash
-- all: the hash of a presented token is what finds its organization
SELECT s.id, s.user_id, s.org, s.hash, s.created_at, s.seen_at, s.expires_at, o.plan, o.suspended,
       u.id, u.org, u.username, u.email, u.role, u.password_hash, u.must_reset, u.disabled, u.failures, u.failed_at,
       u.locked_until, u.created_at, u.last_login_at
FROM login_session s
JOIN user_account u ON u.org = s.org AND u.id = s.user_id
JOIN organization o ON o.org = s.org
WHERE s.hash = $1;

-- name: session.insert
INSERT INTO login_session (org, id, user_id, hash, created_at, seen_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: session.touch
UPDATE login_session SET seen_at = $3 WHERE org = $1 AND id = $2;

-- name: session.end
DELETE FROM login_session WHERE org = $1 AND id = $2;

-- name: session.end_of_user
DELETE FROM login_session WHERE org = $1 AND user_id = $2 AND id <> $3;

-- name: all.session.expire
-- all: sessions that have ended are removed everywhere
DELETE FROM login_session WHERE expires_at < $1;

-- name: all.key.secret_expire
-- all: secrets whose grace is over are removed everywhere
DELETE FROM key_secret WHERE until <> 0 AND until < $1;
