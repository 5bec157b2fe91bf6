SELECT needs_of(%(needs)s)
