-- How long the jobs of workflows take, of which jobs have succeeded since this was last looked at: nine of ten of the last
-- successes took no longer, and half of them no longer than the median. Of all jobs of a workflow, and of those with the same
-- tags where there are enough: of these only the newest thousands are looked at, so what is known of tags that are not among
-- them stays. That a workflow with too few successes has been looked at is noted as well: else such ones would come first
-- each time, and keep others waiting.
--
-- The newest success of each workflow is found by one step into an index; ordered by an expression: see usual_times.
WITH changed AS MATERIALIZED (
    SELECT workflows.name
    FROM workflows
    CROSS JOIN LATERAL (
        SELECT finished_at FROM jobs WHERE workflow = workflows.name AND state = 'succeeded'
        ORDER BY (finished_at AT TIME ZONE 'UTC') DESC LIMIT 1
    ) AS newest
    LEFT JOIN durations ON durations.workflow = workflows.name AND tags = '{}'
    WHERE newest_at IS DISTINCT FROM newest.finished_at
    ORDER BY learned_at NULLS FIRST, workflows.name LIMIT %(workflows)s
),
recent AS MATERIALIZED (
    SELECT changed.name, its.*, row_number() OVER newest AS place, row_number() OVER (newest_of_tags) AS place_of_tags
    FROM changed CROSS JOIN LATERAL (
        SELECT tags, finished_at, job_took(jobs) AS took
        FROM jobs WHERE workflow = changed.name AND state = 'succeeded'
        ORDER BY (finished_at AT TIME ZONE 'UTC') DESC LIMIT %(looked_at)s
    ) AS its
    WINDOW newest AS (PARTITION BY changed.name ORDER BY finished_at DESC),
        newest_of_tags AS (PARTITION BY changed.name, tags ORDER BY finished_at DESC)
),
learned AS (
    SELECT name, '{}'::text[] AS of_tags, took, finished_at FROM recent WHERE place <= %(newest)s
    UNION ALL
    SELECT name, tags, took, finished_at FROM recent WHERE place_of_tags <= %(newest)s AND tags <> '{}'
),
put AS (
    INSERT INTO durations AS known (workflow, tags, successes, p90, median, newest_at)
    SELECT name, of_tags, count(*), CASE WHEN count(*) >= %(least)s THEN percentile_cont(0.9) WITHIN GROUP (ORDER BY took) END,
        CASE WHEN count(*) >= %(least)s THEN percentile_cont(0.5) WITHIN GROUP (ORDER BY took) END, max(finished_at)
    FROM learned GROUP BY name, of_tags HAVING count(*) >= %(least)s OR of_tags = '{}'
    ORDER BY name, of_tags
    ON CONFLICT (workflow, tags) DO UPDATE SET
        successes = CASE WHEN excluded.p90 IS NULL THEN known.successes ELSE excluded.successes END,
        p90 = coalesce(excluded.p90, known.p90), median = coalesce(excluded.median, known.median),
        newest_at = excluded.newest_at, learned_at = now()
    RETURNING workflow, p90
)
SELECT count(DISTINCT workflow) FROM put WHERE p90 IS NOT NULL
