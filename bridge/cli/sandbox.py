"""`spacebridge sandbox`: serves the stand-in for Space Invoices."""

from __future__ import annotations

import secrets
from typing import Any

import click
from flask import Flask
from gunicorn.app.base import BaseApplication

from bridge.cli.starting import bind_or_fail
from bridge.cli.terminal import fail, print_fields
from bridge.sandbox import create_sandbox


def _share(text: str) -> tuple[int, float]:
    """The value of `STATUS=SHARE`, such as 503=0.2: the answer to a fifth of the orders is 503."""
    status, _, share = text.partition("=")
    try:
        parsed = int(status), float(share)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not STATUS=SHARE, such as 503=0.2") from None
    if not (400 <= parsed[0] <= 599 and 0 <= parsed[1] <= 1):
        raise click.BadParameter(f"{text!r}: the status is 400 to 599, and the share 0 to 1")
    return parsed


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8090, show_default=True, type=click.IntRange(1, 65535))
@click.option("--latency", default=0, metavar="MS", type=click.IntRange(0), help="Milliseconds to answer in.")
@click.option(
    "--fail",
    "failures",
    multiple=True,
    type=_share,
    metavar="STATUS=SHARE",
    help="Answer a share of the orders so.",
)
@click.option("--rate-limit", default=100, show_default=True, type=click.IntRange(1), help="Requests/second.")
@click.option("--organization", metavar="ID", help="The organization's id; made if not given.")
@click.option("--woocommerce", metavar="ID", help="The id of its first object; made if not given.")
@click.option(
    "--token",
    envvar="SPACEBRIDGE_SANDBOX_TOKEN",
    show_envvar=True,
    metavar="TOKEN",
    help="The access token; made if not given. It protects nothing.",
)
@click.option("--invoice-for-bank-payment", is_flag=True, help="Turn issueInvoiceForBankPayment on.")
@click.option("--invoice-on-complete", is_flag=True, help="Turn issueInvoiceOnComplete on.")
def sandbox(
    host: str,
    port: int,
    latency: int,
    failures: tuple[tuple[int, float], ...],
    rate_limit: int,
    organization: str | None,
    woocommerce: str | None,
    token: str | None,
    invoice_for_bank_payment: bool,
    invoice_on_complete: bool,
) -> None:
    """A Space Invoices stand-in: takes orders, issues documents in memory, and lists them."""
    bind_or_fail(host, port)
    organization = organization or secrets.token_hex(12)
    woocommerce = woocommerce or secrets.token_hex(12)
    token = token or secrets.token_urlsafe(32)
    try:
        app = create_sandbox(
            organization_id=organization,
            token=token,
            woocommerces=[
                {
                    "id": woocommerce,
                    "name": "Sandbox store",
                    "issueInvoiceForBankPayment": invoice_for_bank_payment,
                    "issueInvoiceOnComplete": invoice_on_complete,
                }
            ],
            latency=latency / 1000,
            failures=dict(failures),
            rate_limit=rate_limit,
        )
    except ValueError as error:
        fail(f"The sandbox cannot be started: {error}.")
    address = f"http://{host}:{port}"
    print_fields(
        {
            "SPACEBRIDGE_API_URL": f"{address}/v1",
            "organization": organization,
            "woocommerce": woocommerce,
            "token": token,
            "to look at it": f"{address}/sandbox",
            "issued documents": f"{address}/sandbox/documents",
        }
    )
    _serve(app, host=host, port=port)


def _serve(app: Flask, *, host: str, port: int) -> None:
    """Serve the app until a signal ends it, with one process: the sandbox has its documents in memory."""

    class Server(BaseApplication):
        def load_config(self) -> None:
            self.cfg.set("bind", f"{host}:{port}")
            self.cfg.set("worker_class", "gthread")
            self.cfg.set("threads", 32)
            self.cfg.set("loglevel", "warning")
            self.cfg.set("control_socket_disable", True)

        def load(self) -> Any:
            return app

    Server().run()
