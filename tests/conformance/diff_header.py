#!/usr/bin/python3
"""Compares pn_header_value() with the email package of the Python that Odoo runs on.

    diff_header.py TOOL [-n VALUES] [-s SEED] [-v]

TOOL is the built header_tool.  Values are generated from pieces that have led
parsers astray, and taken from the cases beside this file.  Ends with one line
"header: N passed, M failed" and exits 1 if any differs.
"""
import argparse
import base64
import codecs
import email
import email.policy
import encodings.aliases
import json
import os
import random
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# charsets Odoo knows beyond Python's own
encodings.aliases.aliases.update({"cp_850": "cp850", "874": "cp874", "windows_874": "cp874"})
codecs.register(lambda name: codecs.lookup("iso8859_8") if re.match(r"iso[-_]?8859[-_]8[-_]?[ei]", name, re.I) else None)

ADDRESS = [b"To", b"Cc", b"From", b"Resent-To", b"Sender", b"reply-to", b"Resent-CC", b"BCC"]
MIME = [b"Content-Type", b"Content-Disposition"]
OTHER = [b"Subject", b"Delivered-To", b"References", b"Content-Transfer-Encoding", b"MIME-Version", b"Date", b"Message-ID",
         b"Message-Id", b"In-Reply-To", b"X-Any"]
PLAIN = [b"a", b"b.c", b"joe", b"sales", b"acme.example", b"a@b.example", b"<a@b.example>", b"Anna B", b"x"]
SIGNS = [b"<", b">", b"@", b",", b";", b":", b".", b"..", b"\"", b"(", b")", b"[", b"]", b"\\", b"=", b"?", b"/", b"*", b"'", b"%",
         b"\\\"", b"\\(", b"\\\\", b"=?", b"?=", b"+", b"-", b"_", b"<>", b"\"\"", b"()", b"[]", b"\\ "]
SPACE = [b" ", b"\t", b"  ", b"\r\n ", b"\r\n\t", b"\n ", b" \r\n ", b"\r "]
ODD = [b"\0", b"\x0b", b"\x0c", b"\x1c", b"\x1f", b"\x7f", b"\x85", b"\xa0", b"\xc2\xa0", b"\xc3\xa9", b"\xff", b"\xe2\x82",
       b"\xe2\x82\xac", b"\xf0\x9f\x98\x80", b"\xed\xa0\x80", b"\xc3"]
FORMS = [b"Name <a@b.example>", b"\"N, q\" <a@b.example>", b"Team: a@b.example, c@d.example;", b"undisclosed-recipients:;",
         b"<@a.example,@b.example:c@d.example>", b"a@[192.0.2.1]", b"a@[ x y ]", b"(c (n) d)", b"(c)", b"\"a b\"@c.example",
         b"a . b @ c . d", b"John Q. Public <j@p.example>", b".c@d.example", b"sales@", b"<a@b.example", b"a@b@c",
         b"text/plain; charset=utf-8", b"multipart/mixed; boundary=\"x y\"", b"attachment; filename*=utf-8''a%20b",
         b"a*0=x; a*1=y", b"a*0*=utf-8''%41; a*1*=b%42", b"a*=\"utf-8''x%41\"", b"; name=x", b"1.0", b"base64", b"7bit",
         b"Mon, 1 Jan 2024 10:00:00 +0100", b"6 Nov 94 08:49 EST", b"<id.1@host.example>", b"<a.@b>", b"<a@[x]>", b"<\"q\"@b>",
         b"x=\"y\\\"z\"", b"=?utf-8?q?a?= =?utf-8?q?b?="]
CHARSETS = [b"utf-8", b"UTF-8", b"us-ascii", b"iso-8859-1", b"iso-8859-15", b"windows-1252", b"utf8", b"bogus", b"unknown-8bit", b"",
            b"koi8-r", b"iso-8859-8-i", b"cp-850", b"utf-16", b"utf-16be", b"utf-32", b"utf-8-sig", b"cp037", b"utf-8*en", b"ansi_x3.4-1968", b"l.1",
            b"hex", b"undefined", b"windows-1255", b"macintosh", b" latin1 ", b"\xc3\xa9", b"x\0y"]
WORDS = [b"a", b"ab", b"a b", b" a", b"a ", b"", b"\xc3\xa9", b"\xe9", b"a@b.example", b"a,b", b"\"", b"\\", b"(x", b"<", b"x.y", b".", b"\n",
         b"\xc2\xa0", b" \xe2\x80\x83 ", b"=?utf-8?q?z?=", b"a\0", b"\xff\xfe", b"\t", b"\r\n x", b":", b";", b"@", b"[", b"\x85", b"\x81\x8d"]
DATE = [b"Mon,", b"Tue", b"1", b"31", b"Jan", b"feb", b"2024", b"99", b"-5", b"10:00:00", b"9:5", b"10.20", b"+0100", b"-0000", b"EST", b"z", b"+9999",
        b"99999999999", b"1_0", b"29", b"24:00", b"2023", b"10:00+0200", b"06-Nov-94", b",", b"+99999999999999999", b"May", b"december", b"1,",
        b"2024,", b"-0730", b"12:60:00", b"10:00:00,"]
PARAM = [b"a", b"b", b"a*", b"a*0", b"a*1", b"a*0*", b"a*1*", b"a*01", b"=", b"=", b";", b"; ", b"\"x\"", b"\"", b"utf-8", b"'", b"''", b"'en'",
         b"%41", b"%C3%A9", b"%", b"%zz", b"x", b" ", b"(c)", b"text/plain", b"utf-8''", b"\\", b"iso-8859-1'", b"*", b"\xc3\xa9", b"name",
         b"filename", b"\"utf-8''%41b\"", b"\"'\"", b"\"''\"", b"\"a'b'c\"", b"\"a''\"", b"/", b"?", b"=?utf-8?q?a?=", b"\"=?utf-8?q?=27=27x?=\"", b"0"]


