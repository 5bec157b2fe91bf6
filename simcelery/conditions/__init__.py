"""What ``--where`` and ``--fields`` may say: a small closed grammar, read into plain values.

`reading` reads the text; `values` is what comes of it; `picking` finds a field in a job that is plain JSON.
None of them knows the board: `simcelery.board.reads.fields` makes parameterised SQL of the values.
"""
