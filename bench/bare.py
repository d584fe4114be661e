"""The baseline: apps of the same libraries that do no more than they must."""

from __future__ import annotations

from collections.abc import Sequence

from celery import Celery

from bench.baselines import bare_flask
from bench.orders import body_of
from bench.processes import Process
from bench.servers import SECRET, Database, Sandbox, Site, python_of, shape_of
from bench.sides import Side
from bridge.issuance import compose


class Bare(Side):
    """The baseline: the apps in bench/baselines, under the same gunicorn and the same pool of Celery's."""

    queue_name = "bare"
    gunicorn_config = "gunicorn.conf.py"
    celery_app = "bench.baselines.bare_celery"

    def __init__(self, site: Site, sandbox: Sandbox, database: Database, *, app: str = "bare_flask") -> None:
        self.wsgi_app = [f"bench.baselines.{app}:create_app()"]
        self._shape = shape_of(site.plan.checkout)
        config = sandbox.add_config("bare")
        self._orders_url = f"{sandbox.url}/v1/Woocommerce/{config['id']}/order"
        super().__init__(site, sandbox, database, "bare")
        # What the bridge posts, byte for byte: the order, with the store's config over it. The chain posts
        # what it is sent, so it is sent that.
        self._posted = compose(self.template.encode(), config).decode()
        if app == "bare_chain":
            self.template = self._posted
        # The bridge's settings without the bridge: its own file would load what a bare app has no need of.
        settings = "".join(f"{name} = {value!r}\n" for name, value in self._shape.gunicorn.items())
        (self.folder / self.gunicorn_config).write_text(settings)
        bare_flask.create_table(self.database_url)

    def pool(self) -> Sequence[str]:
        return self._shape.bare_pool

    def process(self, arguments: Sequence[str]) -> Process:
        return Process(
            arguments,
            folder=self.folder,
            environment={
                "BARE_DATABASE_URL": self.database_url,
                "BARE_SECRET": SECRET,
                "BARE_BROKER_URL": self.queue.url,
                "BARE_ORDERS_URL": self._orders_url,
                "BARE_TOKEN": self.sandbox.token,
            },
            log=self.folder / "log",
            python=python_of(self.site.plan.checkout),  # whose worker class is among gunicorn's settings
        )

    def publish(self, count: int) -> None:
        """Call the task for so many orders."""
        first = self.take_numbers(count)
        with Celery(broker=self.queue.url) as app:
            app.conf.task_default_queue = self.queue_name
            for number in range(first, first + count):
                app.send_task("bare.forward", args=[body_of(self._posted, number)])
