-- Which pending job of a queue that is shared comes next: of the most urgent ones, the oldest job of whoever has the
-- fewest running in this queue; of several, chance decides. So nobody counts turns, and nothing can drift. What does not
-- fit on the worker (p_fitting, as of fitting_needs) is left out: it keeps nothing that is less urgent from running.
--
-- p_by names the index that `shares` made with the queue, jobs_shared_by_submitter or jobs_shared_by_tag: each sharer
-- is found by one step into it from the one before. Jobs that others are claiming are left to them. At most a
-- hundred sharers are looked at.
--
-- On a worker with an end (p_left and p_fresh, as of fits_in_time) the oldest job counts that ends in time, of the first
-- twenty of each sharer. Where none of these does, less urgent ones are looked at, and then what next_job knows: what takes
-- too long keeps nothing else from running.
CREATE OR REPLACE FUNCTION fair_job(p_workflow text, p_queue text, p_least integer, p_by text, p_fitting bigint[], p_left double precision, p_fresh boolean)
RETURNS bigint LANGUAGE plpgsql
    SET plan_cache_mode = force_custom_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET enable_sort = off
    SET jit = off
AS $$
DECLARE
    v_who text := CASE p_by WHEN 'tag' THEN $q$coalesce(tags[1], '')$q$ ELSE $q$split_part(submitted_by, '@', 1)$q$ END;
    v_oldest text := CASE WHEN p_left IS NULL THEN $q$
            SELECT id, %1$s AS sharer FROM jobs
            WHERE queue = $1 AND workflow = $2 AND priority = $3 AND state = 'pending' AND %1$s >= waiting.sharer
                AND (needs_id IS NULL OR needs_id = ANY ($4))
                AND (gate_id IS NULL OR may_begin(gate_id, id, attempt))
            ORDER BY %1$s, id LIMIT 1 FOR UPDATE SKIP LOCKED -- no other index has this order
        $q$ ELSE $q$
            SELECT jobs.id, first.sharer FROM (
                SELECT id, %1$s AS sharer FROM jobs
                WHERE queue = $1 AND workflow = $2 AND priority = $3 AND state = 'pending' AND %1$s >= waiting.sharer
                    AND (needs_id IS NULL OR needs_id = ANY ($4))
                    AND (gate_id IS NULL OR may_begin(gate_id, id, attempt))
                ORDER BY %1$s, id LIMIT 20
            ) AS first JOIN jobs ON jobs.id = first.id
            WHERE first.sharer = waiting.sharer AND state || '' = 'pending' AND fits_in_time($5, $6, first.id)
            ORDER BY first.id LIMIT 1 FOR UPDATE OF jobs SKIP LOCKED
        $q$ END;
    v_top integer;
    v_chosen bigint;
BEGIN
    SELECT max(priority) INTO v_top FROM (
        (SELECT priority FROM jobs WHERE queue = p_queue AND workflow = p_workflow AND priority >= p_least
            AND state = 'pending' AND published_at IS NULL
            AND (needs_id IS NULL OR needs_id = ANY (p_fitting)) ORDER BY priority DESC LIMIT 1)
        UNION ALL
        (SELECT priority FROM jobs WHERE queue = p_queue AND workflow = p_workflow AND priority >= p_least
            AND state = 'pending' AND published_at IS NOT NULL
            AND (needs_id IS NULL OR needs_id = ANY (p_fitting)) ORDER BY priority DESC LIMIT 1)
    ) AS found;
    IF v_top IS NULL THEN
        RETURN NULL;
    END IF;
    FOR v_priority IN REVERSE v_top .. CASE WHEN p_left IS NULL THEN v_top ELSE greatest(p_least, 0) END LOOP
        EXECUTE format($q$
            WITH RECURSIVE waiting AS (
                SELECT (
                    SELECT %1$s FROM jobs
                    WHERE queue = $1 AND workflow = $2 AND priority = $3 AND state = 'pending' ORDER BY %1$s LIMIT 1
                ) AS sharer, 1 AS number
                UNION ALL
                SELECT (
                    SELECT %1$s FROM jobs
                    WHERE queue = $1 AND workflow = $2 AND priority = $3 AND state = 'pending' AND %1$s > waiting.sharer
                    ORDER BY %1$s LIMIT 1
                ), number + 1
                FROM waiting WHERE waiting.sharer IS NOT NULL AND number < 100
            )
            SELECT oldest.id
            FROM waiting CROSS JOIN LATERAL (%2$s) AS oldest
            LEFT JOIN (
                SELECT %1$s AS sharer, count(*) AS number FROM jobs WHERE state = 'running' AND queue = $1 GROUP BY 1
            ) AS running ON running.sharer = waiting.sharer
            WHERE oldest.sharer = waiting.sharer
            ORDER BY coalesce(running.number, 0), random() LIMIT 1
        $q$, v_who, format(v_oldest, v_who)) INTO v_chosen
            USING p_queue, p_workflow, v_priority::smallint, p_fitting, p_left, p_fresh;
        EXIT WHEN v_chosen IS NOT NULL;
    END LOOP;
    IF v_chosen IS NULL AND p_left IS NOT NULL THEN
        v_chosen := next_job(p_workflow, p_queue, p_least, p_fitting, p_left, p_fresh);
    END IF;
    RETURN v_chosen;
END
$$
