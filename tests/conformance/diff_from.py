#!/usr/bin/python3
"""Compares pn_from_identity() with how programs in Python read a From field.

    diff_from.py TOOL [-n FIELDS] [-s SEED] [-v]

TOOL is the built from_tool.  Where it names one author domain, no reader may see another: not Odoo's, not one that
decodes before it parses, not one that does not decode.  Ends with "from: N passed, M failed"; exit 1 if any failed.
"""
import argparse
import email
import email.policy
import email.utils
import random
import re
import subprocess
import sys
from email.header import decode_header, make_header

PIECES = [p.encode() for p in [
    "a@evil.test", "ceo@victim.test", "<", ">", "\"", "(", ")", ",", ",", ";", ":", "@", "\\", " ", "  ", "\t", "victim.test",
    "evil.test", "ceo", "x", "xn--", ".", "[", "]", "'", "`", "|", "%", "!", "_", "<a@evil.test>", "<ceo@victim.test>",
    "\"ceo@victim.test\"", "=?utf-8?q?", "=?us-ascii?q?", "?=", "=40", "=3C", "=3E", "=22", "=2C", "=0A", "=0D", "=00", "=20",
    "=5C", "=28", "=29", "=?utf-8?b?PGNlb0B2aWN0aW0udGVzdD4=?=", "=?utf-8?b?Y2VvQHZpY3RpbS50ZXN0?=", "=?utf-8?b?QHZpY3RpbS50ZXN0?=",
    "\u0080", "\u00a0", "\u2028", "\u3000", "\uff0c", "\uff20"]] + [b"\0", b"\x0b", b"\x0c", b"\x1c", b"\x85", b"\xff"]
ENDS = [b"<a@evil.test>", b" <a@evil.test>", b"a@evil.test", b"]<a@evil.test>", b"\"]<a@evil.test>", b", a@evil.test"]


def fields(count, seed):
    rnd = random.Random(seed)
    for _ in range(count):
        text = b"".join(rnd.choice(PIECES) for _ in range(rnd.randint(1, 11)))
        yield text + (rnd.choice(ENDS) if rnd.random() < .6 else b"")


def readings(raw):
    """The texts that programs see."""
    mail = b"From: " + raw + b"\n\nx\n"
    yield lambda: str(email.message_from_bytes(mail, policy=email.policy.SMTP)["From"])
    yield lambda: str(make_header(decode_header(str(email.message_from_bytes(mail)["From"]))))
    yield lambda: raw.decode("utf-8", "replace")


def domains(raw):
    for read in readings(raw):
        try:
            text = read()
            found = [email.utils.parseaddr(text), *email.utils.getaddresses([text])]
        except Exception:  # noqa: BLE001  a reader that gives up sees nobody
            continue
        for _name, address in found:
            if "@" in address:
                yield address.rpartition("@")[2]


def is_same(domain, author):
    """In other spelling, or with something behind it that no domain has."""
    return re.sub(r"[^a-z0-9_-]+$", "", domain.strip().lower()) == author


def main():
    args = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    args.add_argument("tool")
    args.add_argument("-n", type=int, default=20000)
    args.add_argument("-s", type=int, default=1)
    args.add_argument("-v", action="store_true")
    args = args.parse_args()
    questions = list(fields(args.n, args.s))
    text = "".join(raw.hex() + "\n" for raw in questions)
    answers = subprocess.run([args.tool], input=text, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    assert len(answers) == len(questions), (len(answers), len(questions))
    bad, certain = 0, 0
    for raw, author in zip(questions, answers):
        if author == "-":
            continue
        certain += 1
        others = [d for d in domains(raw) if not is_same(d, author)]
        if others:
            bad += 1
            if bad <= 20 or args.v:
                print(f"{raw!r}\n  ours: {author}\n  others: {others}")
    print(f"one author in {certain} of {len(questions)}")
    print(f"from: {certain - bad} passed, {bad} failed")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
