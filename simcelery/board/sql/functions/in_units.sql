-- Bytes as 1.5G, seconds as 36:00:00.
CREATE OR REPLACE FUNCTION in_units(p_what text, p_number float8) RETURNS text LANGUAGE sql IMMUTABLE AS $$
SELECT CASE p_what
    WHEN 'memory' THEN round((p_number / 1073741824)::numeric, 2)::float8::text || 'G'
    ELSE make_interval(secs => p_number)::text
END
$$
