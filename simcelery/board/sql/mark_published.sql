UPDATE jobs SET published_at = now(), publish_count = least(publish_count, 1000000) + 1
WHERE state = 'pending' AND id IN (
    SELECT id FROM jobs WHERE id = ANY (CAST(%(ids)s AS bigint[])) AND state = 'pending' FOR UPDATE SKIP LOCKED
)
RETURNING id
