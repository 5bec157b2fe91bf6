CREATE OR REPLACE FUNCTION job_fingerprint(p_workflow text, p_version text, p_parameters jsonb) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT hashtextextended(p_workflow || ' ' || p_version, jsonb_hash_extended(p_parameters, 0))
$$
