"""Commands that sync (run, serve, worker), and those with simulated services (demo, sandbox)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.terminal import (
    CommandError,
    JsonOption,
    configure_stderr_log,
    echo,
    echo_err,
    echo_json,
    find_connections,
    open_command_app,
)
from connector.vocabulary import RunOutcome

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from connector.app_context import AppContext
    from connector.cli.progress import Progress
    from connector.run import RunResult
    from connector.services.status import ConnectionStatus

PortOption = Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on.")]
_FAILING_OUTCOMES = {RunOutcome.ACTION_REQUIRED, RunOutcome.FAILED, RunOutcome.BUSY}


def register(parent: typer.Typer) -> None:
    """Add these commands."""
    for command in (demo, sandbox, run, serve, worker):
        parent.command(command.__name__)(command)


def demo(
    port: PortOption = 8710,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Run the demo, print the result and exit.")] = False,
    days: Annotated[int, typer.Option(min=0, max=60, help="How many days to play.")] = 11,
    as_json: JsonOption = False,
) -> None:
    """Try duewell without any account.

    Simulates Xero, QuickBooks Online and SendGrid on this machine, connects a demo company on each accounting system,
    opens the web app and plays eleven days of reminders while you watch.
    """
    import webbrowser

    from connector.cli.consent_wait import has_display
    from connector.cli.demo import run_demo

    report: list[str] = []

    def ready(url: str) -> None:
        echo_err(f"The web app is running at {url}. Press Ctrl-C to stop it.")
        if not no_browser and has_display():
            webbrowser.open(url)

    code = run_demo(
        port=port,
        once=once,
        days=days,
        on_progress=echo_err,
        print_line=report.append if as_json else echo,
        on_ready=ready,
    )
    if as_json:
        echo_json({"ok": code == 0, "report": report})
    if code:
        raise typer.Exit(code)


def sandbox(
    port: PortOption = 8711,
    seed: Annotated[int, typer.Option(help="A different seed creates different demo companies.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Run only the simulated services.

    Simulates Xero, QuickBooks Online and SendGrid, and prints the settings with which duewell uses them, one NAME=value
    per line.
    """
    import signal
    import threading

    from sandbox import Sandbox

    world = Sandbox(seed=seed)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with world.serve(port=port) as url:
        settings = world.settings(url)
        if as_json:
            echo_json({"url": url, "settings": settings})
        else:
            for name, value in settings.items():
                echo(f"{name}={value}")
        echo_err(f"The sandbox is running at {url}. Press Ctrl-C to stop it.")
        ended.wait()


