-- What a claim has been given, in the transaction of the claim or later. Volatile, so that it sees what the statement
-- that calls it has just written.
CREATE OR REPLACE FUNCTION granted(p_job_id bigint, p_claim_id uuid) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
SELECT jsonb_build_object('cores', cores, 'memory', memory, 'gpus', gpus) FROM grants
WHERE job_id = p_job_id AND claim_id = p_claim_id
$$
