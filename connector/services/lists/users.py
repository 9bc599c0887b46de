"""The list of users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, case, exists, func, or_
from sqlmodel import Session, col

from connector.auth.users import UserAccount, list_user_accounts
from connector.db.tables import Connection, Passkey, User, UserCompany
from connector.services.lists import joins
from connector.services.lists.engine import Key, Listing, Sort, ValueKind
from connector.services.lists.filters import Filter, FilterKind
from connector.vocabulary import Role, UserState
from connector.vocabulary.labels import vocabularies

_ID, _ROLE, _DISABLED, _HASH = col(User.id), col(User.role), col(User.disabled_at), col(User.password_hash)
_NAMES = vocabularies()
_STATES: dict[str, Any] = {
    UserState.ACTIVE: lambda _today: and_(_DISABLED.is_(None), _HASH != ""),
    UserState.INVITED: lambda _today: and_(_DISABLED.is_(None), _HASH == ""),
    UserState.DISABLED: lambda _today: _DISABLED.is_not(None),
}
_HAS_PASSKEY = exists().where(col(Passkey.user_id) == _ID)
_PASSKEY: dict[str, Any] = {"yes": lambda _today: _HAS_PASSKEY, "no": lambda _today: ~_HAS_PASSKEY}


def _sees(value: object, when: Any) -> Any:
    """Return the condition that a user sees a company whose name contains a text."""
    of_user = and_(col(UserCompany.user_id) == _ID, col(Connection.id) == col(UserCompany.connection_id))
    named = joins.contains(col(Connection.name), col(Connection.short_name))(str(value), when)
    return or_(col(User.all_companies), _ROLE == Role.OWNER, exists().where(of_user, named))


LISTING = Listing(
    name="users",
    table=User,
    company=None,
    key=(_ID,),
    sorts={
        "id": Sort(),
        "name": Sort(func.lower(func.coalesce(func.nullif(col(User.name), ""), col(User.email)))),
        "role": Sort(_ROLE),
        "state": Sort(case((_DISABLED.is_not(None), "3"), (_HASH == "", "2"), else_="1")),
        "signed_in_at": Sort(col(User.signed_in_at), ValueKind.INSTANT),
    },
    default_sort="name",
    filters=(
        Filter(
            "state", "State", FilterKind.CHOICE, joins.one_of(_STATES),
            {each.value: _NAMES["user_state"][each] for each in UserState},
        ),
        Filter("search", "Name or email address", FilterKind.TEXT, joins.contains(col(User.name), col(User.email))),
        Filter(
            "role", "Role", FilterKind.CHOICE, joins.equals(_ROLE, Role),
            {each.value: _NAMES["role"][each] for each in Role},
        ),
        Filter("passkey", "Passkey", FilterKind.CHOICE, joins.one_of(_PASSKEY), {"yes": "Yes", "no": "No"}),
        Filter("sees", "Sees the company", FilterKind.TEXT, _sees),
        *joins.instant_filters(col(User.signed_in_at), "Last sign-in", ("signed_in_from", "signed_in_to")),
    ),
)  # fmt: skip


def load_lines(session: Session, keys: Sequence[Key]) -> list[UserAccount]:
    """Return the users with these keys, in their order."""
    ids = [key[0] for key in keys]
    found = {account.id: account for account in list_user_accounts(session, ids)}
    return [found[each] for each in ids if each in found]
