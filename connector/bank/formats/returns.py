"""Debits that take an earlier credit back: a direct debit that was returned, a cheque that bounced.

Where a format has a code for them, the code decides; in CSV files and plain texts only the bank's words tell.
"""

from __future__ import annotations

import re

from connector.bank.names import plain_upper

_WORDS = re.compile(
    r"RUECKLASTSCHR|RUCKLASTSCHR|RETOURLASTSCHR|RUECKSCHECK|RUECKBUCHUNG|RUECKBELASTUNG"
    # Alone these are goods or a deposit that a company gives money back for, and no bank.
    r"|(?:LASTSCHR(?:IFT)?|SCHECK|SEPA)[-. ]?(?:RUE?CKGABE|RETOURE)"
    r"|\b(?:RUE?CKGABE|RETOURE) (?:(?:DER|EINER|DES|VON) )?(?:SEPA|LASTSCHR|SCHECK)"
    r"|RETURNED (?:DIRECT DEBIT|DD|ITEM|CHEQUE|CHECK|DEPOSIT|PAYMENT|UNPAID)|\bUNPAID (?:DIRECT DEBIT|DD|CHEQUE|ITEM)"
    r"|\b(?:DIRECT DEBIT|DD|CHEQUE|CHECK|DEPOSITED ITEM|ACH|PAYMENT) (?:RETURNED|RETURN|UNPAID|BOUNCED|REVERSAL)\b"
    r"|\bCHARGE ?BACK\b|\bINDEMNITY CLAIM\b|\bBOUNCED\b|REJET (?:DE )?(?:PRELEVEMENT|PRLV|CHEQUE)|\bPRLV REJETE\b"
    r"|(?:PRELEVEMENT|PRLV|CHEQUE|SDD) (?:SEPA )?(?:IMPAYE|REJETE|RETOURNE)|\bIMPAYE\b"
    r"|DEVOL(?:UCION)? (?:DE )?(?:RECIBO|ADEUDO|CHEQUE)"
    r"|\bRECIBO DEVUELTO\b|\bINSOLUT[OI]\b|STORNO (?:SDD|ADDEBITO|INCASSO)|\bSTORNERING\b|\bGESTORNEERDE? INCASSO\b"
    r"|\bINCASSO STORNO\b|DEVOLUCAO (?:DE )?(?:DEBITO|CHEQUE)|DEBITO DIRE(?:C)?TO DEVOLVIDO"
)


def says_returned(text: str) -> bool:
    """Return whether a bank's words about a debit say that it takes an earlier credit back."""
    return _WORDS.search(plain_upper(text)) is not None
