"""How customers of the made year write: their names as banks pass them on, and what they say a payment is for."""

from __future__ import annotations

import random

_WORDS = [
    "Ashdown",
    "Bramley",
    "Calder",
    "Dunmore",
    "Elmfield",
    "Fairview",
    "Grafton",
    "Hartwell",
    "Ivybridge",
    "Juniper",
    "Kestrel",
    "Larkspur",
    "Midland",
    "Norwood",
    "Oakridge",
    "Pemberton",
    "Quarry",
    "Redwood",
    "Selwyn",
    "Thornbury",
    "Upton",
    "Vickers",
    "Westgate",
    "Yarrow",
    "Zenith",
]
_TRADES = [
    "Haulage",
    "Foods",
    "Textiles",
    "Print",
    "Dairy",
    "Joinery",
    "Plastics",
    "Optics",
    "Motors",
    "Paper",
    "Timber",
    "Ceramics",
    "Packing",
]
_LONG = (
    "International Trading and Distribution",
    "Engineering Services and Consultancy",
    "Wholesale Building Materials Supplies",
)
_FORMS = ("Ltd", "Limited", "GmbH", "Inc", "& Co", "BV", "SARL", "plc")
_PEOPLE = ("J. Marsh", "Petra Vogel", "M Okafor", "Lucie Bernard", "T. de Groot", "Anna Kowalska", "R Sandhu")
_FACTORS = ("Factoring Bank AG", "Close Invoice Finance", "BNP Factor")
_CUTS = (18, 27, 35, 70)  # letters that banks leave of a name


def make_names(chance: random.Random, count: int) -> list[str]:
    """Make the names of customers, some long, a few alike but for their legal form."""
    names: list[str] = []
    while len(names) < count:
        word, trade, form = chance.choice(_WORDS), chance.choice(_TRADES), chance.choice(_FORMS)
        kind = chance.random()
        if kind < 0.6:
            name = f"{word} {trade} {form}"
        elif kind < 0.8:
            name = f"{word} {trade} {chance.choice(_LONG)} {form}"
        else:
            name = f"{word} & {chance.choice(_WORDS)} {form}"
        if all(not each.startswith(name.rpartition(" ")[0]) for each in names) or chance.random() < 0.02:
            names.append(name)
    return names


def is_somebody_else(payer: str) -> bool:
    """Return whether a payer is none of the customers."""
    return payer in _PEOPLE


def write_payer(chance: random.Random, name: str) -> str:
    """Return a payer's name as a statement has it: in capitals, cut, with a letter too few, or somebody else's."""
    kind = chance.random()
    if kind < 0.40:
        return name
    if kind < 0.68:
        return name.upper().replace("LTD", "LIMITED")
    if kind < 0.80:
        return name.upper()[: chance.choice(_CUTS)].strip()
    if kind < 0.89:
        place = chance.randrange(1, len(name) - 1)
        return name[:place] + name[place + 1 :]
    if kind < 0.975:
        return name.rpartition(" ")[0]
    return chance.choice(_PEOPLE)  # the director's private account, or a parent company's clerk


def factor(chance: random.Random) -> str:
    """Return who buys receivables, and pays for customers."""
    return chance.choice(_FACTORS)


def write_purpose(chance: random.Random, numbers: list[str]) -> str:
    """Return what a payer writes about invoices: their numbers well, badly, wrongly, cut off, or not at all."""
    kind = chance.random()
    if kind < 0.42:
        return "Invoice " + " ".join(numbers)
    digits = ["".join(each for each in number if each.isdecimal() or each in "/-").lstrip("/-") for number in numbers]
    last = [each.replace("/", "-").rpartition("-")[2] for each in digits]
    if kind < 0.52:
        return "inv " + ", ".join(each.lstrip("0") for each in last)
    if kind < 0.57:
        return " ".join(digits)
    if kind < 0.63:
        return " ".join(each.replace("-", " ").replace("/", " ").lower() for each in numbers) + " thank you"
    if kind < 0.67:
        return "PAYMENT " + " ".join(f"{each[:-2]} {each[-2:]}" for each in numbers)  # a bank begins a new line
    if kind < 0.70:
        return f"PAYMENT OF INVOICE {numbers[0]}"[: 19 + max(1, len(numbers[0]) - 2)]
    if kind < 0.73:
        return "Invoice " + numbers[0][:-2] + numbers[0][-1] + numbers[0][-2]  # two digits swapped
    if kind < 0.75:
        return "Invoice " + numbers[0][:-2] + numbers[0][-1]  # a digit is missing
    if kind < 0.77:
        return f"PO {chance.randrange(1000, 99999)} your customer no {chance.randrange(1000, 9999)}"
    return chance.choice(("", "thank you", "payment", "monthly account", "as agreed"))
