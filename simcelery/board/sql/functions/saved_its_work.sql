-- Whether an attempt has left something from which a later one goes on: a checkpoint, the output of a step, or files.
CREATE OR REPLACE FUNCTION saved_its_work(p_job_id bigint, p_attempt integer) RETURNS boolean LANGUAGE sql STABLE AS $$
SELECT EXISTS (SELECT FROM checkpoints WHERE job_id = p_job_id AND attempt >= p_attempt)
    OR EXISTS (SELECT FROM steps WHERE job_id = p_job_id AND attempt = p_attempt)
    OR EXISTS (SELECT FROM restarts WHERE job_id = p_job_id AND continues = p_attempt)
$$
