#!/usr/bin/python3
"""Differential test of the whole decision: random configurations and mails, asked of model.py and of the core.

    diff_route.py RUN [--count N] [--seed N] [--show N] [--shrink] [--kinds world,mail,mutant,mime,dsn]

RUN is the built tests/conformance/run, which gets the cases as a file of the form of route.jsonl.  Every case is derived
from the seed and its number, so that it can be made again.  What the core says it does not know (odd encodings of a body)
is never counted as a difference, but how often that was said is printed.  Ends with "diff_route: N passed, M failed"; exit 1 if any failed.
"""
import argparse
import base64
import email
import email.policy
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import warnings

import diff_header
import diff_mime
import model

if hasattr(email.policy.SMTP, "verify_generated_headers"):
    # a later patch of Debian's Python 3.11; the reference ran without it
    email.policy.SMTP = email.policy.SMTP.clone(verify_generated_headers=False)

HERE = os.path.dirname(os.path.abspath(__file__))
ACME = model.WORLDS["acme"]
CHUNK = 3000
KINDS = ["world"] * 5 + ["mail"] * 5 + ["mutant"] * 4 + ["mime"] * 2 + ["dsn"] * 3
warnings.simplefilter("ignore")

# -- what mails are made of ----------------------------------------------------------

DOMAINS = ["acme.example"] * 6 + ["beta.example"] * 3 + ["eu.acme.example"] * 3 + [
    "allowed.example", "other.example", "foreign.example", "customer.example", "ACME.example", "Beta.Example", "acme.example.", "münchen.example",
    "xn--mnchen-3ya.example", "sub.acme.example", "MÜNCHEN.example", "Typed.Example", "typed.example", "[192.0.2.1]", "localhost"]
LOCALS = [a["name"] for a in ACME["aliases"]] * 2 + ["catchall", "catchall-b", "all", "bounce", "bounce-b", "notifications", "noreply", "hello"] * 2 + [
    "nobody", "sales+x", "SALES", "Local", "mailer-daemon", "MAILER-DAEMON", "mailer-daemon+x", "postmaster", "old-bounce", "reply", "Büro", "büro", "BÜRO", "a.b",
    '"sales"', '"two words"', "sales.", ".sales", "o'brien", "x" * 70, "İnfo", "straße", "false", "None", "sales@acme.example", "lead-11", "café"]
SENDERS = ["jane@customer.example", "known@customer.example", "ann@staff.example", "portal@customer.example", "Follow.Er@customer.example",
           "follow.er@customer.example", "gone@customer.example", "multi.one@customer.example", "multi.two@customer.example", "bob@staff.example",
           "KNOWN@Customer.Example", "Ann@STAFF.example", "sales@acme.example", "bounce@acme.example", "notifications@acme.example", "hello@other.example",
           "local@anywhere.example", "euro@eu.acme.example", "Mailer-Daemon@mx.example", "catchall-b@beta.example", "jane_doe%x@customer.example",
           "someone@customer.example", "jäne@customer.example", "JÄNE@customer.example", "jane@münchen.example", "a@b", "x@y@z.example", "known"]
NAMES = ["Jane", "Jane Doe", '"Doe, Jane"', '"Jane (J)"', "=?utf-8?q?J=C3=A4ne?=", "=?iso-8859-1?b?SuRuZQ==?=", "Jäne", "J. R. Doe", "", '""', "(Jane)",
         '"a\\"b"', "MAILER-DAEMON", "Sales: Dept", "[x]", "jane@other.example", '"known@customer.example"', "Sales;", "=?utf-8?q?sales=40acme=2Eexample?=",
         "=?bogus?q?x?=", "=?utf-8?q?a=2C_b?=", "Mail Delivery System", "\u200b", "<", "@"]
SHAPES = ["%(a)s"] * 10 + ["%(n)s <%(a)s>"] * 7 + ["<%(a)s>", "%(a)s (%(n)s)", "(c) %(a)s", "%(n)s %(a)s", "%(a)s %(n)s", "%(n)s<%(a)s>", "<@r.example:%(a)s>",
          "Team: %(a)s;", "Team: %(a)s, jane@customer.example;", "undisclosed-recipients:;", "mailto:%(a)s", "%(a)s;", "<%(a)s", "%(a)s>", "<<%(a)s>>",
          "<mailto:%(a)s>", "'%(a)s'", '"%(a)s"', '"%(a)s" <%(a)s>', "%(a)s, ", ", %(a)s", " %(a)s ", "\t%(a)s", "%(n)s", "", "<>", "%(a)s %(a)s",
          "=?utf-8?q?%(a)s?=", "=?utf-8?q?%(n)s?= <%(a)s>", "%(n)s\r\n <%(a)s>", "%(n)s <%(a)s> (x)", "%(a)s,\r\n\t%(a)s", "%(n)s <%(a)s>, %(a)s",
          "%(a)s\x00", "%(a)s.", ".%(a)s", "%(n)s < %(a)s >", "smtp:%(a)s", "Team: ;", "%(a)s;%(a)s", "\xa0%(a)s", "%(n)s <%(a)s"]
