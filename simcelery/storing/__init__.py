"""Where the files of jobs are stored: a folder, or what fsspec can reach.

Owns names, uploads, downloads and checksums; knows no board. A store other than a folder is opened only in a
process of its own, or by a command: its client has threads and connections that survive no fork.
"""
