-- One look at every row: called when a row that breaks a CHECK was in the way of something. What is to run as
-- a job must be known beyond doubt, so a job fails where it is not; everything else is put right.
-- A migration calls this before the board has gates, hence to_jsonb and to_regclass.
CREATE OR REPLACE FUNCTION mend_rows() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
        WITH looked AS (
            SELECT id, state, concat_ws(', ',
                CASE WHEN jsonb_typeof(parameters) <> 'object' THEN 'its parameters are no JSON object' END,
                CASE WHEN NOT (time_limit > 0 AND time_limit < 'Infinity' AND soft_time_limit > 0 AND soft_time_limit < 'Infinity') THEN 'a time limit is no positive number' END,
                CASE WHEN NOT (max_attempts > 0 AND max_losses >= 0) THEN 'it may never be tried' END,
                CASE WHEN workflow = '' OR queue = '' THEN 'it has no workflow or no queue' END,
                CASE WHEN state NOT IN ('blocked', 'scheduled', 'pending', 'running', 'succeeded', 'failed', 'cancelled', 'upstream_failed') THEN 'there is no such state' END,
                CASE WHEN state = 'running' AND num_nulls(worker_id, pid, claim_id, started_at) > 0
                    THEN 'it runs, and nobody has claimed it' END
            ) AS fatal, concat_ws(', ',
                CASE WHEN NOT (attempt BETWEEN 0 AND 1000000000 AND failures BETWEEN 0 AND 1000000000 AND losses BETWEEN 0 AND 1000000000 AND publish_count BETWEEN 0 AND 1000000000) THEN 'a count' END,
                CASE WHEN NOT (priority BETWEEN 0 AND 9) THEN 'its priority' END,
                CASE WHEN tags <> '{}' AND (
                        array_ndims(tags) > 1 OR EXISTS (SELECT FROM unnest(tags) AS tag WHERE tag IS NULL)
                    ) THEN 'its tags' END,
                CASE WHEN NOT (run_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' AND published_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' AND cancel_requested_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' AND submitted_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' AND started_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' AND finished_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00') THEN 'a time' END,
                CASE WHEN jsonb_typeof(progress) <> 'object' THEN 'its progress' END,
                CASE WHEN state = 'scheduled' AND run_at IS NULL THEN 'the time to run at' END,
                CASE WHEN unmet < 0 OR (unmet = 0 AND state = 'blocked' AND to_jsonb(jobs)->>'gate_id' IS NULL
                        AND (published_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00') IS NOT TRUE)
                    THEN 'what it waits for' END,
                CASE WHEN state IN ('pending', 'scheduled', 'blocked') AND cancel_requested_at IS NOT NULL
                    THEN 'its cancel' END,
                CASE WHEN (state IN ('succeeded', 'failed', 'cancelled', 'upstream_failed'))
                    <> (finished_at IS NOT NULL) THEN 'its end' END
            ) AS odd
            FROM jobs
        ),
        bad AS (
            SELECT id, state AS was, fatal, odd,
                CASE
                    WHEN state IN ('succeeded', 'failed', 'cancelled', 'upstream_failed') THEN state
                    WHEN fatal <> '' AND (state <> 'running' OR fatal LIKE '%nobody has claimed%')
                        THEN 'failed'
                    WHEN odd LIKE '%its cancel%' THEN 'cancelled'
                    WHEN odd LIKE '%waits for%' AND state = 'blocked'
                        AND NOT EXISTS (SELECT FROM dependencies WHERE job_id = looked.id) THEN 'pending'
                    ELSE state
                END AS becomes
            FROM looked WHERE fatal <> '' OR odd <> ''
        )
        UPDATE jobs SET
            state = becomes,
            finished_at = CASE
                WHEN becomes NOT IN ('succeeded', 'failed', 'cancelled', 'upstream_failed') THEN NULL
                WHEN finished_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' THEN finished_at ELSE now() END,
            error_type = CASE WHEN becomes = 'failed' AND was <> 'failed' THEN 'UnreadableRowError'
                ELSE error_type END,
            error_message = CASE WHEN becomes = 'failed' AND was <> 'failed'
                THEN 'its row on the board cannot be read: ' || fatal ELSE error_message END,
            parameters = CASE WHEN jsonb_typeof(parameters) = 'object' THEN parameters
                ELSE jsonb_build_object('$unreadable', parameters) END,
            workflow = CASE workflow WHEN '' THEN '?' ELSE workflow END,
            queue = CASE queue WHEN '' THEN '?' ELSE queue END,
            time_limit = CASE WHEN time_limit > 0 AND time_limit < 'Infinity' THEN time_limit END,
            soft_time_limit =
                CASE WHEN soft_time_limit > 0 AND soft_time_limit < 'Infinity' THEN soft_time_limit END,
            max_attempts = greatest(max_attempts, 1), max_losses = greatest(max_losses, 0),
            attempt = CASE WHEN attempt BETWEEN 0 AND 1000000000 THEN attempt ELSE coalesce(
                (SELECT max(ended.attempt) FROM attempts AS ended
                 WHERE job_id = jobs.id AND ended.attempt BETWEEN 0 AND 1000000000), 0) END,
            failures = least(greatest(failures, 0), 1000000000),
            losses = least(greatest(losses, 0), 1000000000),
            priority = least(greatest(priority, 0), 9),
            tags = ARRAY(SELECT tag FROM unnest(tags) AS tag WHERE tag IS NOT NULL),
            publish_count = CASE WHEN becomes = 'pending' THEN 0
                ELSE least(greatest(publish_count, 0), 1000000000) END,
            published_at = CASE WHEN becomes <> 'pending' AND published_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' THEN published_at END,
            submitted_at = CASE WHEN submitted_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' THEN submitted_at ELSE now() END,
            started_at = CASE WHEN started_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' THEN started_at ELSE CASE WHEN started_at IS NOT NULL THEN now() END END,
            run_at = CASE WHEN run_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' THEN run_at WHEN becomes = 'scheduled' THEN now() END,
            cancel_requested_at = CASE
                WHEN becomes IN ('pending', 'scheduled', 'blocked') THEN NULL
                WHEN cancel_requested_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' THEN cancel_requested_at
                WHEN cancel_requested_at IS NOT NULL THEN now() END,
            progress = CASE WHEN jsonb_typeof(progress) = 'object' THEN progress END,
            unmet = greatest(
                unmet, CASE WHEN becomes = 'blocked' AND to_jsonb(jobs)->>'gate_id' IS NULL
                    AND (published_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00') IS NOT TRUE THEN 1 ELSE 0 END)
        FROM bad WHERE jobs.id = bad.id AND jobs.state = was
        RETURNING format('job %s: %s', jobs.id, concat_ws('; ',
            CASE WHEN becomes = 'failed' AND was <> 'failed' THEN 'it failed: ' || fatal
                ELSE nullif(fatal, '') END,
            'put right: ' || nullif(odd, '')));
    RETURN QUERY
        UPDATE attempts SET
            error_message = CASE WHEN NOT (outcome IN ('succeeded', 'failed', 'cancelled', 'lost', 'released') AND cause IN ('error', 'time_limit', 'out_of_memory', 'worker_lost', 'walltime', 'cancelled', 'shutdown'))
                THEN concat_ws('; ', error_message, format('it was called %s (%s)', outcome, cause))
                ELSE error_message END,
            outcome = CASE WHEN NOT (outcome IN ('succeeded', 'failed', 'cancelled', 'lost', 'released') AND cause IN ('error', 'time_limit', 'out_of_memory', 'worker_lost', 'walltime', 'cancelled', 'shutdown')) THEN 'failed' ELSE outcome END,
            cause = CASE WHEN NOT (outcome IN ('succeeded', 'failed', 'cancelled', 'lost', 'released') AND cause IN ('error', 'time_limit', 'out_of_memory', 'worker_lost', 'walltime', 'cancelled', 'shutdown')) THEN 'error' ELSE cause END,
            cpu_seconds = CASE WHEN cpu_seconds > '-Infinity' AND cpu_seconds < 'Infinity'
                THEN cpu_seconds END,
            peak_memory = CASE WHEN peak_memory >= 0 THEN peak_memory END,
            started_at = CASE WHEN started_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' THEN started_at ELSE now() END, finished_at = CASE WHEN finished_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' THEN finished_at ELSE now() END,
            late_outcome = CASE WHEN jsonb_typeof(late_outcome) = 'object' THEN late_outcome
                WHEN late_outcome IS NOT NULL THEN jsonb_build_object('$unreadable', late_outcome) END
        WHERE NOT (outcome IN ('succeeded', 'failed', 'cancelled', 'lost', 'released') AND cause IN ('error', 'time_limit', 'out_of_memory', 'worker_lost', 'walltime', 'cancelled', 'shutdown')) OR NOT (cpu_seconds > '-Infinity' AND cpu_seconds < 'Infinity' AND peak_memory >= 0) OR NOT (started_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' AND finished_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00')
            OR jsonb_typeof(late_outcome) <> 'object'
        RETURNING format('attempt %s of job %s: put right: its outcome, numbers or times', attempt, job_id);
    IF to_regclass('durations') IS NULL THEN -- a row is put right in one statement: each is checked
        RETURN QUERY
            UPDATE workers SET
                pid = greatest(pid, 1), concurrency = greatest(concurrency, 0),
                queues = array_remove(queues, NULL), workflows = array_remove(workflows, NULL),
                succeeded = CASE WHEN jsonb_typeof(succeeded) = 'object' THEN succeeded ELSE '{}' END,
                started_at = CASE WHEN started_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' THEN started_at ELSE now() END, renewed_at = CASE WHEN renewed_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' THEN renewed_at ELSE now() END,
                steady_since = CASE WHEN steady_since BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' THEN steady_since ELSE now() END, lease_expires_at = CASE WHEN lease_expires_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' THEN lease_expires_at ELSE now() END,
                ended_at = CASE WHEN ended_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' THEN ended_at WHEN ended_at IS NOT NULL THEN now() END
            WHERE pid <= 0 OR concurrency < 0 OR NOT (array_position(queues, NULL) IS NULL AND array_position(workflows, NULL) IS NULL) OR jsonb_typeof(succeeded) <> 'object'
                OR NOT (started_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' AND renewed_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' AND lease_expires_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' AND ended_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' AND steady_since BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00')
            RETURNING format('worker %s: put right: its numbers, lists or times', id);
    ELSE
        RETURN QUERY
            UPDATE workers SET
                pid = greatest(pid, 1), concurrency = greatest(concurrency, 0),
                queues = array_remove(queues, NULL), workflows = array_remove(workflows, NULL),
                succeeded = CASE WHEN jsonb_typeof(succeeded) = 'object' THEN succeeded ELSE '{}' END,
                started_at = CASE WHEN started_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' THEN started_at ELSE now() END, renewed_at = CASE WHEN renewed_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' THEN renewed_at ELSE now() END,
                steady_since = CASE WHEN steady_since BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' THEN steady_since ELSE now() END, lease_expires_at = CASE WHEN lease_expires_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' THEN lease_expires_at ELSE now() END,
                ended_at = CASE WHEN ended_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' THEN ended_at WHEN ended_at IS NOT NULL THEN now() END,
                ends_at = CASE WHEN ends_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' THEN ends_at END
            WHERE pid <= 0 OR concurrency < 0 OR NOT (array_position(queues, NULL) IS NULL AND array_position(workflows, NULL) IS NULL) OR jsonb_typeof(succeeded) <> 'object'
                OR NOT (started_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' AND renewed_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' AND lease_expires_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' AND ended_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00' AND steady_since BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00')
                OR NOT ends_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00'
            RETURNING format('worker %s: put right: its numbers, lists or times', id);
    END IF;
    RETURN QUERY
        DELETE FROM workflows WHERE jsonb_typeof(parameters) <> 'object' OR jsonb_typeof(options) <> 'object'
        RETURNING format('workflow %s: out of the catalogue until a worker enters it again', name);
    RETURN QUERY
        DELETE FROM dependencies WHERE job_id = parent_id
        RETURNING format('job %s: it no longer waits for itself', job_id);
    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('dependencies') AND attname = 'kind') THEN
        RETURN QUERY
            UPDATE dependencies SET kind = NULL WHERE kind NOT IN ('any', 'then')
            RETURNING format('job %s: put right: what it waits for of job %s', job_id, parent_id);
    END IF;
    IF to_regclass('gates') IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
        UPDATE gates SET closed_by = 'fuse' WHERE closed_by NOT IN ('canary', 'fuse', 'hand')
        RETURNING format('gate %s: put right: what has closed it', id);
    RETURN QUERY
        UPDATE jobs SET state = 'pending', gate_id = NULL
        WHERE state = 'blocked' AND unmet = 0 AND gate_id IS NOT NULL
            AND NOT EXISTS (SELECT FROM gates WHERE id = jobs.gate_id)
        RETURNING format('job %s: it no longer waits at a gate that is not there', id);
    RETURN QUERY
        UPDATE subscriptions SET
            address = coalesce(nullif(address, ''), '?'), workflow = coalesce(nullif(workflow, ''), '?'),
            events = array_remove(events, NULL)
        WHERE address = '' OR workflow = '' OR array_position(events, NULL) IS NOT NULL
        RETURNING format('subscription %s: put right: its address, workflow or events', id);
    RETURN QUERY
        UPDATE notifications SET
            body = jsonb_build_object('$unreadable', body),
            given_up_at = CASE WHEN sent_at IS NULL THEN coalesce(given_up_at, now()) END,
            error = 'its row on the board cannot be read'
        WHERE jsonb_typeof(body) <> 'object'
        RETURNING format('notification %s: given up: its body is no JSON object', id);
    IF to_regclass('schedules') IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
        UPDATE schedules SET
            missed = CASE WHEN missed IN ('once', 'all', 'skip') THEN missed ELSE 'once' END,
            job = CASE jsonb_typeof(job) WHEN 'object' THEN job ELSE '{}' END,
            parameters = CASE jsonb_typeof(parameters) WHEN 'object' THEN parameters ELSE '{}' END,
            paused_at = CASE WHEN jsonb_typeof(job) = 'object' AND jsonb_typeof(parameters) = 'object'
                THEN paused_at ELSE now() END
        WHERE missed NOT IN ('once', 'all', 'skip')
            OR jsonb_typeof(job) <> 'object' OR jsonb_typeof(parameters) <> 'object'
        RETURNING format('schedule %s: put right: its policy; or paused, since its job cannot be read', name);
    IF to_regclass('durations') IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
        DELETE FROM durations WHERE NOT (
            p90 >= 0 AND p90 < 'Infinity' AND median >= 0 AND median < 'Infinity' AND successes >= 0
            AND (p90 IS NULL) = (median IS NULL)
            AND newest_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00'
            AND outlasted_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00'
            AND learned_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00'
        )
        RETURNING format('workflow %s: how long its jobs take is forgotten until it is looked at again', workflow);
END
$$
