"""What runs in the process of ``celery worker`` itself, which forks the pool children and outlives them."""
