-- How long a job is expected to take, and on what that is based; see expected_time.sql.
SELECT seconds, tried_from, basis, successes FROM expected_time(%(id)s)