def encoded_word(rnd):
    word = rnd.choice(WORDS)
    if rnd.random() < .5:
        word += rnd.choice(WORDS)
    kind = rnd.choice(b"qQbB")
    if rnd.random() < .02:
        kind = ord("x")
    if kind in b"bB":
        data = base64.b64encode(word)
        if rnd.random() < .3:
            data = data.rstrip(b"=")
        if rnd.random() < .2:
            at = rnd.randrange(len(data) + 1)
            data = data[:at] + rnd.choice([b"=", b" ", b"-", b"A", b"\xff", b"=="]) + data[at:]
    else:
        data = b"".join(b"=%02X" % c if rnd.random() < .2 or c in b" ?=\r\n\t_" or c >= 0x80 and rnd.random() < .8 else bytes([c]) for c in word)
        data = data.replace(b"=20", b"_") if rnd.random() < .5 else data
    return b"=?" + rnd.choice(CHARSETS[:6] if rnd.random() < .7 else CHARSETS) + b"?%c?" % kind + data + (b"?=" if rnd.random() < .97 else b"?")


def piece(rnd):
    r = rnd.random()
    if r < .22:
        return rnd.choice(PLAIN)
    if r < .50:
        return rnd.choice(SIGNS)
    if r < .68:
        return rnd.choice(SPACE)
    if r < .75:
        return rnd.choice(ODD)
    if r < .88:
        return rnd.choice(FORMS)
    return encoded_word(rnd)


def value(rnd, name):
    r = rnd.random()
    n = rnd.choice([1, 2, 3, 3, 4, 5, 6, 8, 12])
    if name == b"Date" and r < .7:
        return b" ".join(rnd.choice(DATE) for _ in range(n))
    if name in MIME and r < .7:
        return rnd.choice([b"", b"text/plain;", b"a;", b" x/y ;"]) + b"".join(rnd.choice(PARAM) for _ in range(n + 2))
    if r < .08:
        # every character counts: short texts of signs only
        return b"".join(rnd.choice(SIGNS + SPACE[:2] + [b"a"]) for _ in range(n))
    text = b"".join(piece(rnd) for _ in range(n))
    if r < .2 and text:
        at = rnd.randrange(len(text))
        text = text[:at] + rnd.choice([b"", rnd.choice(SIGNS), rnd.choice(ODD)]) + text[at + 1:]
    return text


def generated(count, seed):
    rnd = random.Random(seed)
    for _ in range(count):
        r = rnd.random()
        name = rnd.choice(ADDRESS if r < .5 else MIME if r < .7 else OTHER)
        yield name, value(rnd, name)


def headers_of(mail):
    """(name, raw value) of each header field of a mail."""
    head = re.split(rb"\r?\n\r?\n", mail, maxsplit=1)[0]
    for field in re.split(rb"\r?\n(?![ \t])", head):
        name, colon, raw = field.partition(b":")
        if colon and re.fullmatch(rb"[!-9;-~]+", name):
            yield name, raw


def cases():
    for name in ("tools.jsonl", "route.jsonl"):
        with open(os.path.join(HERE, name), encoding="utf-8") as fh:
            for line in fh:
                case = json.loads(line)
                if case.get("fn") == "header":
                    yield from headers_of(as_bytes(case["arg"]))
                elif "mail" in case:
                    yield from headers_of(as_bytes(case["mail"]))


def as_bytes(text):
    if isinstance(text, dict):
        text = text.get("b64") or text.get("base64") or ""
        return base64.b64decode(text)
    return text.encode("utf-8", "surrogateescape")


def python_reads(name, raw):
    try:
        message = email.message_from_bytes(name + b":" + raw + b"\r\n\r\n", policy=email.policy.SMTP)
        return str(message[name.decode()]).encode()
    except Exception:     # whatever it is, Odoo does not survive it
        return None


def foldable(raw):
    """A line break that is not followed by a blank would end the header."""
    raw = re.sub(rb"(\r\n|\r|\n)(?![ \t])", b"", raw)
    return re.sub(rb"[\r\n]+$", b"", raw)


def main():
    args = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    args.add_argument("tool")
    args.add_argument("-n", type=int, default=20000)
    args.add_argument("-s", type=int, default=1)
    args.add_argument("-v", action="store_true")
    args = args.parse_args()
    questions = [(n, foldable(r)) for n, r in [*cases(), *generated(args.n, args.s)]]
    text = b"".join(n + b"\t" + base64.b64encode(r) + b"\n" for n, r in questions)
    answers = subprocess.run([args.tool], input=text, stdout=subprocess.PIPE, check=True).stdout.splitlines()
    assert len(answers) == len(questions), (len(answers), len(questions))
    bad = raised = 0
    for (name, raw), answer in zip(questions, answers):
        want = python_reads(name, raw)
        word, _tab, got = answer.partition(b"\t")
        raised += want is None
        got = base64.b64decode(got) if word == b"OK" else None
        if (word == b"LIMIT") or got != want:
            bad += 1
            if bad <= 20 or args.v:
                print(f"{name.decode()}: {raw!r}\n  python: {want!r}\n  ours:   {got!r} {word.decode()}")
    print(f"{raised} of them Python raises on")
    print(f"header: {len(questions) - bad} passed, {bad} failed")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
