-- Quotas: one counter for each organization, metric and period.

-- No row touched means that the limit would be passed. The first use in a period takes the INSERT and isn't checked
-- here: the caller compares n with the limit.
-- name: usage.consume
INSERT INTO quota_counter (org, metric, period, used) VALUES ($1, $2, $3, $4)
ON CONFLICT (org, metric, period) DO UPDATE SET used = quota_counter.used + excluded.used
WHERE CAST($5 AS BIGINT) = 0 OR quota_counter.used + excluded.used <= CAST($5 AS BIGINT);

-- name: usage.used
SELECT used FROM quota_counter WHERE org = $1 AND metric = $2 AND period = $3;
