-- Who may do what on the board. It runs once, when the volume is created, and may be run again at any time; then it
-- makes what is missing, and sets the passwords.
--
-- simcelery owns the board and manages nothing else on the server. The others do the part of the role of
-- 'simcelery db roles' in which they are. The superuser has no password, and is reached only from within the container.
\getenv simcelery POSTGRES_PASSWORD
\getenv worker POSTGRES_WORKER_PASSWORD
\getenv client POSTGRES_CLIENT_PASSWORD
\getenv monitor POSTGRES_MONITOR_PASSWORD
SELECT format('CREATE ROLE %I', name)
FROM unnest('{simcelery_read, simcelery_submit, simcelery_work, simcelery_admin, simcelery, worker, client, monitor}'::text[]) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
GRANT simcelery_read TO simcelery_submit;
GRANT simcelery_submit TO simcelery_work, client, monitor;
GRANT simcelery_work TO simcelery_admin, worker;
GRANT simcelery_admin TO simcelery;
ALTER ROLE simcelery LOGIN PASSWORD :'simcelery';
ALTER ROLE worker LOGIN PASSWORD :'worker';
ALTER ROLE client LOGIN PASSWORD :'client';
ALTER ROLE monitor LOGIN PASSWORD :'monitor';
SELECT 'CREATE DATABASE simcelery OWNER simcelery'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'simcelery') \gexec
SELECT 'ALTER ROLE postgres PASSWORD NULL' FROM pg_roles WHERE rolname = 'postgres' \gexec
