#!/usr/bin/env bash
# A customer who answers below each quoted line is cut after the first one: the dispute in the middle is lost.
#
# The parser takes everything from the first line that looks like a quote's heading on as the quote, also where the customer's own
# lines follow it, and also where the customer just begins a sentence with "On Monday I wrote".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check mail-parser-reply==1.36
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version
from mailparser_reply import EmailReplyParser

between = """Thank you for the list.

On Mon, 8 Jun 2026 at 09:12, Alder Joinery <accounts@alder.example> wrote:
> Invoice 1042 for 900.00 is overdue.

We dispute this one: two of the doors were the wrong size.

> Invoice 1050 for 120.00 is overdue.

This one will be paid on Friday.
"""
sentence = """Dear Tom,

On Monday I rang about the missing hinges, and your colleague wrote:
we shall look into it. Nothing came.
"""
parser = EmailReplyParser(languages=["en"])
kept = [parser.parse_reply(text="\n".join(line.strip() for line in text.splitlines())) for text in (between, sentence)]
print("mail-parser-reply", version("mail-parser-reply"), "- kept of the two replies:", kept)
raise SystemExit(any(word in text for text, word in zip(kept, ("dispute", "hinges"), strict=True)))
PYTHON
