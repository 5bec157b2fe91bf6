"""Jobs as a typed table: a row for each job, a column for each of the fields that were asked for.

`kinds` says what a column holds, `declared` what workflows declare; `reading` reads cells from the board, and
`gathering` keeps them until all columns and their kinds are known; `files` writes them, and `frames` makes
a pandas.DataFrame.
"""
