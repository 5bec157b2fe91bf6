-- How many seconds after one moment another is; NULL between two that are the same infinity. The moments themselves are not
-- subtracted: before Postgres 17 that is an error where one is infinite, as in rows that no simcelery has written.
CREATE OR REPLACE FUNCTION seconds_between(p_from timestamptz, p_to timestamptz) RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE AS $$
SELECT nullif(extract(epoch FROM p_to) - extract(epoch FROM p_from), 'NaN')::double precision
$$
