SELECT * FROM finish_attempts(%(ended)s)
