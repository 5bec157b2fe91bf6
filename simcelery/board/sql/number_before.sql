-- Four questions, each answered by a partial index: one for all would read every pending job.
SELECT (
  SELECT count(*) FROM jobs
  WHERE state = 'pending' AND queue = %(queue)s AND workflow = %(workflow)s
    AND priority > %(priority)s AND published_at IS NULL
) + (
  SELECT count(*) FROM jobs
  WHERE state = 'pending' AND queue = %(queue)s AND workflow = %(workflow)s
    AND priority > %(priority)s AND published_at IS NOT NULL
) + (
  SELECT count(*) FROM jobs
  WHERE state = 'pending' AND queue = %(queue)s AND workflow = %(workflow)s
    AND priority = %(priority)s AND id < %(id)s AND published_at IS NULL
) + (
  SELECT count(*) FROM jobs
  WHERE state = 'pending' AND queue = %(queue)s AND workflow = %(workflow)s
    AND priority = %(priority)s AND id < %(id)s AND published_at IS NOT NULL
)
