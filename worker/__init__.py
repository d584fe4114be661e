"""The Celery process: its app, thin tasks over the pipeline, and the schedule of duties."""
