"""A small internet in one process tree: DNS with DNSSEC, mail servers, clients and verifiers that others wrote.

A test is a program that defines functions and calls lab.run(NAME, [functions], needs...).  It is started again inside
fresh network, mount and process namespaces, so ports 25, 53, 465 and 587 are free and every process ends with it.

    127.0.0.1   unbound, the validating resolver of the system and of sendas
    127.0.0.2   Postfix        mx1.test: d1 d4 d7 d10 .test
    127.0.0.3   Exim           mx2.test: d2 d5 d8 .test
    127.0.0.4   aiosmtpd       mx3.test: d3 d6 d9 .test, example.org ... : what comes back to the sender
    127.0.0.5   a scripted server that answers what a test tells it to: mx4.test
    127.0.0.8   Postfix on the way to 127.0.0.4, which it takes for a server without 8BITMIME: hop1.test
    127.0.0.9   Exim on the way to 127.0.0.4: hop2.test
    127.0.0.10  sendas         mail.example.org; also the address it sends from, the one in SPF
    127.0.0.54  nsd, authoritative for the root and every zone below
"""
import sys

sys.dont_write_bytecode = True

from . import clients, corpus, messages, published, servers, testing, verifiers  # noqa: E402,F401
from .daemon import BINARY, PASSWORD, SANITIZED, Sendas, cli  # noqa: E402,F401
from .testing import Lab, check, equal, note, run, until  # noqa: E402,F401