RECIPIENTS = ["To"] * 12 + ["Cc"] * 5 + ["Delivered-To"] * 4 + ["Resent-To", "Resent-Cc", "TO", "cc", "delivered-to", "Bcc", "X-Original-To", "Envelope-To",
                                                                "Apparently-To", "X-Envelope-To", "X-Delivered-To", "Reply-To", "Resent-Bcc"]
KNOWN_IDS = [m["message_id"] for m in ACME["messages"]]
ODD_IDS = ["<new@customer.example>", "<u@x.example>", "<unknown@odoo.acme.example>", "<1.2-openerp-loop-detection-bounce-email@odoo.acme.example>",
           "<x-loop-detection-bounce-email@z> tail", "<LOOP-detection-bounce-email@z>", "loose-loop-detection-bounce-email@z", "junk", "", "<>", "< >", "<a@b",
           "a@b>", "<<a@b>>", "<a b@c>", "lead-18@odoo.acme.example", "<LEAD-18@odoo.acme.example>", "<lead-18@\r\n odoo.acme.example>",
           "<lead-18\t@odoo.acme.example>", "< lead-18@odoo.acme.example >", "=?utf-8?q?=3Clead-18=40odoo=2Eacme=2Eexample=3E?=", "\"phrase\"", ",",
           "<mail\r\n only ws@odoo.acme.example>", "<9.9-openerp-reply_to@odoo.acme.example>", "<é@x.example>", "(c)", "<x@[1.2.3.4]>", "<\x00@x>"]
MESSAGE_IDS = ["<new@customer.example>"] * 14 + KNOWN_IDS[:3] + ["", " ", "<>", "new@customer.example", "<a@[1.2.3.4]>", "<new@customer.example> x", "<a b@c>",
               "\r\n <folded@customer.example>", "<111.222-openerp-11-crm.lead@odoo.acme.example>", "<new@\r\n customer.example>", "=?utf-8?q?=3Ca=40b=3E?=", "<é@x>",
               "  <new@customer.example>  ", "<a@b> <c@d>", "\"x\"", "<a@b@c>", "<.a@b>", "(c) <a@b>"]
SUBJECTS = ["Hello"] * 8 + ["", "=?utf-8?q?J=C3=A4ne?=", "Jäne", "\r\n folded", "=?bogus?q?x?=", "x" * 1200, "=?utf-8?b?////?=", "\x00", "=?utf-8?q??="]
TYPES = ["text/plain; charset=utf-8"] * 10 + [
    "text/html; charset=utf-8", "text/plain", "text/plain; charset=bogus", "text/plain; charset=", "text/plain; charset", "multipart/report", "font/woff",
    "multipart/report; boundary=x; report-type=disposition-notification", "application/pdf", "text", "", "*/*", "binary/octet-stream", "message/rfc822",
    "message/delivery-status", "text/rfc822-headers", "multipart/mixed", "multipart/mixed; boundary=x", "text/plain; charset=cp-850", "image/png",
    "Multipart/Report; boundary=\"x\"", "multipart/report; boundary=\"\"", "TEXT/PLAIN; CHARSET=UTF-8", "text/plain; charset=utf-16", "x-unknown/y"]
OTHER = ["Return-Path: <>", "Return-Path: <jane@customer.example>", "Auto-Submitted: auto-replied", "Precedence: bulk", "X-Auto-Response-Suppress: All",
         "List-Id: <x.example>", "X-Loop: x", "Sender: sales@acme.example", "Reply-To: known@customer.example", "Thread-Index: abc", "X-Forwarded-To: sales@acme.example",
         "Date: Mon, 1 Jan 2024 10:00:00 +0100", "Date: nonsense", "Received: from a by b; Mon, 1 Jan 2024 10:00:00 +0100", "X-Odoo-Objects: crm.lead-11",
         "Content-Transfer-Encoding: base64", "Content-Transfer-Encoding: bogus", "MIME-Version: 1.0", "MIME-Version: x", "X-Any: \xe9",
         "Content-Disposition: attachment; filename=x", "no colon here", " starts with a blank", "X y: z", "From someone Mon Jan 1", ": empty name"]
TOP_LINES = ["From MAILER-DAEMON Mon Jan  1 10:00:00 2024", ">From x", " leading blank", "", "X", "\t"]
HOMES = {a["name"]: {1: "acme.example", 2: "beta.example", 3: "eu.acme.example"}.get(a["domain"], "acme.example") for a in ACME["aliases"]}
HOMES.update({"catchall": "acme.example", "catchall-b": "beta.example", "all": "eu.acme.example", "bounce-b": "beta.example"})
MODELS = [name for name, row in model.MODELS.items() if row["exists"]]


class Random:
    def __init__(self, seed):
        self.rng = random.Random(seed)

    def pick(self, seq):
        return seq[self.rng.randrange(len(seq))]

    def chance(self, p):
        return self.rng.random() < p

    def some(self, seq, p):
        return [x for x in seq if self.chance(p)]


# -- configurations --------------------------------------------------------------------


