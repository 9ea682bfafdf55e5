-- Organizations, their settings and sealed secrets.

-- name: tenant.get
SELECT name, plan, suspended, created_at FROM organization WHERE org = $1;

-- name: all.tenant.list
-- all: the operator lists organizations
SELECT org, name, plan, suspended, created_at FROM organization ORDER BY created_at, org;

-- name: tenant.insert
INSERT INTO organization (org, name, plan, suspended, created_at) VALUES ($1, $2, $3, $4, $5);

-- name: tenant.plan
UPDATE organization SET plan = $2 WHERE org = $1;

-- name: tenant.suspend
UPDATE organization SET suspended = $2 WHERE org = $1;

-- name: tenant.settings
SELECT doc FROM org_settings WHERE org = $1;

-- Writing a row to itself holds it on both databases; FOR UPDATE would be another text on each.
-- name: tenant.settings_hold
UPDATE org_settings SET doc = doc WHERE org = $1 RETURNING doc;

-- name: tenant.settings_put
INSERT INTO org_settings (org, doc) VALUES ($1, $2)
ON CONFLICT (org) DO UPDATE SET doc = excluded.doc;

-- name: tenant.secret
SELECT sealed FROM org_secret WHERE org = $1 AND kind = $2;

-- name: tenant.secret_put
INSERT INTO org_secret (org, kind, sealed) VALUES ($1, $2, $3)
ON CONFLICT (org, kind) DO UPDATE SET sealed = excluded.sealed;
