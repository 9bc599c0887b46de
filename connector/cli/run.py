"""Commands that do the work: run, serve, worker, and the make-believe vendors: demo, sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

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
    from connector.app_context import AppContext
    from connector.cli.progress import Progress
    from connector.run import RunResult

PortOption = Annotated[int, typer.Option(min=0, max=65535, help="The port on this machine.")]
_FAILING_OUTCOMES = {RunOutcome.ACTION_REQUIRED, RunOutcome.FAILED, RunOutcome.BUSY}


def register(parent: typer.Typer) -> None:
    """Add these commands."""
    for command in (demo, sandbox, run, serve, worker):
        parent.command(command.__name__)(command)


def demo(
    port: PortOption = 8710,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Open no browser.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Do it all, print the result, and end.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show it all without any account.

    Make-believe vendors on this machine, a company on each, eleven days lived through, today's hour told, the web app.
    """
    import webbrowser

    from connector.cli.consent_wait import has_display
    from connector.cli.demo import run_demo

    told: list[str] = []

    def ready(url: str) -> None:
        echo_err(f"The web app is at {url}; Ctrl-C ends it.")
        if not no_browser and has_display():
            webbrowser.open(url)

    code = run_demo(
        port=port, once=once, on_progress=echo_err, print_line=told.append if as_json else echo, on_ready=ready
    )
    if as_json:
        echo_json({"ok": code == 0, "report": told})
    if code:
        raise typer.Exit(code)


def sandbox(
    port: PortOption = 8711,
    seed: Annotated[int, typer.Option(help="Another seed makes other companies.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Run only the make-believe vendors.

    Prints the settings that point a duewell at them, one NAME=value a line.
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
        echo_err(f"The sandbox answers at {url}; Ctrl-C ends it.")
        ended.wait()


def run(
    connections: Annotated[list[str] | None, typer.Argument(metavar="CONNECTION", help="Default: all.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and decide; nothing leaves.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run one hour, now.

    Reads the books, decides, mails, notes, charges, and tells the story of it. Exits 1 when a company needs a person or
    failed; the others have run all the same.
    """
    from connector.connections.registry import is_paused
    from connector.connections.tokens import finish_interrupted_refreshes
    from connector.db.engine import reading
    from connector.privacy import retention

    with open_command_app() as app:
        with reading(app.engine) as session:
            found, now = find_connections(session, connections or []), app.now()
            rows = [row for row in found if connections or not is_paused(row, now)]
        for problem in finish_interrupted_refreshes(app):
            echo_err(problem)
        if not rows:
            echo_err("There is nothing to run: no company is connected (duewell connect xero), or all are paused.")
        with _graceful_stop(app):
            results = _run_all(app, [row.id or 0 for row in rows], dry_run=dry_run)
        retention.prune_daily(app)
    if as_json:
        echo_json([_result_as_dict(result) for result in results])
    else:
        for result in results:
            _print_result(result)
    if any(result.outcome in _FAILING_OUTCOMES for result in results):
        raise typer.Exit(1)


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Default: that of DUEWELL_BASE_URL.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Serve the web app and run every hour.

    Web app and scheduler in one process, until it is asked to stop.
    """
    from connector.server.serve import serve as do_serve
    from connector.web.security import base_url_port

    configure_stderr_log()
    with open_command_app() as app:
        base = app.settings.duewell_base_url
        port = base_url_port(base) if port is None else port
        if as_json:
            echo_json({"host": host, "port": port, "base_url": base})
        echo_err(f"duewell serves at {base} (listening on {host}:{port}); Ctrl-C ends it.")
        do_serve(app, host, port, notify=echo_err)


def worker(as_json: JsonOption = False) -> None:
    """Run due connections beside other workers.

    One of several processes, on one machine or many, that share a PostgreSQL database.
    """
    from connector.server.serve import run_worker

    configure_stderr_log()
    with open_command_app() as app:
        if app.engine.dialect.name == "sqlite":
            message = (
                "Workers share a PostgreSQL database, and this installation keeps its books in one SQLite file. Use"
                " `duewell serve`, which runs the hour by itself; or set DUEWELL_DATABASE_URL to postgresql+psycopg://…"
            )
            raise CommandError(message)
        if as_json:
            echo_json({"database": app.engine.dialect.name})
        echo_err("This worker runs due connections; Ctrl-C ends it.")
        run_worker(app)


def _run_all(app: AppContext, ids: list[int], *, dry_run: bool) -> list[RunResult]:
    """Run the connections side by side, a few at a time; one that breaks does not stop the others."""
    from concurrent.futures import ThreadPoolExecutor

    from connector.cli.progress import Progress
    from connector.server.scheduler import THREADS

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


def _graceful_stop(app: AppContext) -> Any:
    """Let SIGTERM and the first Ctrl-C end the run after the call under way; a second Ctrl-C ends it at once."""
    from connector.server.serve import stop_on_signals

    return stop_on_signals(app.stop)


def _print_result(result: RunResult) -> None:
    echo(f"== {result.name}: {result.outcome}" + (f" ({result.reason})" if result.reason else ""))
    for line in result.report:
        echo(line)
    echo("")


def _result_as_dict(result: RunResult) -> dict[str, Any]:
    return {
        "id": result.connection_id,
        "name": result.name,
        "outcome": result.outcome,
        "reason": result.reason,
        "report": result.report,
        "counts": result.counts,
    }