class Configs(Random):
    def aliases(self):
        share = self.pick([1, .8, .5, .2])
        rows = [dict(a) for a in ACME["aliases"] if self.chance(share)]
        for row in rows:
            if self.chance(.12):
                row["contact"] = self.pick(["everyone", "partners", "followers"])
            if self.chance(.08):
                row["force_thread_id"] = self.pick([11, 12, 13, 14, 16, 18, 997, 999])
            if self.chance(.08):
                row["incoming_local"] = self.chance(.8)
            if self.chance(.06):
                row["parent_model"], row["parent_id"] = self.pick(["mail.test.container", "crm.lead", "mail.test.gateway"]), self.pick([14, 18, 12, 996])
            if self.chance(.06):
                row["domain"] = self.pick([1, 2, 3, None])
            if self.chance(.05):
                row["model"] = self.pick(MODELS)
        for i in range(self.pick([0, 0, 0, 1, 3])):
            rows.append({"id": 40 + i, "name": self.pick(["Büro", "SALES", "café", "a..b", "x y", "sales", "all", "new.name", "o'brien", "straße", "İnfo"]),
                         "domain": self.pick([1, 2, 3, None]), "model": self.pick(MODELS), "incoming_local": self.chance(.3),
                         "contact": self.pick(["everyone", "partners", "followers"])})
        self.rng.shuffle(rows)
        # of two aliases with one model and name Odoo has no order
        seen = set()
        return [r for r in rows if (key := (r["model"], model.sanitize(r["name"]))) not in seen and not seen.add(key)]

    def domains(self):
        rows = [dict(d) for d in ACME["alias_domains"]]
        for row in rows:
            if self.chance(.2):
                row["bounce_alias"] = self.pick(["Bounce", "old-bounce", "bounce", "mailer-daemon", "rebote.é", "b+x"])
            if self.chance(.2):
                row["catchall_alias"] = self.pick(["all", "Catch.All", "reply", "catchall"])
            if self.chance(.2):
                row["default_from"] = self.pick([None, "", "noreply", "Hello@Other.Example", "known@customer.example", "jane"])
            if self.chance(.1):
                row["name"] = self.pick(["Typed.Example", "münchen.example", "xn--mnchen-3ya.example", "foreign.example"])
        names = [r["name"] for r in rows]
        if len(set(names)) < len(names):
            return ACME["alias_domains"]
        return rows[:self.pick([0, 1, 2, 3, 3, 3])]

    def partners(self):
        rows = [dict(p) for p in ACME["partners"]]
        rows += [{"id": 20 + i, "name": "P", "email": self.pick(SENDERS + ["jane@customer.example", "known@customer.example; x@y.example", "Jane", "jane",
                 "undisclosed", "jane@customer.example, known@customer.example", " known@customer.example ", "<known@customer.example>", "K <known@customer.example>"])}
                 for i in range(self.pick([0, 1, 3, 6]))]
        for row in rows:
            if self.chance(.15):
                row["active"] = self.chance(.5)
            if self.chance(.2):
                row["user"] = self.pick([True, "portal"])
            if self.chance(.25):
                row["company"] = self.pick([1, 2])
        return rows

    def records(self):
        rows = [dict(r) for r in ACME["records"] if self.chance(.9)]
        people = [1, 2, 3, 4, 5, 6, 7, 20, 21, 22]
        for row in rows:
            if self.chance(.3):
                row["followers"] = self.some(people, .4)
            if self.chance(.3):
                row["company"] = self.pick([1, 2])
            if self.chance(.3):
                row["email"] = self.pick(SENDERS)
        return rows

    def messages(self):
        rows = [dict(m) for m in ACME["messages"] if self.chance(.9)]
        for i in range(self.pick([0, 1, 2, 4])):
            row = {"id": 50 + i, "message_id": self.pick(KNOWN_IDS + ["<u@x.example>", "<new@customer.example>", "<extra@odoo.acme.example>"])}
            if self.chance(.8):
                row["model"] = self.pick(MODELS)
                if self.chance(.85):
                    row["res_id"] = self.pick([11, 12, 13, 14, 15, 16, 18, 999])
            if self.chance(.3):
                row["subtype"] = self.pick(["note", "comment"])
            if self.chance(.2):
                row["type"] = self.pick(["auto_comment", "user_notification", "email_outgoing"])
            if self.chance(.4):
                row["notified"] = self.some([1, 2, 3, 4, 5, 6, 7, 999], .3)
            rows.append(row)
        return rows

    def history(self, limit):
        rows = []
        for _ in range(self.pick([1, 1, 2, 3])):
            row = {"model": self.pick(["crm.lead", "mail.test.ticket", "mail.test.gateway", "mail.test.gateway.groups", self.pick(MODELS)]),
                   "count": max(1, limit + self.pick([-2, -1, -1, 0, 0, 1]))}
            row["email_from"] = self.pick([self.pick(SENDERS), "jane@customer.example", "known@customer.example", "Jane <jane@customer.example>",
                                           '"Jane" <jane@customer.example>', "xjane@customer.example", "jane-doe-x@customer.example"])
            if self.chance(.4):
                row["res_id"] = self.pick([11, 12, 13, 14, 15, 16, 18])
                if self.chance(.4):
                    row["author"] = self.pick([1, 2, 3, 4, 20])
                if self.chance(.2):
                    row["type"] = self.pick(["email", "comment"])
            elif self.chance(.1):
                row["archived"] = True
            if self.chance(.3):
                row["age_minutes"] = self.pick([0, 1, 9, 10, 11, 119, 120, 121, 500])
            rows.append(row)
        return rows

    def params(self):
        out = {}
        if self.chance(.35):
            out["mail.catchall.domain.allowed"] = self.pick(["allowed.example"] * 4 + ["acme.example", "acme.example,", "Allowed.Example , other.example", "beta.example",
                                                            "sub.allowed.example", "münchen.example,foreign.example", "anywhere.example,customer.example"])
        if self.chance(.5):
            out["mail.gateway.loop.threshold"] = self.pick(["3"] * 6 + ["1", "0", "-1", "2", "20", "abc", " 3 ", "+3", "0_3", "3.0", "", "0x3", "1e1", "--3", "3_", "_3", "٣", " "])
        if self.chance(.15):
            out["mail.gateway.loop.minutes"] = self.pick(["10", "120", "0", "-5", "500", "abc", " 10", "", "1_0", "10m"])
        return out

    def limit(self, params):
        try:
            return int(params.get("mail.gateway.loop.threshold") or 20)
        except ValueError:
            return 20

    def make(self):
        config = {"world": "acme"}
        if self.chance(.75):
            config["aliases"] = self.aliases()
        if self.chance(.2):
            config["alias_domains"] = self.domains()
        if self.chance(.35):
            config["partners"] = self.partners()
        if self.chance(.3):
            config["records"] = self.records()
        if self.chance(.3):
            config["messages"] = self.messages()
        config["params"] = self.params()
        if self.chance(.5):
            config["history"] = self.history(self.limit(config["params"]))
        if self.chance(.12):
            config["allowed"] = self.some(["jane@customer.example", "Known@Customer.example", "a@b, c@d", "none", "Ann <ann@staff.example>", "jäne@customer.example"], .3)
        if self.chance(.05):
            config["companies"] = [{"id": 1, "alias_domain": self.pick([1, 2, None])}, {"id": 2, "alias_domain": 1}]
        return config


