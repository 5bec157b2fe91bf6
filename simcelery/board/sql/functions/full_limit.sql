-- The first of these limits that is full; NULL: none is.
CREATE OR REPLACE FUNCTION full_limit(p_limits text[]) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (
        SELECT name FROM limits WHERE name = ANY (p_limits) AND limit_used(name) >= most ORDER BY name LIMIT 1
    );
END
$$
