"""What runs in the process of ``celery worker`` itself: it forks the pool children and outlives each of them."""
