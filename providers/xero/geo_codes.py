"""Xero's names of time zones and countries in the standard ones: IANA zones and ISO 3166 alpha-2 codes.

Xero writes a zone as Windows does, in capitals and without blanks and dots ("EEUROPESTANDARDTIME"), and leaves the
country of an address as the bookkeeper typed it.
"""

from __future__ import annotations

import re
from functools import lru_cache

_COUNTRIES: dict[str, tuple[str, ...]] = {
    "AE": ("united arab emirates", "uae", "are"),
    "AR": ("argentina", "arg"),
    "AT": ("austria", "österreich", "oesterreich", "aut"),
    "AU": ("australia", "aus"),
    "BE": ("belgium", "belgique", "belgië", "bel"),
    "BG": ("bulgaria", "bgr"),
    "BR": ("brazil", "brasil", "bra"),
    "CA": ("canada", "can"),
    "CH": ("switzerland", "schweiz", "suisse", "svizzera", "che"),
    "CL": ("chile", "chl"),
    "CN": ("china", "chn"),
    "CY": ("cyprus", "cyp"),
    "CZ": ("czech republic", "czechia", "cze"),
    "DE": ("germany", "deutschland", "deu"),
    "DK": ("denmark", "danmark", "dnk"),
    "EE": ("estonia", "est"),
    "ES": ("spain", "españa", "esp"),
    "FI": ("finland", "suomi", "fin"),
    "FJ": ("fiji", "fji"),
    "FR": ("france", "fra"),
    "GB": ("united kingdom", "uk", "great britain", "england", "scotland", "wales", "northern ireland", "gbr"),
    "GR": ("greece", "grc"),
    "HK": ("hong kong", "hkg"),
    "HR": ("croatia", "hrvatska", "hrv"),
    "HU": ("hungary", "hun"),
    "ID": ("indonesia", "idn"),
    "IE": ("ireland", "republic of ireland", "irl"),
    "IL": ("israel", "isr"),
    "IN": ("india", "ind"),
    "IS": ("iceland", "isl"),
    "IT": ("italy", "italia", "ita"),
    "JP": ("japan", "jpn"),
    "KE": ("kenya", "ken"),
    "KR": ("south korea", "korea", "republic of korea", "kor"),
    "LT": ("lithuania", "ltu"),
    "LU": ("luxembourg", "lux"),
    "LV": ("latvia", "lva"),
    "MT": ("malta", "mlt"),
    "MX": ("mexico", "méxico", "mex"),
    "MY": ("malaysia", "mys"),
    "NG": ("nigeria", "nga"),
    "NL": ("netherlands", "the netherlands", "nederland", "holland", "nld"),
    "NO": ("norway", "norge", "nor"),
    "NZ": ("new zealand", "aotearoa", "nzl"),
    "PH": ("philippines", "phl"),
    "PK": ("pakistan", "pak"),
    "PL": ("poland", "polska", "pol"),
    "PT": ("portugal", "prt"),
    "RO": ("romania", "rou"),
    "SA": ("saudi arabia", "sau"),
    "SE": ("sweden", "sverige", "swe"),
    "SG": ("singapore", "sgp"),
    "SI": ("slovenia", "svn"),
    "SK": ("slovakia", "svk"),
    "TH": ("thailand", "tha"),
    "TR": ("turkey", "türkiye", "tur"),
    "UA": ("ukraine", "ukr"),
    "US": ("united states", "united states of america", "usa", "u.s.a.", "u.s.", "america"),
    "VN": ("vietnam", "viet nam", "vnm"),
    "ZA": ("south africa", "zaf"),
}
_CODES_BY_NAME = {name: code for code, names in _COUNTRIES.items() for name in (code.lower(), *names)}
_ISO_LETTERS = 2
_EXTRA_WINDOWS_ZONES = {"KAMCHATKASTANDARDTIME": "Asia/Kamchatka", "MIDATLANTICSTANDARDTIME": "Atlantic/South_Georgia"}


def country_code(text: str) -> str:
    """The ISO code of a country as people write it; "" for what is not known here, rather than a guess."""
    name = " ".join(text.split()).lower()
    if len(name) == _ISO_LETTERS and name.isascii() and name.isalpha():
        return _CODES_BY_NAME.get(name, name.upper())
    return _CODES_BY_NAME.get(name, "")


def time_zone(name: str) -> str | None:
    """The IANA zone of an organisation's time zone, or None if it is not known."""
    return _zones_by_windows_name().get(name.upper())


@lru_cache(maxsize=1)
def _zones_by_windows_name() -> dict[str, str]:
    from tzlocal.windows_tz import win_tz  # noqa: PLC0415 - a long table, wanted once a day

    return {re.sub(r"[ .\-]", "", name).upper(): zone for name, zone in win_tz.items()} | _EXTRA_WINDOWS_ZONES
