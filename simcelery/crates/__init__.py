"""Jobs with all that is known of them as an RO-Crate: a folder to keep, to publish, or to give away.

`making` writes it: `cells` are the rows of its tables, `printed` its logs, `graph` what its metadata say,
`words` its README, and `hiding` takes passwords out of all of them. The command line calls `making`.
"""