# -- mails -----------------------------------------------------------------------------


class Mails(Random):
    def __init__(self, seed):
        super().__init__(seed)
        self.odd = self.chance(.4)

    def address(self):
        if self.chance(.25):
            return self.pick(SENDERS)
        local = self.pick(LOCALS[:42]) if not self.odd else self.pick(LOCALS)
        domain = self.pick(DOMAINS[:15]) if not self.odd else self.pick(DOMAINS)
        if local in HOMES and self.chance(.5):
            domain = HOMES[local]
        text = local + "@" + domain
        return text.upper() if self.chance(.05) else text

    def mailbox(self, address):
        shape = self.pick(SHAPES[:19] if not self.odd or self.chance(.4) else SHAPES)
        return shape % {"a": address, "n": self.pick(NAMES[:8] if not self.odd else NAMES)}

    def listing(self):
        n = self.pick([1, 1, 1, 1, 2, 2, 3, 5])
        return self.pick([", ", ", ", ",", ",\r\n ", ";", " "][:6 if self.odd else 4]).join(self.mailbox(self.address()) for _ in range(n))

    def ids(self):
        n = self.pick([1, 1, 1, 2, 2, 3, 6, 40 if self.chance(.2) else 4])
        out = [self.pick(KNOWN_IDS) if self.chance(.6) else self.pick(ODD_IDS) for _ in range(n)]
        if n == 40:
            out = ["<many-%d@x.example>" % i if self.chance(.9) else self.pick(KNOWN_IDS) for i in range(n)]
        return self.pick([" ", " ", " ", "\r\n ", "", ",", "\t"]).join(out)

    def soup(self, name):
        return diff_header.value(self.rng, name.encode()).decode("latin-1")

    def headers(self):
        rows = []
        if self.chance(.97):
            rows.append("From: " + (self.mailbox(self.pick(SENDERS)) if self.chance(.9) else self.listing()))
        if self.chance(.04):
            rows.append("From: " + self.mailbox(self.pick(SENDERS)))
        for _ in range(self.pick([1, 1, 1, 1, 2, 2, 3, 4, 0])):
            rows.append(self.pick(RECIPIENTS[:21] if not self.odd else RECIPIENTS) + ": " + self.listing())
        if self.chance(.92):
            rows.append(self.pick(["Message-Id", "Message-ID", "message-id"]) + ": " + (self.pick(MESSAGE_IDS) if self.odd or self.chance(.1) else MESSAGE_IDS[0]))
        for name, p in (("References", .4), ("In-Reply-To", .35), ("References", .03), ("In-Reply-To", .03)):
            if self.chance(p):
                rows.append(name + ": " + self.ids())
        rows.append("Subject: " + (self.pick(SUBJECTS) if self.odd else "Hello"))
        rows += [row for row in OTHER if self.chance(.02)]
        if self.odd and self.chance(.3):
            name = self.pick(["To", "From", "Cc", "Delivered-To", "References", "In-Reply-To", "Message-Id", "Subject", "Resent-To", "Content-Type"])
            rows.append(name + ":" + self.soup(name))
        if self.odd:
            self.rng.shuffle(rows)
        return rows

    def eol(self, text):
        kind = self.rng.random()
        if kind < .7:
            return text
        if kind < .82:
            return text.replace("\r\n", "\n")
        if kind < .88:
            return text.replace("\r\n", "\r")
        return re.sub("\r\n", lambda _m: self.pick(["\r\n", "\n", "\r", "\r\n"]), text)

    def plain(self):
        kind = self.pick(TYPES) if self.odd else TYPES[0]
        rows = self.headers() + ["MIME-Version: 1.0"] + (["Content-Type: " + kind] if self.chance(.95) else [])
        if self.chance(.02):
            rows.insert(0, self.pick(TOP_LINES))
        text = "\r\n".join(rows) + "\r\n\r\n" + self.pick(["Hi there\r\n"] * 6 + ["", "--x\r\n\r\na\r\n--x--\r\n", "Grüße", "\x00", "From x\r\n", "\r\n", "aGVsbG8="])
        return self.coded(self.eol(text))

    def coded(self, text):
        if self.chance(.25):
            return text.encode("latin-1", "replace")
        return text.encode("utf-8", "surrogateescape")

    def mime(self):
        maker = diff_mime.Maker(self.rng)
        maker.boundaries, maker.eols = [], ["\r\n"]
        top = maker.pick([None, "multipart/report", "multipart/report", "multipart/mixed"])
        text = "\r\n".join(self.headers()) + "\r\n" + maker.part(self.rng.randrange(1, 4), top)
        return self.coded(self.eol(text))

    # what delivery reports of mail systems look like, whole and in pieces

    def report_block(self):
        rows = ["Reporting-MTA: dns; mx.customer.example"] + self.some(["X-Postfix-Queue-ID: ABC", "Arrival-Date: Mon, 1 Jan 2024 10:00:00 +0100", "Received-From-MTA: dns; x"], .3)
        recipients = []
        for _ in range(self.pick([1, 1, 1, 2, 3])):
            who = self.pick([self.pick(SENDERS), "known@customer.example", self.mailbox("known@customer.example")])
            block = [self.pick(["Final-Recipient", "Final-Recipient", "Final-recipient", "FINAL-RECIPIENT"]) + ":" + self.pick([" rfc822; ", " rfc822;", " RFC822; ", "rfc822;",
                     " LOCAL;", " utf-8; ", " ", " rfc822;\r\n  ", " x-local; a; "]) + who]
            block += self.some(["Original-Recipient: rfc822;bob@staff.example", "Action: failed", "Status: 5.1.1", "Diagnostic-Code: smtp; 550 5.1.1\r\n    no such user",
                                "Remote-MTA: dns; mx", "X-Failed-Recipients: ann@staff.example", "Last-Attempt-Date: x"], .7)
            if self.chance(.15):
                block = self.pick([block[1:], block[::-1], ["junk"] + block, block + block[:1]])
            recipients.append("\r\n".join(block))
        first = "\r\n".join(rows)
        sep = self.pick(["\r\n\r\n"] * 6 + ["\r\n", "\r\n\r\n\r\n", "\r\n \r\n"])
        return self.pick(["", "", "", "\r\n"]) + sep.join([first] + recipients if self.chance(.92) else recipients) + "\r\n"

    def returned(self, kind):
        rows = self.some(["Received: from a by b", "From: notifications@acme.example", "To: known@customer.example", "Subject: old", "MIME-Version: 1.0"], .8)
        if self.chance(.85):
            rows.append(self.pick(["Message-Id", "Message-ID"]) + ": " + self.pick(KNOWN_IDS + ODD_IDS[:3] + ["junk " + self.pick(KNOWN_IDS) + " junk", "<a@b> " + KNOWN_IDS[0]]))
        if self.chance(.1):
            rows.append("X-Microsoft-Original-Message-ID: " + self.pick(KNOWN_IDS))
        if self.chance(.2):
            rows.append(self.pick(["Content-Type: text/plain; charset=utf-8", "Content-Type: multipart/alternative; boundary=inner", "Content-Type: font/woff",
                                   "Content-Type: text/plain; charset=bogus", "References: " + self.pick(KNOWN_IDS)]))
        self.rng.shuffle(rows)
        body = "" if kind.startswith("text/") and self.chance(.8) else "\r\n\r\n" + self.pick(["Old body", "--inner\r\n\r\nx\r\n--inner--", ""])
        return "\r\n".join(rows) + body + "\r\n"

    def report_part(self):
        kind = self.pick(["text/plain; charset=us-ascii", "text/plain", "", "text/html; charset=utf-8", "message/delivery-status", "message/delivery-status",
                          "message/delivery-status", "message/rfc822", "message/rfc822", "text/rfc822-headers", "message/global-delivery-status",
                          "message/disposition-notification", "message/rfc822; charset=utf-8", "Message/Delivery-Status; name=\"x\"", "message/partial", "image/png"])
        low = kind.lower()
        head = ("Content-Type: " + kind + "\r\n" if kind else "") + "".join(self.some(["Content-Description: x\r\n", "Content-Transfer-Encoding: 7bit\r\n",
                "Content-Disposition: inline\r\n", "Content-Transfer-Encoding: base64\r\n", "Content-Transfer-Encoding: quoted-printable\r\n"], .12))
        if "delivery-status" in low or "disposition" in low:
            body = self.report_block()
        elif "rfc822" in low:
            body = self.returned(low)
        else:
            body = self.pick(["Delivery failed.\r\n", "", "<known@customer.example>: no such user\r\n", "Grüße\r\n", "--\r\n"])
        return head + self.pick(["\r\n"] * 9 + [""]) + body

    def dsn(self):
        mark = self.pick(["=_dsn", "ABC.123/mx.example", "----=_Part_1", "x y", "b", "-"])
        used = mark if self.chance(.93) else self.pick(["other", mark + " ", mark.lower(), mark[:-1], mark + "x"])
        declared = self.pick(['"%s"'] * 8 + ["%s", '%s"', '"%s']) % mark
        kind = self.pick(["multipart/report; report-type=delivery-status; boundary=%s"] * 6 + ["multipart/report; boundary=%s", "multipart/mixed; boundary=%s",
                         "multipart/report;\r\n\tboundary=%s;\r\n\treport-type=\"delivery-status\"", "multipart/report; x=%s", "Multipart/REPORT; BOUNDARY=%s"]) % declared
        rows = self.headers()
        if self.chance(.7):
            rows = [r for r in rows if not r.lower().startswith(("from:", "to:"))]
            rows.append("From: " + self.pick(["MAILER-DAEMON@mx.customer.example", "Mail Delivery System <MAILER-DAEMON@mx.example>", "MAILER-DAEMON", "<>", "postmaster@mx.example",
                                              "MAILER-DAEMON <>", "Mail Delivery Subsystem <mailer-daemon@googlemail.com>", "MAILER-DAEMON (Mail Delivery System)"]))
            rows.append("To: " + self.pick(["bounce@acme.example", "bounce@acme.example", "<bounce-b@beta.example>", self.address()]))
        parts = [self.report_part() for _ in range(self.pick([0, 1, 2, 3, 3, 3, 4]))]
        body = self.pick(["", "", "This is a MIME-encapsulated message\r\n\r\n", "\r\n"])
        for part in parts:
            body += "--" + used + self.pick(["\r\n"] * 9 + [" \r\n", "\r\n\r\n", "--\r\n"]) + part + self.pick(["\r\n", "\r\n", ""])
        body += self.pick(["--" + used + "--\r\n"] * 6 + ["", "--" + used + "--", "--" + used + "\r\n", "--" + used])
        if self.chance(.03):
            body = ""
        self.rng.shuffle(rows)
        text = "\r\n".join(rows + ["Content-Type: " + kind]) + self.pick(["\r\n\r\n"] * 12 + ["\r\n"]) + body
        return self.coded(self.eol(text))

    # what happens to mails on the way

    def damage(self, raw):
        raw = bytearray(raw)
        for _ in range(self.pick([1, 1, 1, 2, 3, 6])):
            if not raw:
                break
            at = self.rng.randrange(len(raw))
            # most of the interest is in the header
            if self.chance(.5):
                at = self.rng.randrange(min(len(raw), 300))
            how = self.rng.randrange(12)
            lines = bytes(raw).splitlines(True)
            if how == 0:
                raw[at] = self.rng.randrange(256)
            elif how == 1 and self.chance(.5):
                del raw[at:]
            elif how == 2:
                del raw[at:at + self.rng.randrange(1, 20)]
            elif how in (3, 4):
                raw[at:at] = self.pick([b"\r", b"\n", b" ", b"\t", b":", b";", b",", b'"', b"\\", b"\0", b"\xe9", b"=", b"*", b"'", b"<", b">", b"@", b"(", b")", b"\r\n",
                                        b"\r\n ", b"\xc3\xa9", b"=?utf-8?q?", b"?=", b"\x0b", b"\x0c", b"\x1c", b"\x85", b"\xc2\xa0", b"\xe2\x80\xa8", b"\r\r\n", b"[", b"]", b"."])
            elif how == 5:
                raw[at:at] = raw[at:at + self.rng.randrange(1, 60)]
            elif how == 6:
                del lines[self.rng.randrange(len(lines))]
                raw = bytearray(b"".join(lines))
            elif how == 7:
                lines.insert(self.rng.randrange(len(lines)), lines[self.rng.randrange(len(lines))])
                raw = bytearray(b"".join(lines))
            elif how == 8:
                i, j = self.rng.randrange(len(lines)), self.rng.randrange(len(lines))
                lines[i], lines[j] = lines[j], lines[i]
                raw = bytearray(b"".join(lines))
            elif how == 9:
                raw = bytearray(re.sub(b"\r\n|\n|\r", lambda m: self.pick([b"\r\n", b"\n", b"\r", m.group()]), bytes(raw)))
            elif how == 10:
                raw[at:at + 1] = bytes(raw[at:at + 1]).swapcase()
            else:
                name = self.pick([b"To", b"Cc", b"From", b"Delivered-To", b"Message-Id", b"References", b"In-Reply-To", b"Resent-To", b"Subject"])
                lines.insert(self.rng.randrange(min(len(lines), 8)), name + b":" + diff_header.value(self.rng, name) + b"\r\n")
                raw = bytearray(b"".join(lines))
        return bytes(raw)


