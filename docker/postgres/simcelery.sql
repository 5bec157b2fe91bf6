-- Run once, when the volume is created: a login that owns the board and manages nothing else on the server. It has the
-- password; the superuser has none, and is reached only from within the container.
\getenv password POSTGRES_PASSWORD
CREATE ROLE simcelery LOGIN PASSWORD :'password';
CREATE DATABASE simcelery OWNER simcelery;
ALTER ROLE postgres PASSWORD NULL;
