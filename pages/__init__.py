"""What `make docs` makes from the code: the reference of all commands and that of the Python API.

``python -m pages`` writes both into ``docs/``, beside the pages that people write, and git ignores them:
nobody edits them, and they are never older than the code. ``python -m pages pictures`` records the pictures
of terminals in ``docs/pictures`` anew, which are kept.
"""
