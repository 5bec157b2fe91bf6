-- Put together by Postgres: through Python it would only be read and written once more.
SELECT id, finished_at, CAST(to_jsonb(jobs) || jsonb_build_object(
    'parents', (
        SELECT coalesce(jsonb_agg(parent_id ORDER BY parent_id), '[]') FROM dependencies WHERE job_id = jobs.id
    ),
    'after_any', (
        SELECT coalesce(jsonb_agg(parent_id ORDER BY parent_id), '[]') FROM dependencies
        WHERE job_id = jobs.id AND kind = 'any'
    ),
    'goes_on_in', (SELECT max(parent_id) FROM dependencies WHERE job_id = jobs.id AND kind = 'then'),
    'needs', (SELECT to_jsonb(needs) - 'id' FROM needs WHERE id = needs_id),
    'attempts', (
        SELECT coalesce(jsonb_agg(to_jsonb(attempts) - 'job_id' || jsonb_build_object('environment', (
            SELECT details FROM environments WHERE id = environment_id
        )) ORDER BY attempt), '[]')
        FROM attempts WHERE job_id = jobs.id
    ),
    'revisions', (
        SELECT coalesce(jsonb_agg(to_jsonb(revisions) - 'job_id' ORDER BY revision), '[]')
        FROM revisions WHERE job_id = jobs.id
    ),
    'interventions', (
        SELECT coalesce(jsonb_agg(to_jsonb(interventions) - 'job_id' ORDER BY at, kind), '[]')
        FROM interventions WHERE job_id = jobs.id
    ),
    'escalations', (
        SELECT coalesce(jsonb_agg(to_jsonb(escalations) - 'job_id' ORDER BY attempt), '[]')
        FROM escalations WHERE job_id = jobs.id
    ),
    -- As in artifacts_of.sql: those of the attempt that succeeded.
    'artifacts', (
        SELECT coalesce(jsonb_agg(to_jsonb(artifacts) - '{id,job_id,claim_id,next_at}'::text[] ORDER BY name), '[]')
        FROM artifacts JOIN attempts USING (job_id, attempt, claim_id)
        WHERE job_id = jobs.id AND outcome = 'succeeded'
    ),
    'steps', (
        SELECT coalesce(jsonb_agg(to_jsonb(steps) - 'job_id' - 'key' - 'code' ORDER BY saved_at, name), '[]')
        FROM steps WHERE job_id = jobs.id
    ),
    'corrections', (
        SELECT coalesce(jsonb_agg(to_jsonb(corrections) - 'job_id' ORDER BY number), '[]')
        FROM corrections WHERE job_id = jobs.id
    ),
    'restarts', (
        SELECT coalesce(jsonb_agg(to_jsonb(restarts) - 'job_id' ORDER BY attempt, continues), '[]')
        FROM restarts WHERE job_id = jobs.id
    ),
    'checkpoint', (SELECT to_jsonb(checkpoints) - 'job_id' FROM checkpoints WHERE job_id = jobs.id),
    -- As `chunks.joined`, but in ASCII, which each database has.
    'log', (
        SELECT coalesce(string_agg(
            CASE WHEN seq > former + 1
                THEN format(E'\n... %%s bytes left out ...\n',
                    to_char((seq::numeric - former - 1) * %(size)s, 'FM999,999,999,999,999'))
                ELSE '' END || text,
            '' ORDER BY attempt, seq), '')
        FROM (
            SELECT attempt, seq, text, lag(seq, 1, 0::bigint) OVER (PARTITION BY attempt ORDER BY seq) AS former
            FROM log_chunks WHERE job_id = jobs.id
        ) AS chunk
    )
) AS text) AS line
FROM jobs WHERE id = ANY(CAST(%(ids)s AS bigint[])) AND finished_at IS NOT NULL ORDER BY id
