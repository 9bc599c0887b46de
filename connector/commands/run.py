"""Commands that do the work: run, serve, worker, and the make-believe vendors: demo, sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.commands.terminal import CommandError, JsonOption, find_ids, log_to_stderr, opened, put, put_json, say

if TYPE_CHECKING:
    from connector.installation import Installation
    from connector.run import RunResult

PortOption = Annotated[int, typer.Option(min=0, max=65535, help="The port on this machine.")]
_NEEDS_ATTENTION = {"person", "failed", "busy"}


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (demo, sandbox, run, serve, worker):
        app.command(command.__name__)(command)


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

    from connector.commands.consent_wait import has_screen
    from connector.demo import run_demo

    told: list[str] = []

    def ready(url: str) -> None:
        say(f"The web app is at {url}; Ctrl-C ends it.")
        if not no_browser and has_screen():
            webbrowser.open(url)

    code = run_demo(port=port, once=once, tell=say, show=told.append if as_json else put, ready=ready)
    if as_json:
        put_json({"ok": code == 0, "story": told})
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

    from providers.sandbox import Sandbox

    world = Sandbox(seed=seed)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with world.serve(port=port) as url:
        settings = world.settings(url)
        if as_json:
            put_json({"url": url, "settings": settings})
        else:
            for name, value in settings.items():
                put(f"{name}={value}")
        say(f"The sandbox answers at {url}; Ctrl-C ends it.")
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
    from connector.access.connections import is_paused
    from connector.access.tokens import finish_interrupted_refreshes
    from connector.database import reading
    from connector.privacy import retention

    with opened() as installation:
        with reading(installation.engine) as session:
            found, now = find_ids(session, connections or []), installation.now()
            rows = [row for row in found if connections or not is_paused(row, now)]
        for problem in finish_interrupted_refreshes(installation):
            say(problem)
        if not rows:
            say("There is nothing to run: no company is connected (duewell connect xero), or all are paused.")
        with _stops_gracefully(installation):
            results = _run_all(installation, [row.id or 0 for row in rows], dry_run=dry_run)
        retention.work(installation)
    if as_json:
        put_json([_as_dict(result) for result in results])
    else:
        for result in results:
            _tell(result)
    if any(result.outcome in _NEEDS_ATTENTION for result in results):
        raise typer.Exit(1)


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Default: that of DUEWELL_BASE_URL.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Serve the web app and run every hour.

    Web app and scheduler in one process, until it is asked to stop.
    """
    from connector.serve import serve as do_serve
    from connector.web.guard import port_of

    log_to_stderr()
    with opened() as installation:
        base = installation.settings.duewell_base_url
        port = port_of(base) if port is None else port
        if as_json:
            put_json({"host": host, "port": port, "base_url": base})
        say(f"duewell serves at {base} (listening on {host}:{port}); Ctrl-C ends it.")
        do_serve(installation, host, port, tell=say)


def worker(as_json: JsonOption = False) -> None:
    """Run due connections beside other workers.

    One of several processes, on one machine or many, that share a PostgreSQL database.
    """
    from connector.serve import work

    log_to_stderr()
    with opened() as installation:
        if installation.engine.dialect.name == "sqlite":
            message = (
                "Workers share a PostgreSQL database, and this installation keeps its books in one SQLite file. Use"
                " `duewell serve`, which runs the hour by itself; or set DUEWELL_DATABASE_URL to postgresql+psycopg://…"
            )
            raise CommandError(message)
        if as_json:
            put_json({"database": installation.engine.dialect.name})
        say("This worker runs due connections; Ctrl-C ends it.")
        work(installation)


def _run_all(installation: Installation, ids: list[int], *, dry_run: bool) -> list[RunResult]:
    """Run the connections side by side, a few at a time; one that breaks does not stop the others."""
    from concurrent.futures import ThreadPoolExecutor

    from connector.commands.progress import Progress
    from connector.scheduler import THREADS

    if not ids:
        return []
    with Progress() as progress, ThreadPoolExecutor(max_workers=min(THREADS, len(ids))) as pool:
        jobs = [pool.submit(_run_one, installation, each, dry_run=dry_run, progress=progress) for each in ids]
        return [job.result() for job in jobs]


def _run_one(installation: Installation, connection_id: int, *, dry_run: bool, progress: Any) -> RunResult:
    from connector.commands.terminal import in_words
    from connector.run import RunResult, run_connection

    line = progress.line(installation, connection_id)
    try:
        return run_connection(installation, connection_id, dry_run=dry_run, tell=line.tell, progress=line.count)
    except Exception as problem:  # noqa: BLE001 - a fault of ours in one company's hour: the others run all the same
        return RunResult(connection_id, line.name, "failed", in_words(problem))
    finally:
        line.end()


def _stops_gracefully(installation: Installation) -> Any:
    """Let SIGTERM and the first Ctrl-C end the run after the call under way; a second Ctrl-C ends it at once."""
    from connector.serve import stop_on_signals

    return stop_on_signals(installation.stop)


def _tell(result: RunResult) -> None:
    put(f"== {result.name}: {result.outcome}" + (f" ({result.why})" if result.why else ""))
    for line in result.story:
        put(line)
    put("")


def _as_dict(result: RunResult) -> dict[str, Any]:
    return {
        "id": result.connection_id,
        "name": result.name,
        "outcome": result.outcome,
        "why": result.why,
        "story": result.story,
        "numbers": result.numbers,
    }
