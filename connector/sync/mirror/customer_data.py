"""What is read of the mirror for a batch of customers, before it becomes their statements."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from connector.sync.mirror import mailboxes
from connector.sync.mirror.bank_money import BankMoney
from connector.sync.mirror.customer_batch import SqlRow
from policies.receivables import Credit, Invoice, PastAction, PaymentBehaviour


class CustomerData(NamedTuple):
    """What was read for a batch of customers, by customer id."""

    customers: dict[str, SqlRow]
    settings: dict[str, SqlRow]
    history: dict[str, SqlRow]
    payment_behaviour: dict[str, PaymentBehaviour]
    invoices: dict[str, list[Invoice]]
    credits: dict[str, list[Credit]]
    past_actions: dict[str, list[PastAction]]
    peers: dict[str, mailboxes.PeerStop]
    changed_at: dict[str, datetime]  # the last change of their open invoices
    shared_credit: dict[str, dict[str, list[Credit]]]  # by family and member, once it is known
    bank_money: BankMoney