# -- cases -------------------------------------------------------------------------------


def stored_cases():
    with open(os.path.join(HERE, "route.jsonl"), encoding="utf-8") as fh:
        return [json.loads(line) for line in fh]


def mail_bytes(case):
    return base64.b64decode(case["mail_b64"]) if "mail_b64" in case else case["mail"].encode("utf-8", "surrogateescape")


def put_mail(case, raw, as_text):
    """As text where the bytes are UTF-8 (the private characters stand for bytes in the runner), else in base64."""
    case.pop("mail", None)
    case.pop("mail_b64", None)
    text = raw.decode("utf-8", "surrogateescape")
    if as_text and "\0" not in text and not re.search("[\uf780-\uf7ff]", text):
        case["mail"] = text
    else:
        case["mail_b64"] = base64.b64encode(raw).decode()
    return case


def make(seed, number, kinds, stored):
    r = Random("%d/%d" % (seed, number))
    kind = r.pick(kinds)
    mails = Mails("m%d/%d" % (seed, number))
    case = {"op": "route", "id": "%s-%d-%d" % (kind, seed, number), "config": Configs("c%d/%d" % (seed, number)).make()}
    if kind == "mutant":
        origin = r.pick(stored)
        if r.chance(.8):
            case["config"] = origin["config"]
            case.update({k: origin[k] for k in ("fallback_model", "fallback_thread_id") if k in origin})
        raw = mails.damage(mail_bytes(origin))
    elif kind == "world":
        mails.odd = False
        raw = mails.plain()
    else:
        raw = {"mail": mails.plain, "mime": mails.mime, "dsn": mails.dsn}[kind]()
        if kind == "mail":
            mails.odd = True
        if r.chance(.3):
            raw = mails.damage(raw)
    if kind != "mutant" and r.chance(.1):
        case["fallback_model"] = r.pick(list(model.MODELS) + ["no.such.model"])
        if r.chance(.3):
            case["fallback_thread_id"] = r.pick([11, 12, 13, 14, 999])
    put_mail(case, raw, r.chance(.7))
    if kind == "world" and r.chance(.35):
        crowd(r, case)
    return case


