"""`spacebridge sandbox`: serves the stand-in for Space Invoices, or with `--shop` that for a shop."""

from __future__ import annotations

import secrets
from pathlib import Path

import click
from click.core import ParameterSource

from bridge.cli.sandbox_server import serve
from bridge.cli.sandbox_shop import fault_of, serve_shop
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


_OF_INVOICES = {
    "failures",
    "rate_limit",
    "organization",
    "woocommerce",
    "token",
    "invoice_for_bank_payment",
    "invoice_on_complete",
}
_OF_SHOP = {"orders", "life", "fault", "permalinks", "http_callbacks", "certificate", "behind_proxy"}


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option(
    "--port",
    default=8090,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="With --shop, 8091 if not given.",
)
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
@click.option("--shop", is_flag=True, help="Stand in for a WooCommerce shop: its REST API and webhooks.")
@click.option(
    "--orders", default=50, show_default=True, type=click.IntRange(0), help="With --shop: its orders."
)
@click.option("--life", is_flag=True, help="With --shop: make an order or move one along every second.")
@click.option(
    "--fault",
    type=fault_of,
    metavar="ANSWER[=SHARE]",
    help="With --shop: answer all requests, or a share, so: busy, maintenance, firewall-403, firewall-200, "
    "redirect, flood, error.",
)
@click.option("--permalinks/--no-permalinks", default=True, help="With --shop: whether /wp-json/ is there.")
@click.option(
    "--http-callbacks", is_flag=True, help="With --shop: send approved keys to http addresses, too."
)
@click.option(
    "--certificate",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --shop: serve https, with a file in PEM of a certificate and its key.",
)
@click.option("--behind-proxy", is_flag=True, help="With --certificate: WordPress does not know of https.")
@click.pass_context
def sandbox(
    context: click.Context,
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
    shop: bool,
    orders: int,
    life: bool,
    fault: tuple[str, float] | None,
    permalinks: bool,
    http_callbacks: bool,
    certificate: Path | None,
    behind_proxy: bool,
) -> None:
    """A Space Invoices stand-in: takes orders, issues documents in memory, and lists them.

    With --shop, the stand-in for a WooCommerce shop, which sends webhooks and can be asked for its orders.
    """
    _refuse_others(context, _OF_INVOICES if shop else _OF_SHOP, "without" if shop else "with")
    if shop and context.get_parameter_source("port") is ParameterSource.DEFAULT:
        port = 8091  # beside the other stand-in
    bind_or_fail(host, port)
    if shop:
        serve_shop(
            host=host,
            port=port,
            orders=orders,
            lives=life,
            latency=latency / 1000,
            fault=fault,
            has_permalinks=permalinks,
            takes_http_callbacks=http_callbacks,
            certificate=certificate,
            is_behind_proxy=behind_proxy,
        )
        return
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
    serve(lambda: app, host=host, port=port)


def _refuse_others(context: click.Context, names: set[str], preposition: str) -> None:
    """Refuse an option of the other stand-in, which would do nothing; one of the environment is let be."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{parameter.opts[0]} works only {preposition} --shop.")
