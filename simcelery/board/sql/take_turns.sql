SELECT * FROM take_due_turns(
    CAST(%(names)s AS text[]), CAST(%(intervals)s AS float8[]), %(by)s, %(count_to)s, %(margin)s, %(revision)s,
    %(corrects)s
)
