"""The Celery process: its app, its schedule, and thin tasks over the pipeline."""
