"""The checks of ``doctor``: what may be wrong, and how to fix it, as plain data and in words.

The command line renders them. They look at the board, the broker, the workers and this node, and change
nothing.
"""
