#!/usr/bin/env bash
# A whole number stored in a JSON column on SQLite comes back as another number, without an error.
#
# SQLAlchemy declares the column JSON, a name that SQLite gives numeric affinity: a document that is a bare number is stored as a number
# of 64 bits, or as a float. The digits of a payment reference change; the same document on PostgreSQL stays as it is. Keep such values
# in text, or inside an object: a document that is one stays text.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check SQLAlchemy==2.1.9
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version
from sqlalchemy import JSON, Column, Integer, MetaData, Table, create_engine, func, insert, select

reference = 210000000003139471430009017
engine, received = create_engine("sqlite://"), Table("received", MetaData(), Column("id", Integer), Column("said", JSON))
received.metadata.create_all(engine)
with engine.begin() as connection:
    connection.execute(insert(received), [{"id": 1, "said": reference}, {"id": 2, "said": {"reference": reference}}])
    (alone, kind), (inside, _) = connection.execute(select(received.c.said, func.typeof(received.c.said))).all()
print("SQLAlchemy", version("SQLAlchemy"), f"- stored {reference}, read {alone!r} ({kind}); inside an object: {inside}")
raise SystemExit(alone == reference or kind != "real" or inside != {"reference": reference})
PYTHON
