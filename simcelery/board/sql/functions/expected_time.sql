-- How long a job takes, in seconds: as somebody has said; else as nine of ten of the last successes of its workflow, with the
-- same tags if enough of these are known (`durations`), but longer than an attempt of its own that an allocation's end cut
-- short, and no longer than its time limit. NULL: nobody knows. `basis` is which of these it was.
--
-- `tried_from`: with so many seconds a worker that has just begun tries it all the same: half of the last successes took
-- no longer, or its time limit is all that is known. Else one long run among few would keep the others waiting for an
-- allocation that never comes, and nothing would be learned from them. When an attempt was cut short that an allocation had
-- been given to as a whole (`outlasted_at`), time limits are believed until something succeeds. A job that was cut short once
-- is tried so again: it may keep, in files of its own, what it goes on from. After a second time what its attempts took
-- is believed.
--
-- An attempt that left something to go on from has not been in vain, and says nothing about the next one. What people
-- retry is judged anew: its losses are 0. One that is taken back late ended with its worker's lease at the latest.
CREATE OR REPLACE FUNCTION expected_time(
    p_job_id bigint, OUT seconds double precision, OUT tried_from double precision, OUT basis text, OUT successes integer
) LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_job record;
    v_known record;
    v_own double precision;
    v_cuts bigint;
BEGIN
    SELECT workflow, tags, time_request, attempt, losses, least(time_limit, soft_time_limit) AS most
        INTO v_job FROM jobs WHERE id = p_job_id;
    IF v_job.time_request IS NOT NULL THEN
        seconds := v_job.time_request;
        tried_from := seconds;
        basis := 'request';
        RETURN;
    END IF;
    SELECT durations.* INTO v_known FROM durations
        WHERE workflow = v_job.workflow AND tags = v_job.tags AND p90 IS NOT NULL;
    IF NOT FOUND THEN
        SELECT durations.* INTO v_known FROM durations WHERE workflow = v_job.workflow AND tags = '{}';
    END IF;
    IF v_job.losses > 0 OR (
        v_job.attempt > 0
        AND EXISTS (SELECT FROM escalations WHERE job_id = p_job_id AND attempt = v_job.attempt AND cause = 'walltime')
    ) THEN
        SELECT max(seconds_between(attempts.started_at, least(attempts.finished_at, workers.lease_expires_at))), count(*)
            INTO v_own, v_cuts
            FROM attempts LEFT JOIN workers ON workers.id = attempts.worker_id
            WHERE job_id = p_job_id AND cause = 'walltime' AND NOT saved_its_work(job_id, attempt);
    END IF;
    seconds := least(greatest(coalesce(v_known.p90, v_job.most), v_own), v_job.most);
    tried_from := CASE
        WHEN v_cuts > 1 THEN seconds
        WHEN v_known.p90 IS NOT NULL THEN least(v_known.median, seconds)
        WHEN v_cuts = 1 THEN 0
        WHEN v_known.outlasted_at > coalesce(v_known.newest_at, '-infinity') OR seconds IS NULL THEN seconds
        ELSE 0
    END;
    basis := CASE
        WHEN seconds IS NULL THEN NULL
        WHEN seconds = v_known.p90 THEN CASE WHEN v_known.tags = '{}' THEN 'workflow' ELSE 'tags' END
        WHEN seconds = v_job.most THEN 'limit'
        ELSE 'attempt'
    END;
    successes := CASE WHEN basis IN ('workflow', 'tags') THEN v_known.successes END;
END
$$
