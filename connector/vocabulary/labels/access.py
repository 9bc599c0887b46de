"""Labels: users, roles and tokens."""

from __future__ import annotations

from collections.abc import Mapping

from connector.vocabulary import Role, TokenPurpose, TokenScope, TokenState, UserState

TOKEN_PURPOSES: dict[str, str] = {
    TokenPurpose.STOP: "Unsubscribe link",
    TokenPurpose.EMAIL_STOP: "Link that stops one email",
    TokenPurpose.REPLY: "Reply address",
    TokenPurpose.PORTAL: "Customer portal link",
}
ROLES: dict[str, str] = {Role.VIEWER: "Viewer", Role.BOOKKEEPER: "Bookkeeper", Role.OWNER: "Owner"}
TOKEN_SCOPES: dict[str, str] = {
    TokenScope.READ: "Read",
    TokenScope.WRITE: "Read and write",
    TokenScope.ADMIN: "Administer",
}
TOKEN_STATES: dict[str, str] = {
    TokenState.ACTIVE: "Active",
    TokenState.EXPIRED: "Expired",
    TokenState.REVOKED: "Revoked",
}
USER_STATES: dict[str, str] = {
    UserState.INVITED: "Invited",
    UserState.ACTIVE: "Active",
    UserState.DISABLED: "Disabled",
}
VOCABULARIES: dict[str, Mapping[str, str]] = {
    "role": ROLES,
    "token_purpose": TOKEN_PURPOSES,
    "token_scope": TOKEN_SCOPES,
    "token_state": TOKEN_STATES,
    "user_state": USER_STATES,
}
