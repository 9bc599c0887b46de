"""The customers of simulated companies: names, addresses, buying behaviour, and scenarios of some of them."""

from __future__ import annotations

import random
import unicodedata
import zlib
from dataclasses import dataclass, replace

from sandbox.events import Customer, PaymentSpeed

# Only customers who are not emailed (archived, or without an address) are Australian: with their time zone, there would
# be no hour outside the sending window of every customer, which the bookkeeping hour must be.
_CUSTOMERS_PER_COUNTRY = {
    "xero": {"GB": 28, "IE": 7, "DE": 7, "FR": 6, "US": 8, "CA": 4, "AU": 2},
    "quickbooks": {"US": 34, "CA": 8, "GB": 6, "DE": 5, "FR": 4, "IE": 3, "AU": 2},
}
_CURRENCY = {"GB": "GBP", "IE": "EUR", "DE": "EUR", "FR": "EUR", "US": "USD", "CA": "CAD", "AU": "AUD"}
_CALLING_CODES = {"IE": "353", "DE": "49", "FR": "33", "AU": "61"}
_SUFFIX = {"GB": "Ltd", "IE": "Ltd", "DE": "GmbH", "FR": "SARL", "US": "LLC", "CA": "Inc.", "AU": "Pty Ltd"}
_ADDRESSES = {
    "GB": (("Leeds", "", "LS1 4DY"), ("Bristol", "", "BS1 5TR"), ("London", "", "E2 8DP"), ("Glasgow", "", "G2 1AL")),
    "IE": (("Dublin", "", "D02 X285"), ("Cork", "", "T12 W8KP"), ("Galway", "", "H91 E2K3")),
    "DE": (("Hamburg", "", "20457"), ("Leipzig", "", "04109"), ("Köln", "", "50667")),
    "FR": (("Lyon", "", "69002"), ("Nantes", "", "44000"), ("Lille", "", "59800")),
    "US": (
        ("Boston", "MA", "02110"),
        ("Brooklyn", "NY", "11201"),
        ("Atlanta", "GA", "30303"),
        ("Newark", "NJ", "07102"),
    ),
    "CA": (("Toronto", "ON", "M5V 2T6"), ("Ottawa", "ON", "K1P 5G4"), ("Montréal", "QC", "H2Y 1C6")),
    "AU": (("Sydney", "NSW", "2000"), ("Melbourne", "VIC", "3000")),
}
_FIRST_NAMES = {
    "DE": ("Anke", "Jürgen", "Lena", "Matthias", "Heike"),
    "FR": ("Amélie", "Luc", "Chloé", "Benoît", "Inès"),
    "": ("Priya", "Tom", "Aoife", "Marcus", "Helen", "Omar", "Grace", "Daniel", "Ruth", "Callum", "Naomi", "Pete"),
}
_LAST_NAMES = {
    "DE": ("Krüger", "Brandt", "Weiß", "Lindner", "Vogt"),
    "FR": ("Moreau", "Lefèvre", "Garnier", "Dubois", "Perrin"),
    "": (
        "Shah",
        "Whitaker",
        "O'Brien",
        "Lowe",
        "Adeyemi",
        "Carver",
        "Murray",
        "Fenn",
        "Hollis",
        "Okafor",
        "Reid",
        "Tate",
    ),
}
_NAME_WORDS = [
    "Alder",
    "Amber",
    "Beacon",
    "Birch",
    "Bramble",
    "Bridge",
    "Cedar",
    "Chalk",
    "Copper",
    "Crane",
    "Elm",
    "Fern",
    "Flint",
    "Foundry",
    "Garnet",
    "Granite",
    "Hazel",
    "Heron",
    "Holly",
    "Juniper",
    "Kestrel",
    "Lantern",
    "Larch",
    "Linden",
    "Marble",
    "Meadow",
    "Mill",
    "Orchard",
    "Otter",
    "Pebble",
    "Pine",
    "Quarry",
    "Quill",
    "River",
    "Rowan",
    "Saddle",
    "Sable",
    "Slate",
    "Sparrow",
    "Stone",
    "Sycamore",
    "Thistle",
    "Timber",
    "Tinder",
    "Umber",
    "Valley",
    "Walnut",
    "Willow",
    "Wren",
    "Yarrow",
]
_TRADES = [
    "Bakery",
    "Logistics",
    "Architects",
    "Dental",
    "Print",
    "Fitness",
    "Robotics",
    "Hotels",
    "Outdoor",
    "Legal",
    "Foods",
    "Interiors",
    "Energy",
    "Schools",
    "Brewing",
    "Media",
]
_TERMS_DAYS = (14, 30, 30, 30, 60)


