-- What lies at a path in an encoded value, looking through the forms that `workflows/encoding.py` and `tags.py`
-- write, as `describe/plain.py` does; only numbers that JSON does not have, and dictionaries at the end of the
-- path, keep their form. Null: there is nothing.
CREATE OR REPLACE FUNCTION field_of(value jsonb, path text[]) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    at integer := 0;
    pairs jsonb;
BEGIN
    LOOP
        IF jsonb_typeof(value) = 'object' THEN
            IF at < cardinality(path) AND value ?| ARRAY['$dict', '$ordered', '$counter', '$defaultdict'] THEN
                pairs := coalesce(value->'$dict', value->'$ordered', value->'$counter', value->'$defaultdict');
                IF jsonb_typeof(pairs) = 'array' THEN
                    SELECT coalesce(
                        jsonb_object_agg(coalesce(field_of(pair->0, '{}') #>> '{}', 'null'), pair->1), '{}'
                    ) INTO value
                    FROM jsonb_array_elements(pairs) AS pair WHERE jsonb_typeof(pair) = 'array';
                END IF;
            ELSIF value ?| ARRAY['$ndarray', '$complex', '$bytes', '$tuple', '$set', '$frozenset', '$deque',
                    '$range', '$bytearray', '$path', '$date', '$datetime', '$time', '$decimal', '$uuid'] THEN
                value := coalesce(
                    value->'$ndarray', value->'$complex', value->'$bytes', value->'$tuple', value->'$set',
                    value->'$frozenset', value->'$deque', value->'$range', value->'$bytearray', value->'$path',
                    value->'$date', value->'$datetime', value->'$time', value->'$decimal', value->'$uuid');
            ELSIF jsonb_path_match(
                value, '$."$timedelta".size() == 3 && !exists($."$timedelta"[*] ? (@.type() != "number"))', silent => true
            ) THEN
                value := to_jsonb(round((value->'$timedelta'->>0)::numeric * 86400
                    + (value->'$timedelta'->>1)::numeric + (value->'$timedelta'->>2)::numeric / 1000000, 6));
            END IF;
        END IF;
        at := at + 1;
        EXIT WHEN at > cardinality(path) OR value IS NULL;
        value := value #> ARRAY[path[at]];
    END LOOP;
    RETURN nullif(value, 'null');
END
$$
