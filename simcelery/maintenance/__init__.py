"""5 MAINTENANCE: recovery, which keeps jobs moving whatever is lost; all workers take turns in doing it.

Each act is a plain ``tick(...)`` in its own module; `acts` lists them, and `loop` decides whose turn it
is. There is no leader: a turn is one committed UPDATE on the board. The worker runs the loop.
"""

# Seconds after which an act leaves the rest to the next turn: a fork of the worker waits for it.
LONGEST_ACT = 2.0
