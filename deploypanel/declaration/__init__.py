"""The panel's objects as one YAML file: `apply` makes the database match it, `dump` writes it.

document.py   YAML with the place of every value, and the list of what is wrong
fields.py     kinds of values: how each is read, compared, set, shown and written; the special ones in
              grants.py, passwords.py, private_keys.py, stored_secrets.py, spellings.py
sections.py   the table: which sections there are, and what fields each has
sesam.py      the part of it about nodes
reading.py    a document as entries of sections
changes.py    what differs, in words
apply.py      entries into the database, in one transaction
prune.py      removal of what the file does not name
dump.py       the database as a document
"""