def crowd(r, case):
    """Fills the windows this mail is counted in up to the limit or nearly."""
    case["config"]["params"].update({"mail.gateway.loop.threshold": "3", "mail.gateway.loop.minutes": r.pick(["", "120", "10"])})
    case["config"].pop("history", None)
    got = predict(case)
    if got["outcome"] != "routed":
        return
    sender = got["parsed"]["email_from"]
    rows = case["config"]["history"] = []
    for route in got["routes"]:
        who = r.pick([sender, sender, model.normalize(sender) or sender, sender.upper(), "x" + sender, "someone@else.example"])
        row = {"model": route[0], "email_from": who, "count": r.pick([1, 2, 2, 3, 3, 4]), "age_minutes": r.pick([1, 1, 1, 10, 11, 120, 121])}
        if route[1]:
            row["res_id"] = route[1]
            if AUTHORS[-1] and r.chance(.7):
                row["author"] = AUTHORS[-1]
        rows.append(row)


# -- the answer ------------------------------------------------------------------------------

AUTHORS = []


def noting_author(rate_limit):
    def call(w, res, email_from, author):
        AUTHORS.append(author)
        return rate_limit(w, res, email_from, author)
    return call


model.rate_limit = noting_author(model.rate_limit)


def predict(case):
    AUTHORS.clear()
    try:
        return model.predict_route(case)
    except IndexError:
        # the content type of an inner part is read while the mail is split; where that raises, Odoo fails as well
        return {"outcome": "error", "decided_by": "parse", "exit": 70, "routes": [], "bounces": []}


