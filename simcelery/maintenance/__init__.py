"""5 MAINTENANCE: what brings lost things back, done by turns inside every worker: recovery.

Each act is a plain ``tick(...)`` in a file of its own; `acts` lists them, and `loop` decides whose turn it
is. There is no leader: a turn is one committed UPDATE on the board. The worker runs the loop.
"""

# Seconds after which an act leaves the rest to the next turn: a fork of the worker waits for it.
LONGEST_ACT = 2.0