@dataclass(frozen=True, slots=True)
class CustomerProfile:
    """How a customer buys: from when, how often, how much, and with which scenario."""

    customer: Customer
    joined_offset_days: int
    invoice_interval_days: int
    amount_scale: int
    scenario: str = ""


_SCENARIOS = (
    "discount", "disputes", "on_account", "unused_credit", "month_end", "never_pays", "overpays", "changes_email",
    "strategic", "two_currencies",
)  # fmt: skip


def build_customer_profiles(seed: int, company: str) -> tuple[CustomerProfile, ...]:
    """Build the customers of a company, always the same for the same seed."""
    rng = random.Random(f"{seed}:{company}:people")
    countries = [country for country, count in _CUSTOMERS_PER_COUNTRY[company].items() for _ in range(count)]
    names = [f"{word} {trade}" for word in _NAME_WORDS for trade in _TRADES]
    chosen = rng.sample(names, len(countries))
    profiles = [
        _build_profile(rng, n, name, country)
        for n, (name, country) in enumerate(zip(chosen, countries, strict=True), 1)
    ]
    return tuple(_assign_scenarios(profiles, company))


def _build_profile(rng: random.Random, n: int, name: str, country: str) -> CustomerProfile:
    city, region, postcode = rng.choice(_ADDRESSES[country])
    slug = _slug(name)
    customer = Customer(
        key=f"C{n:03}",
        name=f"{name} {_SUFFIX[country]}",
        first_name=rng.choice(_FIRST_NAMES.get(country, _FIRST_NAMES[""])),
        last_name=rng.choice(_LAST_NAMES.get(country, _LAST_NAMES[""])),
        email=f"accounts@{slug}.example",
        street=f"{rng.randint(1, 180)} {rng.choice(_NAME_WORDS)} Street",
        city=city,
        region=region,
        postcode=postcode,
        country=country,
        currency=_CURRENCY[country],
        payment_speed=rng.choices((PaymentSpeed.PROMPT, PaymentSpeed.SLOW, PaymentSpeed.CHRONIC), (55, 32, 13))[0],
        terms_days=rng.choice(_TERMS_DAYS),
    )
    joined = rng.choices((-365, rng.randint(-150, -25), rng.randint(20, 200)), (80, 15, 5))[0]
    return CustomerProfile(
        customer, joined, rng.choice((14, 21, 30, 30, 30, 45, 60, 90)), rng.choice((1, 1, 2, 2, 3, 5))
    )


def _assign_scenarios(profiles: list[CustomerProfile], company: str) -> list[CustomerProfile]:
    home = [n for n, profile in enumerate(profiles) if profile.customer.country in {"GB", "US"}]
    for scenario, n in zip(_SCENARIOS, home, strict=False):
        if scenario != "two_currencies" or company == "xero":  # in QuickBooks a customer has one currency
            profiles[n] = _apply_scenario(profiles[n], scenario)
    not_emailed = [n for n, profile in enumerate(profiles) if profile.customer.country == "AU"]
    for scenario, n in zip(("archived", "no_email_address"), not_emailed, strict=True):
        profiles[n] = _apply_scenario(profiles[n], scenario)
    return profiles


def _apply_scenario(profile: CustomerProfile, scenario: str) -> CustomerProfile:
    customer = replace(profile.customer, terms_days=30, payment_speed=PaymentSpeed.PROMPT)
    every = 30
    if scenario == "discount":
        customer = replace(customer, discount_percent=2, discount_days=10)
    elif scenario in {"no_email_address", "changes_email", "month_end"}:
        customer = replace(
            customer, payment_speed=PaymentSpeed.SLOW, email="" if scenario == "no_email_address" else customer.email
        )
        every = 14 if scenario == "month_end" else 30  # often enough that one payment covers two invoices
    elif scenario == "never_pays":
        customer = replace(customer, payment_speed=PaymentSpeed.CHRONIC)
        every = 21
    elif scenario == "strategic":
        every = 7
    return replace(
        profile,
        customer=customer,
        joined_offset_days=-365,
        invoice_interval_days=every,
        amount_scale=9 if scenario == "strategic" else 3,
        scenario=scenario,
    )


def _slug(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return "-".join(plain.lower().split())


def phone_number(customer: Customer) -> str:
    """Return a customer's telephone number, from the ranges that are kept free for fiction where there are some."""
    last = zlib.crc32(customer.name.encode())
    if customer.country in {"US", "CA"}:
        return f"(503) 555-01{last % 100:02}"
    if customer.country == "GB":
        return f"020 7946 0{last % 1000:03}"
    return f"+{_CALLING_CODES.get(customer.country, '44')} (0)30 23125 {last % 1000:03}"