def final_author(case, got):
    """Replies and fallback routes get their author after the loop check."""
    if got["outcome"] == "loop_detected" or AUTHORS[-1]:
        return AUTHORS[-1]
    w = model.World(case["config"])
    first = got["routes"][0]
    record = w.records.get((first[0], first[1])) or {}
    hit = w.partner(got["parsed"]["email_from"], record.get("followers") or (), record.get("company"))
    return hit and hit["id"]


def expect(case):
    """As Odoo's answers are written; None where the case cannot be written down."""
    got = predict(case)
    out = {"outcome": got["outcome"], "decided_by": got["decided_by"], "mailgate_exit": got["exit"],
           "routes": [dict(zip(("model", "thread_id", "alias", "user"), r)) for r in got["routes"]],
           "bounces": [dict(zip(("kind", "alias", "error"), b)) for b in got["bounces"]]}
    if got["outcome"] in ("routed", "loop_detected") and (author := final_author(case, got)):
        out["author"] = author
    if got.get("parsed"):
        out["parsed"] = got["parsed"]
    # half a character (from an encoded word in UTF-16) is no text
    return None if re.search("[\ud800-\udfff]", repr_all(out)) else out


def repr_all(value):
    return json.dumps(value, ensure_ascii=False)


class Runner:
    def __init__(self, run):
        self.run = os.path.abspath(run)
        self.folder = tempfile.mkdtemp(prefix="diff_route.")
        for name in ("models.json", "worlds.json"):
            shutil.copy(os.path.join(HERE, name), self.folder)

    def close(self):
        shutil.rmtree(self.folder)

    def ask(self, cases):
        """{id: [what differs]}"""
        path = os.path.join(self.folder, "cases.jsonl")
        with open(path, "w", encoding="utf-8") as fh:
            fh.writelines(json.dumps(c) + "\n" for c in cases)
        done = subprocess.run([self.run, path], capture_output=True, check=False)
        lines = done.stdout.decode("utf-8", "replace").splitlines()
        if done.returncode not in (0, 1) or not lines or not lines[-1].startswith("cases: "):
            keep = os.path.join(tempfile.gettempdir(), "diff_route-crash.jsonl")
            shutil.copy(path, keep)
            raise SystemExit("the runner ended with %d, the cases are in %s\n%s" % (done.returncode, keep, done.stderr.decode("utf-8", "replace")[-3000:]))
        out, ids, last = {}, {c["id"] for c in cases}, None
        for line in lines[:-1]:
            name, _blank, rest = line.partition(" ")
            last = name.rstrip(":") if name.rstrip(":") in ids else last
            out.setdefault(last, []).append(rest)
        return out


