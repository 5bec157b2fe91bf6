-- What these jobs, which are blocked or upstream_failed, wait for: parents that have not finished, and the jobs at
-- the root of those that did not succeed. Each level up is read once, whichever way leads there.
WITH RECURSIVE edges AS MATERIALIZED (
    SELECT edge.job_id, parent.id, parent.state
    FROM unnest(CAST(%(jobs)s AS bigint[])) AS job (id)
    JOIN dependencies AS edge ON edge.job_id = job.id
    JOIN jobs AS parent ON parent.id = edge.parent_id
    WHERE parent.state <> 'succeeded'
        AND (edge.kind IS DISTINCT FROM 'any' OR parent.state NOT IN ('failed', 'cancelled', 'upstream_failed'))
), each AS (
    SELECT job_id, bool_or(state IN ('failed', 'cancelled', 'upstream_failed')) AS fallen FROM edges GROUP BY job_id
), unsuccessful AS (
    SELECT id, state FROM edges WHERE state IN ('failed', 'cancelled', 'upstream_failed')
    UNION
    SELECT parent.id, parent.state
    FROM unsuccessful AS below
    JOIN dependencies AS edge ON below.state = 'upstream_failed' AND edge.job_id = below.id
        AND edge.kind IS DISTINCT FROM 'any'
    JOIN jobs AS parent ON parent.id = edge.parent_id AND parent.state IN ('failed', 'cancelled', 'upstream_failed')
)
SELECT
    (SELECT count(*) FROM each WHERE fallen) AS fallen,
    (SELECT count(*) FROM each WHERE NOT fallen) AS open,
    (
        SELECT array_agg(id ORDER BY id) FROM (
            SELECT DISTINCT id FROM unsuccessful WHERE state <> 'upstream_failed' ORDER BY id LIMIT %(named)s
        ) AS roots
    ) AS culprits,
    (
        SELECT array_agg(id ORDER BY id) FROM (
            SELECT DISTINCT id FROM edges WHERE state NOT IN ('failed', 'cancelled', 'upstream_failed')
            ORDER BY id LIMIT %(named)s
        ) AS unfinished
    ) AS parents
