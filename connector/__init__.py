"""Everything with a clock, a socket or a database. Read ``run.py`` first: one hour of one connection, top to bottom.

Beside the hour and what it stands on lie ``mirror`` (the books as read), ``letters`` (mail out and what comes back),
``access`` (companies connected, people signed in), ``people`` (what people see and say), ``commands`` and ``web``.
"""
