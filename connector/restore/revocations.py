"""Revocations at a restore: access that was revoked after the backup, and accounts that were changed, stay so."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

# Whether the replaced database is a later state of the restored one: it has the newest entry of its log.
_IS_LATER = """
SELECT 1 FROM former.sync_log AS known JOIN main.sync_log AS last ON known.id = last.id AND known.hash = last.hash
WHERE last.id = (SELECT max(id) FROM main.sync_log WHERE kind <> 'restored')
"""
_REVOCATIONS = (
    # Users keep their latest state: disabled, with fewer rights, with another password.
    """
    UPDATE app_user SET disabled_at = last.disabled_at, role = last.role, all_companies = last.all_companies,
        password_hash = last.password_hash, passkey_only = last.passkey_only, oidc_subject = last.oidc_subject
    FROM former.app_user AS last WHERE last.id = app_user.id AND last.email = app_user.email
    """,
    """
    DELETE FROM user_company WHERE NOT EXISTS (SELECT 1 FROM former.user_company AS last
        WHERE last.user_id = user_company.user_id AND last.connection_id = user_company.connection_id)
    """,
    """
    INSERT OR IGNORE INTO user_company (user_id, connection_id) SELECT user_id, connection_id FROM former.user_company
    WHERE user_id IN (SELECT id FROM app_user) AND connection_id IN (SELECT id FROM connection)
    """,
    "DELETE FROM passkey WHERE id NOT IN (SELECT id FROM former.passkey)",
    # With the passkeys added since: a user who signs in by passkey alone could not sign in without them.
    """
    INSERT OR IGNORE INTO passkey (id, user_id, public_key, sign_count, name, created_at, used_at)
    SELECT new.id, new.user_id, new.public_key, new.sign_count, new.name, new.created_at, new.used_at
    FROM former.passkey AS new JOIN former.app_user AS last ON last.id = new.user_id
    JOIN main.app_user AS kept ON kept.id = last.id AND kept.email = last.email
    """,
    """
    INSERT OR IGNORE INTO key_value (connection_id, name, value, stored_at)
    SELECT connection_id, name, value, stored_at FROM former.key_value WHERE name = 'passkeys_required'
    """,
    """
    UPDATE api_token SET revoked_at = last.revoked_at FROM former.api_token AS last
    WHERE last.token_hash = api_token.token_hash AND last.revoked_at IS NOT NULL
    """,
    """
    UPDATE contact_token SET revoked_at = last.revoked_at FROM former.contact_token AS last
    WHERE last.token_hash = contact_token.token_hash AND last.revoked_at IS NOT NULL
    """,
    # With those since: links in emails sent after the backup go on working, and a revoked one is known as such.
    """
    INSERT OR IGNORE INTO contact_token
        (token_hash, connection_id, customer_id, purpose, salt, outbox_key, recipient, created_at, expires_at,
        revoked_at)
    SELECT token_hash, connection_id, customer_id, purpose, salt, outbox_key, recipient, created_at, expires_at,
        revoked_at
    FROM former.contact_token AS new WHERE EXISTS (SELECT 1 FROM main.connection AS kept JOIN former.connection AS last
        ON last.id = kept.id AND last.provider = kept.provider AND last.external_id = kept.external_id
        WHERE kept.id = new.connection_id)
    """,
    # Customers pay into the latest account: the backup's may have been removed since, or never have been the company's.
    """
    DELETE FROM bank_details WHERE EXISTS (SELECT 1 FROM main.connection AS kept JOIN former.connection AS last
        ON last.id = kept.id AND last.provider = kept.provider AND last.external_id = kept.external_id
        WHERE kept.id = bank_details.connection_id)
    """,
    # One whose id belongs to a company that only the backup has gets another.
    """
    INSERT INTO bank_details
        (id, connection_id, currency, payee, scheme, account, bank_code, bic, street, building_number, postcode, town,
        country, use_creditor_reference, set_by, set_at, applies_at, cancelled_at, decided_by)
    SELECT id + CASE WHEN id IN (SELECT id FROM main.bank_details) THEN
        (SELECT max(id) FROM main.bank_details) + (SELECT max(id) FROM former.bank_details) ELSE 0 END,
        connection_id, currency, payee, scheme,
        account, bank_code, bic, street, building_number, postcode, town, country, use_creditor_reference, set_by,
        set_at, applies_at, cancelled_at, decided_by
    FROM former.bank_details AS new WHERE EXISTS (SELECT 1 FROM main.connection AS kept JOIN former.connection AS last
        ON last.id = kept.id AND last.provider = kept.provider AND last.external_id = kept.external_id
        WHERE kept.id = new.connection_id)
    """,
    "DELETE FROM webhook_delivery WHERE endpoint_id NOT IN (SELECT id FROM former.webhook_endpoint)",
    "DELETE FROM webhook_endpoint WHERE id NOT IN (SELECT id FROM former.webhook_endpoint)",
    # What was disconnected stays so: its access was ended outside, or never shall be used again.
    """
    DELETE FROM connected_mailbox WHERE NOT EXISTS (SELECT 1 FROM former.connected_mailbox AS last
        WHERE last.provider = connected_mailbox.provider AND lower(last.address) = lower(connected_mailbox.address))
    """,
    """
    UPDATE connection SET grant_id = NULL, health = last.health, health_reason = last.health_reason, mode = 'observe'
    FROM former.connection AS last WHERE last.provider = connection.provider
        AND last.external_id = connection.external_id AND last.health = 'disconnected'
    """,
    """
    DELETE FROM grant_token WHERE id NOT IN (SELECT grant_id FROM connected_mailbox)
        AND id NOT IN (SELECT grant_id FROM connection WHERE grant_id IS NOT NULL)
    """,
    """
    INSERT OR IGNORE INTO suppressed_address (address, reason, since_at)
    SELECT address, reason, since_at FROM former.suppressed_address
    """,
)


def reapply_revocations(file: Path, former: Path) -> bool:
    """Revoke in a prepared database what is revoked in the one it replaces (``former``): all of it, or nothing.

    Return False where the former database cannot be read, or is not a later state of the same installation.
    """
    try:
        with closing(sqlite3.connect(file.absolute().as_uri(), uri=True)) as database:
            database.execute("ATTACH DATABASE ? AS former", (f"{former.absolute().as_uri()}?mode=ro",))
            if database.execute(_IS_LATER).fetchone() is None:
                return False
            with database:
                for statement in _REVOCATIONS:
                    database.execute(statement)
    except sqlite3.DatabaseError:  # damaged or of another version, which may be why it is replaced
        return False
    return True
