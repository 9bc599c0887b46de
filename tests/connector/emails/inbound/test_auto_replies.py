"""An email counts as automatic only if it says so itself; otherwise a person wrote it."""

from __future__ import annotations

import pytest

from connector.emails.inbound.auto_replies import automatic_reason, is_same_acknowledgement, pattern_of


@pytest.mark.parametrize(
    ("headers", "subject"),
    [
        ({"auto-submitted": "auto-replied"}, "Re: Invoice INV-1042"),
        ({"auto-submitted": "auto-generated; owner-email=jo@vale.example"}, "Ticket 55"),
        ({"content-type": "multipart/report; report-type=delivery-status; boundary=x"}, "Undeliverable: Invoice"),
        ({}, "Automatic reply: Invoice INV-1042 is overdue"),
        ({}, "Out of Office"),
        ({}, "Automatische Antwort: Rechnung INV-1042"),
        ({}, "Abwesenheitsnotiz"),
        ({}, "Message d'absence"),
        ({}, "Out of office: Re: Invoice INV-1042"),
        ({}, "Abwesenheitsnotiz: AW: Rechnung INV-1042"),
        ({}, "Out of Office AutoReply: Invoice INV-1042"),
        ({}, "Réponse automatique : facture INV-1042"),
        ({}, "Respuesta automática: factura INV-1042"),
        ({"x-autoreply": "yes"}, "Re: Invoice INV-1042"),
        ({"x-autorespond": "Invoice INV-1042"}, "I am away"),
        ({}, "Automatisch antwoord: factuur INV-1042"),
        ({}, "Risposta automatica: fattura INV-1042"),
        ({}, "Resposta automática: fatura INV-1042"),
        ({}, "Afwezigheidsbericht"),
        ({}, "Afwezig: RE: Betalingsherinnering: factuur INV-1042"),
        ({}, "Fuori ufficio: R: Sollecito di pagamento: fattura INV-1042"),
        ({}, "Assente dall'ufficio"),
        ({}, "Fora do escritório: RE: Lembrete de pagamento"),
        ({}, "Ausência do escritório"),
        ({}, "Autosvar: faktura INV-1042"),
        ({}, "Odpowiedź automatyczna: Invoice INV-1042 is overdue"),
        ({}, "Automatická odpověď: Invoice INV-1042 is overdue"),
        ({}, "Automatisk svar: Invoice INV-1042 is overdue"),
        ({}, "Automaattinen vastaus: Invoice INV-1042 is overdue"),
        ({}, "Automatikus válasz: Invoice INV-1042 is overdue"),
        ({}, "Αυτόματη απάντηση: Invoice INV-1042 is overdue"),
        ({}, "自動応答\uff1aInvoice INV-1042 is overdue"),
        ({}, "Automated reply"),
        ({"precedence": "auto_reply"}, "Re: Invoice INV-1042"),
        ({}, "[External] Automatic reply: Invoice INV-1042 is overdue"),
        ({}, "[EXT] [Spam?] Out of Office: Re: Invoice INV-1042"),
        ({}, "Reponse automatique : facture INV-1042"),
        ({}, "Respuesta automatica"),
        ({"precedence": " Auto-Reply "}, "I am away"),
        ({"x-autoresponder": "vacation"}, "I am away"),
        ({"x-autoreply-from": "bo@vale.example"}, "I am away"),
        ({"x-mail-autoreply": "1"}, "I am away"),
        ({}, "OOO"),
        ({}, "OOO: Re: Invoice INV-1042 is overdue"),
        ({}, "Undeliverable: RE: Invoice INV-1042 is overdue"),
        ({}, "Unzustellbar: AW: Rechnung INV-1042"),
        ({}, "Undelivered Mail Returned to Sender"),
        ({}, "Delivery Status Notification (Failure)"),
    ],
)
def test_an_email_marked_as_automatic_is_automatic(headers: dict[str, str], subject: str) -> None:
    assert automatic_reason(headers, subject)


@pytest.mark.parametrize(
    ("headers", "subject"),
    [
        ({"precedence": "list", "list-id": "<payables.vale.example>"}, "Re: Invoice INV-1042"),
        ({"precedence": "bulk"}, "Re: Invoice INV-1042"),
        ({"x-auto-response-suppress": "All"}, "Re: Invoice INV-1042"),
        ({"feedback-id": "1:desk:vale"}, "Re: Invoice INV-1042"),
        ({"auto-submitted": "no"}, "Re: Invoice INV-1042"),
        ({"x-autoreply": "no"}, "Re: Invoice INV-1042"),
        ({}, "Auto: invoice 1042 for the van is wrong"),
        ({}, "Undeliverable: the pallets of invoice 1042"),
        ({}, "Automated replies are not what we ordered"),
        ({"auto-submitted": "No (sent by a person)"}, "Re: Invoice INV-1042"),
        ({}, "Re: Automatic reply: your question of Monday"),  # a person answers the company's own automatic reply
        ({}, "Undelivered goods, invoice 1042"),
        ({}, "Delivery failure: pallets missing"),
        ({}, "Returned mail order, please credit"),
        ({}, "Away from the agreed price"),
        ({}, "Out of office supplies you invoiced twice"),
        ({}, "Out of office: pallets never arrived"),
        ({}, "Out of the office : INV-1042 went to the wrong site"),
        ({}, "Abwesenheitsnotiz: Ware kam nie an"),
        ({}, "Absence du bureau : la palette manque"),
        ({}, "Fuera de la oficina: faltan dos palés"),
        ({}, "Afwezig bij levering: twee pallets"),
        ({}, "Afwezigheidsmelding: chauffeur kwam niet"),
        ({}, "Fuori sede: la merce è arrivata all'altro magazzino"),
        ({}, "Fora do escritório: as paletes nunca chegaram"),
        ({}, "Unzustellbar war nur eine Palette"),
        ({"return-path": "<>"}, "Re: Invoice INV-1042"),
        ({"precedence": "junk"}, "Re: Invoice INV-1042"),
        ({}, "OOO: back on Monday, but the pallets are missing"),
        ({}, "Ooops, wrong invoice"),
        ({}, "[External] Re: Automatic reply: your question"),
        ({}, "[EXT] Out of office: pallets never arrived"),
        ({}, "Undeliverable: two pallets of invoice INV-1042"),
        ({}, "Undeliverable: Invoice INV-1042 is overdue"),  # without a report it may be a person
    ],
)
def test_headers_of_relays_and_help_desks_do_not_make_an_email_automatic(headers: dict[str, str], subject: str) -> None:
    assert automatic_reason(headers, subject) == ""


def test_an_acknowledgement_is_recognised_although_its_numbers_differ() -> None:
    first = "Thank you, your request #55121 was received on 9 June at 10:12. We answer within two working days."
    second = "Thank you, your request #55377 was received on 16 June at 09:01. We answer within two working days."
    assert is_same_acknowledgement(pattern_of(first), pattern_of(second))
    assert not is_same_acknowledgement(
        pattern_of(first), pattern_of("Please send a credit note for the broken pallet.")
    )
    assert not is_same_acknowledgement("", "")
