-- running -> wherever state_after leads, for attempts that have ended, each with the row that it leaves; all of
-- them succeeded, or none. Successes unblock the jobs that waited for them, each of which is counted down once,
-- however many of its parents these are. Of a parent that more than 2,000 wait for, the rest is left to settle,
-- which its mark tells; so is a job that has gone on in this one, and takes its result: it is returned as blocked,
-- since whoever finished this one settles it at once. What goes on in the job `then_id`, which has been recorded, is
-- blocked by it.
--
-- Whoever waits is locked together with those it waits for, in the order of their ids: there may be others between.
-- Only what was recorded while this waited for its locks comes after them.
--
-- A success is accepted as long as no newer claim was made, even where the worker was thought dead and the
-- job is already waiting to run again.
--
-- A plan may be made while the board is empty and live until it holds a million jobs. So only those that suit
-- a large board are allowed: into an index, row by row; and no condition with `|| ''` is looked up in an
-- index, which may seem as good as that of the ids while there is nothing in either. Nor are they compiled
-- (jit): on a large board that would happen at every call, and last longer than the statement.
CREATE OR REPLACE FUNCTION finish_attempts(p_ended jsonb) RETURNS TABLE (
    id bigint, task_id uuid, workflow text, queue text, priority smallint, state text, attempt integer,
    took float8, unblocked_by bigint
) LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET enable_sort = off
    SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_ended bigint[] := ARRAY(SELECT id FROM jsonb_to_recordset(p_ended) AS given(id bigint));
    v_succeeded boolean := p_ended->0->>'outcome' = 'succeeded';
    v_waiting bigint[] := '{}';
    v_more bigint[] := '{}';
    v_parents boolean;
