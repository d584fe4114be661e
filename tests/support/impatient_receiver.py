"""The receiver's gunicorn config, for tests that wait for deadlines and fill all places: each is small."""

from __future__ import annotations

from bridge.gunicorn_config import *  # noqa: F403
from bridge.web import gunicorn_worker

gunicorn_worker.HEAD_WITHIN = 1.0
gunicorn_worker.BODY_WITHIN = 2.0
gunicorn_worker.CLOSE_WITHIN = 1.0
gunicorn_worker._MOST_BUFFERED = 4 * 2**20
worker_connections = 40  # of each process; 16 are its threads'
