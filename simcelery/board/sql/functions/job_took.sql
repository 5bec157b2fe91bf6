-- How long the last attempt of a finished job took, in seconds; 0 if Postgres's clock was set back meanwhile. A job that went on in
-- another one finished with that one, long after its own attempt had ended.
CREATE OR REPLACE FUNCTION job_took(p_job jobs) RETURNS double precision LANGUAGE sql STABLE AS $$
SELECT greatest(seconds_between(p_job.started_at, coalesce(
    (SELECT finished_at FROM attempts WHERE job_id = p_job.id AND attempt = p_job.attempt), p_job.finished_at
)), 0)
$$
