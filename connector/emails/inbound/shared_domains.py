"""Domains under which anybody may have an address, so that they say nothing about whom somebody works for."""

from __future__ import annotations

from typing import Final

SHARED_DOMAINS: Final = frozenset(
    {
        *("gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "yahoo.com", "icloud.com"),
        *("aol.com", "gmx.de", "gmx.net", "web.de", "t-online.de", "orange.fr", "free.fr", "btinternet.com"),
        *("yahoo.co.uk", "yahoo.de", "yahoo.fr", "yahoo.es", "yahoo.ca", "yahoo.com.au", "ymail.com", "msn.com"),
        *("hotmail.co.uk", "hotmail.de", "hotmail.fr", "hotmail.es", "live.co.uk", "live.de", "live.fr", "me.com"),
        *("outlook.de", "outlook.fr", "outlook.es", "mac.com", "proton.me", "protonmail.com", "pm.me", "mail.com"),
        *("gmx.at", "gmx.ch", "gmx.com", "freenet.de", "bluewin.ch", "wanadoo.fr", "laposte.net", "sfr.fr"),
        *("sky.com", "talktalk.net", "virginmedia.com", "ntlworld.com", "eircom.net", "comcast.net", "att.net"),
        *("verizon.net", "sbcglobal.net", "shaw.ca", "rogers.com", "bigpond.com", "optusnet.com.au", "xtra.co.nz"),
    }
)
