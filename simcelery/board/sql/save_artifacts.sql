-- As long as no newer claim was made. They count once the attempt has succeeded; till then somebody looks after them.
WITH mine AS MATERIALIZED (
    SELECT id, attempt FROM jobs
    WHERE id = %(job_id)s AND claim_id = %(claim_id)s AND state IN ('running', 'pending', 'scheduled')
    FOR SHARE
)
INSERT INTO artifacts (job_id, attempt, claim_id, name, path, host, size, sha256, url, next_at)
SELECT mine.id, attempt, %(claim_id)s, name, path, host, size, sha256, url, now() + interval '1 minute'
FROM mine, jsonb_to_recordset(CAST(%(files)s AS jsonb)) AS given(
    name text, path text, host text, size bigint, sha256 text, url text
)
ON CONFLICT (job_id, claim_id, name) DO UPDATE SET
    path = excluded.path, size = excluded.size, sha256 = excluded.sha256, url = excluded.url
RETURNING id
