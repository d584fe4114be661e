"""How gunicorn runs the web process: `gunicorn -c python:bridge.gunicorn_config`."""

wsgi_app = "bridge.app:create_app()"
bind = "0.0.0.0:8080"
# Threads, since a slow shop may take its time to send an order: it blocks one of many, not a whole process.
worker_class = "gthread"
workers = 2
threads = 16
timeout = 60
graceful_timeout = 30
keepalive = 5
control_socket_disable = True