BEGIN
    IF v_succeeded AND cardinality(v_ended) > 1 THEN
        v_waiting := ARRAY(
            SELECT edge.job_id FROM unnest(v_ended) AS parent(id) CROSS JOIN LATERAL (
                SELECT job_id FROM dependencies WHERE parent_id = parent.id ORDER BY job_id LIMIT 2000
            ) AS edge
        );
    END IF;
    PERFORM FROM jobs WHERE id = ANY (v_ended || v_waiting) ORDER BY id FOR UPDATE;
    -- In a statement of its own: it sees every edge that somebody recorded meanwhile.
    IF v_succeeded THEN
        v_more := ARRAY(
            SELECT edge.job_id FROM unnest(v_ended) AS parent(id) CROSS JOIN LATERAL (
                SELECT job_id FROM dependencies WHERE parent_id = parent.id ORDER BY job_id LIMIT 2000
            ) AS edge
            WHERE edge.job_id <> ALL (v_waiting)
        );
        IF v_more <> '{}' THEN
            PERFORM FROM jobs WHERE id = ANY (v_more) ORDER BY id FOR UPDATE;
        END IF;
    END IF;
    IF NOT v_succeeded AND EXISTS (SELECT FROM jobs WHERE id = ANY (v_ended) AND needs_id IS NOT NULL) THEN
        p_ended := escalate(p_ended);
    END IF;
    v_parents := v_waiting <> '{}' OR v_more <> '{}';
    RETURN QUERY
        WITH given AS (
            SELECT * FROM jsonb_to_recordset(p_ended) AS given(
                id bigint, claim_id uuid, outcome text, cause text, result jsonb, error_type text,
                error_message text, traceback text, retry_in float8, waited float8, ago float8,
                cpu_seconds float8, peak_memory bigint, workdir text, code_version text, seed bigint,
                progress jsonb, log jsonb, log_first integer, log_start integer, log_total integer,
                then_id bigint, escalated boolean
            )
        ),
        done AS (
            UPDATE jobs SET
                result = CASE outcome WHEN 'succeeded' THEN given.result ELSE jobs.result END,
                error_type = CASE WHEN outcome IN ('succeeded', 'failed', 'lost')
                    THEN given.error_type ELSE jobs.error_type END,
                error_message = CASE WHEN outcome IN ('succeeded', 'failed', 'lost')
                    THEN given.error_message ELSE jobs.error_message END,
                progress = coalesce(given.progress, jobs.progress),
                failures = failures + (outcome = 'failed' AND escalated IS NULL)::integer,
                losses = losses + (outcome = 'lost' AND escalated IS NULL)::integer,
                published_at = CASE outcome WHEN 'succeeded' THEN published_at END,
                publish_count = CASE outcome WHEN 'succeeded' THEN publish_count ELSE 0 END,
                settled_at = CASE WHEN v_parents AND then_id IS NULL AND (
                    EXISTS (SELECT FROM dependencies WHERE parent_id = jobs.id OFFSET 2000)
                    OR EXISTS (
                        SELECT FROM dependencies WHERE parent_id = jobs.id AND job_id < jobs.id AND kind = 'then'
                    )
                ) THEN 'epoch' ELSE settled_at END,
                unmet = CASE WHEN then_id IS NULL THEN unmet ELSE 1 END,
                (state, run_at, started_at, finished_at) = (
                    SELECT after,
                        CASE after WHEN 'scheduled' THEN now() + make_interval(secs => retry_in) ELSE run_at END,
                        began,
                        CASE WHEN after NOT IN ('scheduled', 'pending', 'blocked')
                            THEN greatest(began, now() - make_interval(secs => ago)) END
                    FROM (
                        SELECT
                            CASE WHEN then_id IS NOT NULL THEN 'blocked' WHEN escalated THEN 'pending' ELSE state_after(
                                outcome, cancel_requested_at IS NOT NULL, retry_in IS NOT NULL,
                                failures + 1, max_attempts, losses + 1, max_losses
                            ) END AS after,
                            -- A node's clock tells only how long ago it was, and may be wrong; and Postgres' own
                            -- may have been set back meanwhile.
                            least(started_at + make_interval(secs => waited), now()) AS began
                        OFFSET 0 -- each of them is computed once
                    ) AS its
                )
            FROM given
            WHERE jobs.id = given.id AND jobs.claim_id IS NOT DISTINCT FROM given.claim_id
                AND (
                    state || '' = 'running' OR (outcome = 'succeeded' AND state || '' IN ('pending', 'scheduled'))
                )
            RETURNING jobs.id, task_id, workflow, queue, priority, state, attempt, jobs.claim_id, worker_id, pid,
                started_at, outcome, cause, given.error_type, given.error_message, traceback, cpu_seconds,
                peak_memory, workdir, code_version, seed, log, log_first, log_start, log_total, keep,
                greatest(jobs.started_at, now() - make_interval(secs => given.ago)) AS ended_at
        ),
        written AS (
            -- Only a late success meets a row: the one that its rescue or release wrote.
            INSERT INTO attempts AS earlier (job_id, attempt, claim_id, outcome, cause, error_type,
                error_message, traceback, worker_id, nodename, host, pid, scheduler_job_id, started_at,
                finished_at, cpu_seconds, peak_memory, workdir, code_version, seed, environment_id)
            SELECT done.id, attempt, claim_id, outcome, cause, error_type, error_message, traceback, worker_id, nodename, host,
                done.pid, scheduler_job_id, done.started_at, done.ended_at, cpu_seconds, peak_memory, workdir,
                code_version, seed, environment_id
            FROM done LEFT JOIN workers ON workers.id = worker_id
            ON CONFLICT (job_id, attempt) DO UPDATE SET
                outcome = excluded.outcome, cause = excluded.cause, error_type = excluded.error_type,
                error_message = excluded.error_message, traceback = excluded.traceback,
                finished_at = excluded.finished_at, cpu_seconds = excluded.cpu_seconds,
                peak_memory = excluded.peak_memory, workdir = excluded.workdir,
                code_version = excluded.code_version, seed = excluded.seed,
                late_outcome = jsonb_build_object('accepted_after', earlier.outcome)
        ),
        swept AS (
            -- Where its folders are not to stay as they are: whoever works there deals with them.
            INSERT INTO workdirs (job_id, host)
            SELECT done.id, place.host
            FROM done CROSS JOIN LATERAL (
                SELECT host FROM workers
                WHERE id = worker_id AND (workdir IS NOT NULL OR outcome = 'lost')
                    AND NOT EXISTS (SELECT FROM attempts WHERE job_id = done.id AND host = workers.host)
                UNION ALL
                SELECT host FROM attempts AS one
                WHERE job_id = done.id AND host IS NOT NULL AND NOT EXISTS (
                    SELECT FROM attempts WHERE job_id = done.id AND attempt < one.attempt AND host = one.host
                )
            ) AS place
            WHERE keep IS NOT NULL AND (
                (keep = 'failed' AND state = 'succeeded')
                OR (keep IN ('none', 'compressed') AND state IN ('succeeded', 'failed', 'cancelled'))
            )
            ON CONFLICT (job_id, host) DO UPDATE SET
                ended_at = now(), next_at = now(), done = NULL, done_at = NULL
        ),
        dropped AS (
            DELETE FROM log_chunks AS earlier USING done
            WHERE log_total IS NOT NULL AND job_id = done.id AND earlier.attempt = done.attempt
                AND (seq > log_total OR (seq > log_first AND seq < log_start))
        ),
        logged AS (
            -- What was there is written again as it was: whoever reports a running attempt cuts as we do.
            INSERT INTO log_chunks (job_id, attempt, seq, text)
            SELECT id, attempt, chunk.key::integer, chunk.value
            FROM done, jsonb_each_text(log) AS chunk
            ON CONFLICT (job_id, attempt, seq) DO UPDATE SET text = excluded.text
        ),
        told AS (
            -- blocked -> pending | scheduled for those whose last parents these were.
            UPDATE jobs SET
                unmet = greatest(unmet - met, 0),
                state = CASE WHEN unmet > met THEN 'blocked' WHEN run_at > now() THEN 'scheduled' ELSE 'pending' END
            FROM (
                SELECT edge.job_id, count(*)::integer AS met, max(done.id) AS last_parent
                FROM done CROSS JOIN LATERAL (
                    SELECT job_id, kind FROM dependencies WHERE parent_id = done.id ORDER BY job_id LIMIT 2000
                ) AS edge
                WHERE v_parents AND done.state = 'succeeded' AND kind IS DISTINCT FROM 'then'
                GROUP BY edge.job_id
            ) AS freed
            WHERE jobs.id = freed.job_id AND state || '' = 'blocked' AND unmet > 0
            RETURNING jobs.id, task_id, workflow, queue, priority, state, attempt, last_parent
        )
        SELECT id, task_id, workflow, queue, priority, state, attempt,
            seconds_between(started_at, done.ended_at), NULL::bigint
        FROM done
        UNION ALL
        SELECT id, task_id, workflow, queue, priority, state, attempt, 0, last_parent
        FROM told WHERE state = 'pending'
        UNION ALL
        SELECT edge.job_id, NULL, NULL, NULL, NULL, 'blocked', NULL, 0, done.id
        FROM done CROSS JOIN LATERAL (
            SELECT job_id FROM dependencies WHERE parent_id = done.id AND job_id < done.id AND kind = 'then' OFFSET 0
        ) AS edge
        WHERE v_parents AND state = 'succeeded';
    IF FOUND AND NOT v_succeeded THEN
        PERFORM count_failures(gate, new) FROM (
            SELECT gate_id, count(*) FROM jobs
            WHERE id = ANY (v_ended) AND state || '' = 'failed' AND gate_id IS NOT NULL
            GROUP BY gate_id ORDER BY gate_id
        ) AS failed(gate, new);
    END IF;
    -- The place that a job of a limit leaves; such jobs are finished alone. What goes wrong is left to admit.
    IF cardinality(v_ended) = 1 AND EXISTS (SELECT FROM throttled) THEN
        BEGIN
            RETURN QUERY
                SELECT admitted.*, 'pending', 0, 0::float8, v_ended[1]
                FROM jobs CROSS JOIN LATERAL admit_jobs(10) AS admitted
                WHERE jobs.id = v_ended[1] AND limits_of(jobs.workflow, jobs.queue, tags) <> '{}';
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'jobs that wait for a limit were not admitted: %', SQLERRM;
        END;
    END IF;
END
$$
