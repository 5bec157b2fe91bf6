-- How long a job takes, in seconds: as somebody has said; else as nine of ten of the last successes of its workflow, with the
-- same tags if enough of these are known (`durations`); but no longer than its time limit. NULL: nobody knows.
CREATE OR REPLACE FUNCTION expected_time(p_job_id bigint) RETURNS double precision LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_job record;
BEGIN
    SELECT workflow, tags, time_request, time_limit, soft_time_limit INTO v_job FROM jobs WHERE id = p_job_id;
    IF v_job.time_request IS NOT NULL THEN
        RETURN v_job.time_request;
    END IF;
    RETURN least(
        coalesce(
            (SELECT p90 FROM durations WHERE workflow = v_job.workflow AND tags = v_job.tags),
            (SELECT p90 FROM durations WHERE workflow = v_job.workflow AND tags = '{}')
        ),
        v_job.time_limit, v_job.soft_time_limit
    );
END
$$