def run(
    connections: Annotated[
        list[str] | None, typer.Argument(metavar="CONNECTION", help="The company's id or short name. Default: all.")
    ] = None,
    *,
    connection: Annotated[
        list[str] | None, typer.Option("--connection", help="The same as the argument; can be repeated.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and decide, but send and write nothing.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Print the whole report of each company.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Sync now.

    Reads the accounting system, decides, sends the emails, writes notes and late fees, and prints a report: a line for
    each company, or more where it is only one. Exits with 1 when a company failed or needs your attention; the other
    companies are synced anyway.
    """
    from connector.connections.registry import is_paused
    from connector.connections.tokens import finish_interrupted_refreshes
    from connector.db.engine import reading
    from connector.privacy import retention
    from connector.services.status import list_statuses

    with open_command_app() as app:
        with reading(app.engine) as session:
            named, now = [*(connections or []), *(connection or [])], app.now()
            found = {row.id: row for row in find_connections(session, named)}
            rows = [row for row in found.values() if named or not is_paused(row, now)]
        for problem in finish_interrupted_refreshes(app):
            echo_err(problem)
        if not rows:
            echo_err(
                "Nothing to sync: no company is connected (connect one with: duewell connect xero), or all are paused."
            )
        with _graceful_stop(app):
            results = _run_all(app, [row.id or 0 for row in rows], dry_run=dry_run)
        retention.prune_daily(app)
        statuses = list_statuses(app)
    if as_json:
        echo_json([_result_as_dict(result) for result in results])
    elif verbose or dry_run or len(results) == 1:
        for result in results:
            _print_result(result)
    else:
        _print_lines(results, statuses)
    if any(result.outcome in _FAILING_OUTCOMES for result in results):
        raise typer.Exit(1)


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Default: the port of DUEWELL_BASE_URL.")] = None,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Only the web app: `duewell worker` or `duewell run` syncs.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Start the web app and sync every hour.

    Runs the web app and the scheduler in one process until you stop it.
    """
    from connector.server.serve import serve as do_serve
    from connector.web.security import base_url_port

    configure_stderr_log()
    with open_command_app() as installed:
        port = base_url_port(installed.settings.duewell_base_url) if port is None else port
        app = at_served_port(installed, port)
        base = app.settings.duewell_base_url
        if as_json:
            echo_json({"host": host, "port": port, "base_url": base})
        echo_err(f"The web app is running at {base} (listening on {host}:{port}). Press Ctrl-C to stop it.")
        do_serve(app, host, port, notify=echo_err, is_syncing=not no_worker)


def at_served_port(app: AppContext, port: int) -> AppContext:
    """Return an installation whose links lead to the port it is served at, where nobody has set their address."""
    from dataclasses import replace

    default = str(type(app.settings).model_fields["duewell_base_url"].default)
    if app.settings.duewell_base_url != default or port == 0:
        return app
    base = f"{default.rpartition(':')[0]}:{port}"
    return replace(app, settings=app.settings.model_copy(update={"duewell_base_url": base}))


def worker(
    threads: Annotated[int, typer.Option(min=1, max=64, help="How many companies it syncs at the same time.")] = 4,
    as_json: JsonOption = False,
) -> None:
    """Start a worker that syncs companies when they are due.

    For large installations: several workers, on one machine or many, share one PostgreSQL database.
    """
    from connector.server.serve import run_worker

    configure_stderr_log()
    with open_command_app() as app:
        if app.engine.dialect.name == "sqlite":
            message = (
                "Workers need a PostgreSQL database, but this installation uses SQLite. Use `duewell serve` instead,"
                " which syncs on its own, or set DUEWELL_DATABASE_URL to postgresql+psycopg://…"
            )
            raise CommandError(message)
        if as_json:
            echo_json({"database": app.engine.dialect.name, "threads": threads})
        echo_err("The worker is running. Press Ctrl-C to stop it.")
        run_worker(app, threads=threads)


def _run_all(app: AppContext, ids: list[int], *, dry_run: bool) -> list[RunResult]:
    """Sync the connections side by side, a few at a time; a failing one does not stop the others."""
    from concurrent.futures import ThreadPoolExecutor

    from connector.cli.progress import Progress
    from connector.server.process import THREADS

    if not ids:
        return []
    with Progress() as progress, ThreadPoolExecutor(max_workers=min(THREADS, len(ids))) as pool:
        jobs = [pool.submit(_run_one, app, each, dry_run=dry_run, progress=progress) for each in ids]
        return [job.result() for job in jobs]


def _run_one(app: AppContext, connection_id: int, *, dry_run: bool, progress: Progress) -> RunResult:
    from connector.cli.terminal import format_error
    from connector.run import RunResult, run_connection

    line = progress.start_line(app, connection_id)
    try:
        return run_connection(
            app, connection_id, dry_run=dry_run, on_progress=line.show, on_records_read=line.set_count
        )
    except Exception as problem:  # noqa: BLE001 - an internal error in one company must not stop the others
        return RunResult(connection_id, line.name, RunOutcome.FAILED, format_error(problem))
    finally:
        line.end()


def _graceful_stop(app: AppContext) -> AbstractContextManager[object]:
    """Return a context in which SIGTERM or Ctrl-C stops after the call in progress, a second Ctrl-C at once."""
    from connector.server.process import stop_on_signals

    return stop_on_signals(app.stop)


def _print_result(result: RunResult) -> None:
    from connector.vocabulary.labels import label

    echo(f"== {result.name}: {label(result.outcome)}" + (f" ({result.reason})" if result.reason else ""))
    for line in result.report:
        echo(line)
    echo("")


def _print_lines(results: Sequence[RunResult], statuses: Sequence[ConnectionStatus]) -> None:
    """Print a line for each of several companies: what was done, and what needs somebody."""
    from connector.audit.run_summary import format_outcome
    from connector.cli.overview import format_attention

    needed = {each.id: format_attention(each.needs_attention) for each in statuses}
    for result in results:
        needs = needed.get(result.connection_id, "")
        done = format_outcome(result.outcome, result.reason, result.counts)
        echo(f"{result.name}: {done}{f' Needs attention: {needs}.' if needs else ''}")
    if results:
        echo_err(
            "What was read, done and decided: duewell log CONNECTION; with --verbose it is printed after each sync."
        )


def _result_as_dict(result: RunResult) -> dict[str, object]:
    return {
        "id": result.connection_id,
        "name": result.name,
        "outcome": result.outcome,
        "reason": result.reason,
        "report": result.report,
        "counts": result.counts,
    }
