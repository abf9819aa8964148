"""The process: Celery app, Redis, settings, logs and the command line; the only place where concrete things meet."""
