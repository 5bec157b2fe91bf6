"""THE RELAY: board and broker for nodes that reach nothing but HTTPS.

Owns both ends: the server that leads WebSockets to Postgres and Redis, with its tokens, and the tunnel from
a node to it, which board and broker ask where to connect. It carries bytes, and knows not what they mean.
"""