# -- making a failing case small -----------------------------------------------------------------


def still_fails(runner, case, raw, config):
    small = put_mail(dict(case, config=config), raw, False)
    try:
        small["expect"] = expect(small)
    except Exception:  # noqa: BLE001  the model cannot be asked this
        return None
    if small["expect"] is None:
        return None
    return small if runner.ask([small]) else None


def shrink(runner, case):
    raw, config, best = mail_bytes(case), case["config"], case
    for key in [k for k in config if k != "world"]:
        smaller = {k: v for k, v in config.items() if k != key}
        if hit := still_fails(runner, best, raw, smaller):
            best, config = hit, smaller
    size = max(1, len(raw) // 2)
    while size:
        at = 0
        while at < len(raw):
            smaller = raw[:at] + raw[at + size:]
            if hit := still_fails(runner, best, smaller, config):
                best, raw = hit, smaller
            else:
                at += size
        size //= 2
    return best


def show(case, differences):
    config = {k: v for k, v in case["config"].items() if k != "world"}
    print("%s\n   mail   %r\n   config %s%s" % (case["id"], mail_bytes(case), repr_all(config)[:700],
                                              "".join("\n   " + d[:600] for d in differences)))
    if case.get("fallback_model"):
        print("   fallback", case["fallback_model"], case.get("fallback_thread_id"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=5)
    parser.add_argument("--shrink", action="store_true")
    parser.add_argument("--kinds", default="")
    parser.add_argument("--save", help="append the failing cases to this file")
    parser.add_argument("--stats", action="store_true", help="how often each rule decided")
    args = parser.parse_args()
    kinds = args.kinds.split(",") if args.kinds else KINDS
    stored, runner, rules = stored_cases(), Runner(args.run), {}
    passed = failed = skipped = unknown = 0
    for start in range(0, args.count, CHUNK):
        cases = []
        for number in range(start, min(start + CHUNK, args.count)):
            case = make(args.seed, number, kinds, stored)
            case["expect"] = expect(case)
            if case["expect"] is None:
                skipped += 1
                continue
            rules[case["expect"]["decided_by"]] = rules.get(case["expect"]["decided_by"], 0) + 1
            cases.append(case)
        found = runner.ask(cases)
        vague = [i for i, lines in found.items() if any(line.startswith("not known: ") for line in lines)]
        unknown += len(vague)
        passed += len(cases) - len(found)
        for case in (c for c in cases if c["id"] in found and c["id"] not in vague):
            failed += 1
            if args.save:
                with open(args.save, "a", encoding="utf-8") as fh:
                    fh.write(json.dumps(case) + "\n")
            if failed <= args.show:
                small = shrink(runner, case) if args.shrink else case
                show(small, runner.ask([small]).get(small["id"], found[case["id"]]))
    runner.close()
    print("not known: %d" % unknown)
    if args.stats:
        print("not written down: %d; decided by %s" % (skipped, ", ".join("%s %d" % x for x in sorted(rules.items(), key=lambda x: -x[1]))))
    print("diff_route: %d passed, %d failed" % (passed, failed))
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
