"""The world that decisions race in: one company with something to decide about everywhere, copied for each attempt."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from sqlalchemy import Engine, create_engine, select, text
from sqlalchemy.engine import URL
from sqlmodel import SQLModel, col

from connector import policy_store
from connector.app_context import AppContext
from connector.auth import api_tokens, passkeys, sessions, sign_in, users
from connector.bank.importing import import_statement
from connector.bank_details.accounts import parse_bank_details
from connector.connections.consent import begin_consent
from connector.connections.registry import set_mode
from connector.db import engine as database_engine
from connector.db.engine import open_engine, reading, upgrade, writing
from connector.db.tables import (
    BankDetailsRow,
    BankMatch,
    BankReceipt,
    Connection,
    CustomerRow,
    CustomerSetting,
    Grant,
    InvoiceRow,
    OutboxEntry,
    SignInLink,
    Task,
)
from connector.emails import contact_tokens, portal_links
from connector.outbox import approvals, entries
from connector.outbox.payloads import EmailPayload, FeeCharge, LateFeePayload, dump_payload
from connector.portal import responses
from connector.portal.customer_response import CustomerResponse
from connector.secrets.keyring import Keyring
from connector.services.lists.bulk import customer_version
from connector.services.lists.tasks import task_version
from connector.vocabulary import ConnectionMode, OutboxKind, OutboxState, ResponseKind, Role, TaskCode, TokenPurpose
from connector.webhooks import endpoints
from policies.receivables import Step
from sandbox import Sandbox
from tests.connector.authenticator import Authenticator
from tests.connector.scenario import NOON, Scenario, make_scenario

BROWSER = sessions.Browser("192.0.2.7", "a browser")
CUSTOMERS = ("Ashdown Ltd", "Birch & Co", "Cedar Ltd")
OWNERS = ("ann@example.com", "ben@example.com")
IBANS = ("DE89370400440532013000", "DE02120300000000202051", "GB29NWBK60161331926819", "GB82WEST12345698765432")
STATEMENT = "Date;Amount;Payer;Text\n"


@dataclass(frozen=True)
class World:
    """An installation with its database, and the ids of what its decisions are about."""

    app: AppContext
    sandbox: Sandbox
    connection: int
    emails: tuple[int, ...]  # outbox entries that await approval, by customer
    planned: int  # a draft fee's entry
    unconfirmed: int  # an email of which nobody knows whether it was sent
    posted: int  # a late fee in the ledger
    task: int
    customers: tuple[str, ...]  # the ledger's ids
    invoices: tuple[str, ...]
    link: str  # signs in directly, once
    password_link: str
    token_id: int
    endpoint: int
    etag: str  # the version of the first email as it is read
    stop_token: str  # of the link in an email by which Ashdown stops reminders
    reply_tokens: tuple[str, ...]  # of the customers' reply addresses
    subject: str  # of the grant by which the company is connected
    consent_state: str  # of a consent that was given and not taken yet
    authenticator: Authenticator  # holds Ann's passkey
    match: int  # money in the bank for Cedar's invoice
    receipt: int  # money in the bank for none
    waiting_details: int  # an account that another owner has to confirm
    draft: str  # a promise that Birch has not sent yet
    sent_response: str  # a promise that Cedar may undo
    task_version: str  # as a list shows it
    customer_version: str

    def entry(self, entry_id: int) -> OutboxEntry | None:
        """Return an outbox entry as it stands."""
        with reading(self.app.engine) as session:
            return session.get(OutboxEntry, entry_id)


@dataclass(frozen=True)
class SqliteTemplate:
    """A world in a SQLite file."""

    world: World
    file: Path
    folder: Path

    @contextmanager
    def copied(self) -> Iterator[World]:
        """Yield a copy of the world."""
        path = self.folder / f"{uuid.uuid4().hex}.db"
        shutil.copyfile(self.file, path)
        path.chmod(0o600)
        engine = open_engine(f"sqlite:///{path}")
        try:
            with _own_home(self.world, self.folder) as world:
                yield replace(world, app=replace(world.app, engine=engine))
        finally:
            engine.dispose()
            for each in path.parent.glob(f"{path.name}*"):
                each.unlink()


@dataclass(frozen=True)
class PostgresqlTemplate:
    """A world in a PostgreSQL database that is put back before each attempt: copying a whole database takes longer."""

    world: World
    put_back: str  # the statements that do it
    folder: Path

    @contextmanager
    def copied(self) -> Iterator[World]:
        """Yield the world as it was built."""
        with self.world.app.engine.begin() as connection:
            connection.exec_driver_sql(self.put_back)
        with _own_home(self.world, self.folder) as world:
            yield world


@contextmanager
def _own_home(world: World, folder: Path) -> Iterator[World]:
    """Yield the world with a home folder of its own, in which keys can be changed."""
    home = folder / f"home-{uuid.uuid4().hex}"
    home.mkdir(mode=0o700)
    key_file = world.app.keyring.file
    assert key_file is not None
    shutil.copy2(key_file, home / key_file.name)
    settings = world.app.settings.model_copy(update={"duewell_home": home})
    yield replace(world, app=replace(world.app, settings=settings, keyring=Keyring.from_settings(settings)))
    shutil.rmtree(home)


def _keep_rows(engine: Engine) -> str:
    """Copy every row aside, and return the statements that put them back, without triggers and foreign keys."""
    names = [f'"{table.name}"' for table in SQLModel.metadata.sorted_tables]
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA kept"))
        for name in names:
            connection.execute(text(f"CREATE TABLE kept.{name} AS SELECT * FROM public.{name}"))
        sequences = connection.execute(text("SELECT sequencename, coalesce(last_value, 0) FROM pg_sequences")).all()
    statements = ["SET LOCAL session_replication_role = replica"]
    statements += [f"DELETE FROM public.{name}" for name in names]
    statements += [f"INSERT INTO public.{name} SELECT * FROM kept.{name}" for name in names]
    statements += [f"SELECT setval('{name}', {value + 1}, false)" for name, value in sequences]
    return ";".join(statements)


@contextmanager
def sqlite_template(folder: Path) -> Iterator[SqliteTemplate]:
    """Build a world in a SQLite file."""
    with _built(folder, f"sqlite:///{folder}/world.db") as world:
        yield SqliteTemplate(world, folder / "world.db", folder)


@contextmanager
def postgresql_template(folder: Path, server: URL) -> Iterator[PostgresqlTemplate]:
    """Build a world on a PostgreSQL server."""
    name = f"world_{uuid.uuid4().hex}"
    with _administration(server) as run:
        run(f"CREATE DATABASE {name}")
    try:
        with _built(folder, server.set(database=name).render_as_string(hide_password=False)) as world:
            # Two decisions are made as on two machines: the database alone orders them.
            world.app.engine.update_execution_options(**{database_engine._QUEUE: None})
            yield PostgresqlTemplate(world, _keep_rows(world.app.engine), folder)
            world.app.engine.dispose()
    finally:
        with _administration(server) as run:
            run(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def _administration(server: URL) -> Iterator[Callable[[str], object]]:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield lambda statement: connection.execute(text(statement))
    engine.dispose()


@contextmanager
def _built(folder: Path, url: str) -> Iterator[World]:
    engine = open_engine(url)
    upgrade(engine)
    engine.dispose()
    sandbox = Sandbox(now=NOON)
    sandbox.xero.limits.minute = sandbox.xero.limits.day = 0  # with a stopped clock, a minute would never end
    with sandbox.serve() as sandbox_url:
        scenario = make_scenario(sandbox, sandbox_url, folder, "xero", url)
        for name in CUSTOMERS:
            scenario.company.customer(name)
            scenario.company.invoice(name, "1200.00", due_on=scenario.days_ago(6))
        scenario.connect()
        scenario.run()
        set_mode(scenario.app, scenario.connection, ConnectionMode.APPROVE)
        scenario.run()
        world = _fill(scenario)
        scenario.app.engine.dispose()  # a copy needs a database that nobody is connected to
        yield world
        with suppress(Exception):
            scenario.app.close()


def _fill(scenario: Scenario) -> World:
    app, connection = scenario.app, scenario.connection
    with writing(app.engine) as session:
        at = app.now()
        customers = {row.name: row.external_id for row in session.scalars(select(CustomerRow))}
        invoices = {row.customer_id: row for row in session.scalars(select(InvoiceRow))}
        emails = {row.customer_id: row.id or 0 for row in session.scalars(select(OutboxEntry))}
        ids = tuple(customers[name] for name in CUSTOMERS)
        for email in OWNERS:
            users.add_user(session, email, Role.OWNER, by="a test", at=at)
        carol = users.add_user(session, "carol@example.com", Role.BOOKKEEPER, by="a test", at=at)
        direct = sign_in.create_link(session, users.find_user(session, OWNERS[0]), at, signs_in_directly=True)
        password_link = sign_in.create_link(session, carol, at)
        token, _secret = api_tokens.create(session, "Robot", "write", by="a test", at=at)
        fees = [_fee(connection, ids[2], invoices[ids[2]].external_id, month, app) for month in ("2026-04", "2026-05")]
        fees[1].state, fees[1].ended_at, fees[1].reference = OutboxState.DONE, at, "fee-1"
        completed = ((invoices[ids[0]].external_id, Step.BEFORE_DUE),)
        unconfirmed = OutboxEntry(
            connection_id=connection, key="xero:unconfirmed", kind=OutboxKind.EMAIL, state=OutboxState.PLANNED,
            customer_id=ids[0], invoice_id=invoices[ids[0]].external_id, currency="GBP", step=Step.BEFORE_DUE,
            payload=dump_payload(EmailPayload(to=("a@ashdown.example",), completed=completed)),
            content_hash="unconfirmed", reason="Remind them.", planned_at=at,
        )  # fmt: skip
        task = Task(
            connection_id=connection, key="xero:call", code=TaskCode.CALL, step=Step.CALL, customer_id=ids[1],
            invoice_ids=[invoices[ids[1]].external_id], due_on=scenario.today, reason="Call them.", created_at=at,
        )  # fmt: skip
        session.add_all([*fees, unconfirmed, task])
        session.flush()
        stop_token = contact_tokens.get_token(app, session, connection, ids[0], TokenPurpose.STOP)
        reply_tokens = [contact_tokens.get_token(app, session, connection, each, TokenPurpose.REPLY) for each in ids]
        long_ago = timedelta(days=20)  # it must not be what holds the next email back
        entries.mark_sending(session, unconfirmed, at=at - long_ago, on=scenario.today - long_ago)
        entries.mark_unconfirmed(unconfirmed, at=at, detail="no answer")
        policy_store.set_policy(session, "", by="a test", at=at)
        row = session.get_one(Connection, connection)
        subject = session.get_one(Grant, row.grant_id).subject
        row.next_run_at = at + timedelta(minutes=40)
        first = session.get_one(OutboxEntry, emails[ids[0]])
        etag = approvals.entry_etag(first)
        fee_ids = [fee.id or 0 for fee in fees]
    portal_links.create_link(app, connection, ids[1], by="a test")
    match, receipt, waiting_details = _add_money(app, connection, invoices[ids[2]].number)
    draft, sent_response = _respond(app, connection, ids, invoices)
    with reading(app.engine) as session:
        task_seen = task_version(session.get_one(Task, task.id))
        customer = session.get_one(CustomerRow, (connection, ids[0]))
        customer_seen = customer_version(customer, session.get(CustomerSetting, (connection, ids[0])))
    with_webhooks = replace(app, settings=app.settings.model_copy(update={"duewell_webhooks": "public"}))
    endpoint, _secret = endpoints.add_endpoint(with_webhooks, "https://hooks.example/duewell", by="a test")
    consent = begin_consent(app, "xero")
    authenticator = _add_passkey(app)
    with reading(app.engine) as session:
        assert session.scalars(select(SignInLink).where(col(SignInLink.used_at).is_(None))).all()
    return World(
        app=app,
        sandbox=scenario.sandbox,
        connection=connection,
        emails=tuple(emails[each] for each in ids),
        planned=fee_ids[0],
        unconfirmed=unconfirmed.id or 0,
        posted=fee_ids[1],
        task=task.id or 0,
        customers=ids,
        invoices=tuple(invoices[each].external_id for each in ids),
        link=direct,
        password_link=password_link,
        token_id=token.id or 0,
        endpoint=endpoint,
        etag=etag,
        stop_token=stop_token,
        reply_tokens=tuple(reply_tokens),
        subject=subject,
        consent_state=consent.state,
        authenticator=authenticator,
        match=match,
        receipt=receipt,
        waiting_details=waiting_details,
        draft=draft,
        sent_response=sent_response,
        task_version=task_seen,
        customer_version=customer_seen,
    )


def _add_money(app: AppContext, connection: int, number: str) -> tuple[int, int, int]:
    """Add money in the bank, and accounts to pay into; return what the decisions about them are about."""
    lines = f"2026-06-08;1200.00;Cedar Ltd;{number}\n2026-06-08;77.00;Nobody we know;thanks\n"
    import_statement(app, connection, f"{STATEMENT}{lines}".encode(), name="may.csv", by="a test")
    with writing(app.engine) as session:
        at = app.now()
        for iban, by, applies_at in (
            (IBANS[2], OWNERS[1], at - timedelta(days=9)),
            (IBANS[3], OWNERS[0], at + timedelta(hours=20)),
        ):
            details = parse_bank_details({"currency": "GBP", "payee": "Small Works Ltd", "iban": iban})
            row = BankDetailsRow(
                connection_id=connection, set_by=by, set_at=at, applies_at=applies_at, **asdict(details)
            )
            session.add(row)
            session.flush()
        match = session.scalars(select(BankMatch)).one()
        receipt = session.scalars(select(BankReceipt).where(col(BankReceipt.id) != match.receipt_id)).one()
        return match.id or 0, receipt.id or 0, row.id or 0


def _respond(
    app: AppContext, connection: int, ids: tuple[str, ...], invoices: dict[str, InvoiceRow]
) -> tuple[str, str]:
    """Prepare a promise of Birch's, and send one of Cedar's; return their keys."""
    keys = []
    for each in ids[1:]:
        visitor = portal_links.PortalVisitor(connection, each, expired=False)
        on = app.now().date() + timedelta(days=4)
        said = CustomerResponse(ResponseKind.PROMISE, (invoices[each].external_id,), on=on)
        keys.append(responses.save_draft(app, visitor, said))
    responses.send_draft(app, visitor, keys[-1])
    return keys[0], keys[1]


def _add_passkey(app: AppContext) -> Authenticator:
    """Add a passkey for Ann, as her browser would."""
    authenticator = Authenticator(app.settings.duewell_base_url)
    with writing(app.engine) as session:
        user = users.find_user(session, OWNERS[0])
        token = sessions.begin(session, user, app.now(), BROWSER, by="a test")
    ann = sessions.find_current_user(app, token)
    assert ann is not None
    options = passkeys.registration_options(app, ann)
    assert options is not None
    credential = authenticator.create(json.loads(options.options_json))
    passkeys.register(app, ann, token, options.challenge, credential, "Ann's phone")
    return authenticator


def _fee(connection: int, customer: str, invoice: str, month: str, app: AppContext) -> OutboxEntry:
    payload = LateFeePayload(
        number=f"LF-1-{month[2:4]}{month[5:]}",
        original_numbers=("INV-3",),
        amount=Decimal("12.00"),
        charges=(FeeCharge(invoice, month, Decimal("12.00")),),
        annual_rate=Decimal(8),
        calculation=(("30 days", Decimal("12.00")),),
        text="Late fee",
        due_days=14,
        completed=((invoice, Step.LATE_FEE),),
    )
    return OutboxEntry(
        connection_id=connection,
        key=f"xero:late_fee:{invoice}:{month}",
        kind=OutboxKind.LATE_FEE,
        state=OutboxState.AWAITING_APPROVAL,
        customer_id=customer,
        invoice_id=invoice,
        currency="GBP",
        step=Step.LATE_FEE,
        payload=dump_payload(payload),
        content_hash=f"fee-{month}",
        reason="A late fee.",
        planned_at=app.now(),
    )
