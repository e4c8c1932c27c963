#!/usr/bin/python3
"""Differential test of the MIME walk: random messages, broken in many ways, asked of Python's email
package (as Odoo uses it) and of lib/core/mime*.c (tests/conformance/mime_tool.c).

    diff_mime.py TOOL [--count N] [--seed N] [--show N] [--save DIR]
"Not known" is never counted as a difference, but how often it is said is printed.  Every message of
route.jsonl beside this file is asked as well.  Exit 1 on any difference.
"""
import argparse
import base64
import email
import email.policy
import json
import os
import random
import struct
import subprocess
import sys
import warnings

import model

if hasattr(email.policy.SMTP, "verify_generated_headers"):
    # a later patch of Debian's Python 3.11; the reference ran without it
    email.policy.SMTP = email.policy.SMTP.clone(verify_generated_headers=False)

HERE = os.path.dirname(os.path.abspath(__file__))
UNKNOWN, NO, YES = 0, 1, 2
warnings.simplefilter("ignore")

TYPES = ["text/plain"] * 8 + ["text/html"] * 5 + [
    "multipart/mixed", "multipart/alternative", "multipart/related", "multipart/report", "multipart/report", "multipart/digest",
    "message/rfc822", "message/rfc822", "message/delivery-status", "message/delivery-status", "text/rfc822-headers",
    "text/rfc822-headers", "message/partial", "message/external-body", "message/global", "message/disposition-notification",
    "application/pdf", "application/octet-stream", "image/png", "audio/x", "video/mp4", "text/calendar", "text/x-amp-html",
    "font/woff", "model/x", "chemical/x-pdb", "binary/octet-stream", "*/*", "text", "", "multipart", "multipart/", "/plain",
    "text/plain/x", '"multipart/mixed"', "multipart /mixed", "TEXT/PLAIN", "Multipart/Mixed", "tex\x01t/plain", "message", "text/"]
CHARSETS = ["utf-8"] * 6 + ["us-ascii", "iso-8859-1", "ISO_8859-15", "windows-1252", "bogus", "x-user-defined", "unknown-8bit", "default",
            "utf8mb4", "", "hex", "base64", "rot13", "cp-850", "874", "windows-874", "iso-8859-8-i", "iso-8859-8-e", "iso-8859-8-x",
            "utf 8", "utf--8", " utf-8 ", "latin.1", "utf-16", "utf-7", "undefined", "idna", "punycode", "mbcs", "oem", "gb2312",
            "shift_jis", "cp037", "ansi_x3.4-1968", "UTF.8", "koi8-r", "\xe9", "utf-8\x00", "raw_unicode_escape", "big5hkscs"]
CTES = ["7bit", "8bit", "base64", "quoted-printable", "BASE64", "x-uuencode", "uue", "binary", "bogus", "", "base64 ", "8 bit",
        "quoted-printable (x)", "=", '"base64"', "base64;"]
WORDS = ["hello", "world", "--", "-- ", "a=3Db", "=", "From me", "x: y", "", "", " indented", "\xe9t\xe9", "\x00", "begin 644 x", "end",
         "aGVsbG8=", "====", "\t", "\x0c", "Content-Type: font/woff", "Content-Type: text/plain; charset=bogus", "<a@b>", "\xc2\xa0"]
IDS = ["<a@b.example>", "<x-openerp-1-crm.lead@host>", "(c) <y@z>", "<a@b", "a@b>", "<>", "<a@b> <c@d>", "\xe9<q@r>", "=?utf-8?q?=3Ca=40b=3E?=",
       "<a\r\n @b>", "<a b@c>", "", " ", "<[x]@y>", "<x@[1.2.3.4]>", "\"q\"", "<" + "i" * 100 + "@host.example>"]
FINALS = ["rfc822; joe@example.com", "rfc822;joe@example.com", "joe@example.com", "RFC822; <joe@example.com>", "rfc822; a;b", "x;", ";",
          "utf-8; j\xc3\xb6@x.example", "rfc822;\r\n joe@example.com", "rfc822; =?utf-8?q?joe?=@x.example", "rfc822; joe (c)"]


class Maker:
    def __init__(self, rng):
        self.rng = rng
        self.boundaries = []

    def pick(self, seq):
        return seq[self.rng.randrange(len(seq))]

    def chance(self, p):
        return self.rng.random() < p

    def eol(self):
        return self.pick(self.eols)

    def lines(self, n):
        out = []
        for _ in range(self.rng.randrange(n + 1)):
            line = " ".join(self.pick(WORDS) for _ in range(self.rng.randrange(4)))
            if self.boundaries and self.chance(0.06):
                line = self.pick(["--", "--", "-", ""]) + self.pick(self.boundaries) + self.pick(["", "--", "--", " ", "-- \t", "x", "-"])
            out.append(line + self.eol())
        return "".join(out)

    def boundary(self):
        kind = self.rng.random()
        if kind < 0.15 and self.boundaries:
            return self.pick(self.boundaries) + self.pick(["", "x", "--", "-"])
        if kind < 0.2:
            return self.pick(["", " ", "a b", "=_?;x", "\xe9", "b:c", "<b>", '"q"', "x ", "b\\q", "z" * 300, "--", "_(1)_"])
        return "b%d" % self.rng.randrange(40)

    def param(self, name, value):
        form = self.rng.random()
        if form < 0.55:
            return '; %s="%s"' % (name, value.replace("\\", "\\\\").replace('"', '\\"') if self.chance(0.8) else value)
        if form < 0.85:
            return "; %s=%s" % (name, value)
        return self.pick([
            "; %s*=utf-8''%s" % (name, value), ";%s = %s" % (name.upper(), value), "; %s*0=%s; %s*1=%s" % (name, value[:2], name, value[2:]),
            ";\r\n\t%s=%s" % (name, value), "; %s" % name, "; %s=" % name, "; (c) %s=%s (d)" % (name, value), "; %s=\"%s" % (name, value),
            " %s=%s" % (name, value), "; %s=%s;" % (name, value), ";;%s='%s'" % (name, value), "; %s=%s; %s=other" % (name, value, name),
            "; x=\"a;%s=no\"; %s=%s" % (name, name, value), "; %s*=%s" % (name, value), "; x=\"\\\\\"; %s=%s" % (name, value),
            "; %s*0*=us-ascii'en'%s" % (name, value), "; x=\x0by; %s=%s" % (name, value)])

    def type_header(self, kind, boundary):
        value = kind
        if self.chance(0.03):
            value = self.pick([" " + kind, kind + " (c)", "=?utf-8?q?%s?=" % kind, "(x) " + kind, kind + " junk", kind + "\x0b"])
        params = []
        if boundary is not None:
            params.append(self.param("boundary", boundary))
        if (kind.lower().startswith("text") or self.chance(0.05)) and self.chance(0.5):
            params.append(self.param("charset", self.pick(CHARSETS)))
        if self.chance(0.1):
            params.append(self.param("name", self.pick(["a.txt", "", " ", "\xe9", '""'])))
        if self.chance(0.05):
            params.append("; report-type=delivery-status")
        self.rng.shuffle(params)
        return self.pick(["Content-Type: ", "content-type:", "Content-TYPE:\t"]) + value + "".join(params) + self.eol()

    def extra_headers(self):
        out = []
        if self.chance(0.3):
            out.append("Content-Transfer-Encoding: " + self.pick(CTES))
        if self.chance(0.15):
            out.append("Content-Disposition: " + self.pick(["attachment", "inline", "attachment; filename=a.txt", "inline; filename=\"\"", " attachment",
                                                            "ATTACHMENT", "inline; filename=x", "", "attachmentx", "inline; filename*=utf-8''%20"]))
        if self.chance(0.1):
            out.append("MIME-Version: 1.0")
        if self.chance(0.3):
            out.append("Subject: " + self.pick(["x", "\xe9", "long " * 30, "=?utf-8?q?=C3=A9?="]))
        if self.chance(0.35):
            out.append(self.pick(["Message-ID", "Message-Id", "message-id"]) + ": " + self.pick(IDS))
        if self.chance(0.1):
            out.append("X-Microsoft-Original-Message-ID: " + self.pick(IDS))
        if self.chance(0.03):
            out.append(self.pick([" odd continuation", "From someone", ": no name", "no colon", "X y: z", "From: a@b.example", "\tx", "X\xe9: 1", ">From x"]))
        self.rng.shuffle(out)
        return "".join(line + self.eol() for line in out)

    def dsn(self):
        out = []
        for i in range(self.rng.randrange(4)):
            block = []
            if i == 0:
                block.append("Reporting-MTA: dns; mx.example")
            if self.chance(0.8):
                block.append(self.pick(["Final-Recipient", "final-recipient", "Final-recipient"]) + ": " + self.pick(FINALS))
            block += ["Action: failed", "Status: 5.1.1"]
            if self.chance(0.3):
                block.append("Diagnostic-Code: smtp; " + self.pick(["550 no", "550 " + "long words " * 12, "\xe9 " * 50, "x" * 200]))
            if self.chance(0.08):
                block.append(self.pick(["no header", "Content-Type: multipart/mixed; boundary=b1", "Content-Type: font/woff", "From x", " y",
                                        "Content-Type: text/plain; charset=bogus", "Content-Type: message/rfc822"]))
            out.append("".join(line + self.eol() for line in block))
        return self.pick(["", "", "\n"]) .join([self.eol().join(out)])

    def part(self, depth, kind=None):
        kind = kind or self.pick(TYPES)
        boundary = None
        low = kind.lower().strip('"')
        if low.startswith("multipart"):
            if depth <= 0:
                kind = low = "text/plain"
            elif self.chance(0.95):
                boundary = self.boundary()
                self.boundaries.append(boundary)
        head = self.type_header(kind, boundary) if self.chance(0.93) else ""
        if self.chance(0.02):
            head += self.type_header(self.pick(TYPES), None)
        head = head + self.extra_headers() if self.chance(0.5) else self.extra_headers() + head
        if self.chance(0.02):
            head = self.pick(["From me today", "From x"]) + self.eol() + head
        if low.startswith("multipart"):
            body = self.lines(2) if self.chance(0.3) else ""
            mark = boundary if boundary is not None else "b1"
            for _ in range(self.rng.randrange(1, 4)):
                body += "--" + mark + self.pick(["", "", "", " ", "\t"]) + self.eol()
                if self.chance(0.05):
                    body += "--" + mark + self.pick(["", "--"]) + self.eol()
                child = None
                if low == "multipart/report":
                    child = self.pick(["text/plain", "message/delivery-status", "message/rfc822", "text/rfc822-headers", None])
                body += self.part(depth - 1, child) + self.eol()
            if self.chance(0.85):
                body += "--" + mark + "--" + self.pick([self.eol(), ""])
                if self.chance(0.2):
                    body += self.lines(3)
        elif low == "message/delivery-status":
            body = self.dsn()
        elif low.startswith("message") and depth > 0:
            body = self.part(depth - 1)
        elif low == "text/rfc822-headers":
            body = self.extra_headers() + self.pick(["", self.eol() + self.lines(1), self.type_header(self.pick(TYPES), None)])
            if "base64" in head.lower() and self.chance(0.7):
                body = base64.encodebytes(body.encode("latin-1")).decode()
            if self.chance(0.05):
                body = body.replace("=", "=3D").replace("I", "=49")
        else:
            body = self.lines(4)
            if "base64" in head.lower() and self.chance(0.5):
                body = base64.encodebytes(body.encode("latin-1")).decode()
        if boundary is not None:
            self.boundaries.remove(boundary)
        return head + (self.eol() if self.chance(0.96) else "") + body

    def mutate(self, raw):
        raw = bytearray(raw)
        for _ in range(self.pick([0, 0, 0, 1, 1, 2, 5])):
            if not raw:
                break
            at = self.rng.randrange(len(raw))
            how = self.rng.randrange(7)
            if how == 0:
                raw[at] = self.rng.randrange(256)
            elif how == 1:
                del raw[at:]
            elif how == 2:
                del raw[at:at + self.rng.randrange(1, 20)]
            elif how == 3:
                raw[at:at] = bytes([self.pick([10, 13, 32, 9, 45, 58, 59, 34, 92, 0, 0xe9, 61, 42, 39])])
            elif how == 4:
                end = at + self.rng.randrange(1, 60)
                raw[at:at] = raw[at:end]
            elif how == 5:
                lines = bytes(raw).splitlines(True)
                del lines[self.rng.randrange(len(lines))]
                raw = bytearray(b"".join(lines))
            else:
                lines = bytes(raw).splitlines(True)
                i = self.rng.randrange(len(lines))
                lines.insert(self.rng.randrange(len(lines)), lines[i])
                raw = bytearray(b"".join(lines))
        return bytes(raw)

    def message(self):
        self.boundaries = []
        self.eols = self.pick([["\r\n"], ["\r\n"], ["\n"], ["\n"], ["\r"], ["\r\n", "\n", "\r"], ["\n", "\n", "\n\n"]])
        top = self.pick([None, None, "multipart/report", "multipart/report", "multipart/mixed", "multipart/alternative"])
        return self.mutate(self.part(self.rng.randrange(1, 5), top).encode("latin-1"))


def joined(part, name):
    return " ".join(h for h in part.get_all(name, []) if h)


def bounce_texts(msg):
    """What model.read_bounce() reads, before the world is asked; raises where that does."""
    parts = list(msg.walk())

    def first(*kinds):
        return next((p for p in parts if p.get_content_type() in kinds), None)
    inner = first("message/rfc822", "text/rfc822-headers")
    inner = inner if inner else first("multipart/report")
    dsn = first("message/delivery-status")
    out = {"has_dsn": bool(dsn and len(dsn.get_payload()) > 1), "final": "", "has_embedded": bool(inner), "mid": "", "ms": ""}
    if out["has_dsn"]:
        final = joined(dsn.get_payload()[1], "Final-Recipient")
        if ";" in final:
            out["final"] = final.split(";", 1)[1].strip()
    if inner:
        if inner.get_content_type() == "text/rfc822-headers":
            inner = email.message_from_string(inner.get_content(), policy=email.policy.SMTP)
        else:
            inner = inner.get_payload()[0]
        out["mid"] = joined(inner, "Message-Id")
        out["ms"] = joined(inner, "X-Microsoft-Original-Message-ID")
    return out


def python_says(raw):
    def parse():
        return email.message_from_bytes(raw, policy=email.policy.SMTP)
    try:
        msg = parse()
        out = {"type": msg.get_content_type()}
    except Exception as exc:  # noqa: BLE001
        return {"mail": YES, "bounce": YES, "why": "parse: %r" % exc}
    try:
        out.update(bounce_texts(msg))
    except Exception as exc:  # noqa: BLE001
        out["bounce"] = YES
        out["why"] = "bounce: %r" % exc
    # reading a bounce changes nothing; looking for what cannot be decoded does, but stops earlier in a bounce
    out["mail"] = YES if model.undecodable(msg, False) else NO
    if "bounce" not in out:
        out["bounce"] = YES if out["mail"] == YES and model.undecodable(parse(), True) else NO
    return out


class Tool:
    def __init__(self, path):
        self.proc = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, raw, how):
        self.proc.stdin.write(struct.pack(">IB", len(raw), how) + raw)
        self.proc.stdin.flush()
        line = self.proc.stdout.readline().decode()
        if not line:
            raise SystemExit("the tool died (%s) on:\n%r" % (self.proc.wait(), raw))
        f = line.rstrip("\n").split("\t")
        out = dict(zip(("mail", "bounce", "limit", "has_dsn", "has_embedded", "known"), map(int, f[:6])))
        out.update(zip(("type", "final", "mid", "ms"), (bytes.fromhex(t) for t in f[6:])))
        return out


def compare(want, have):
    """Differing keys, and whether anything was not known."""
    vague = have["mail"] == UNKNOWN or have["bounce"] == UNKNOWN or not have["known"]
    bad = [k for k in ("mail", "bounce") if have[k] not in (UNKNOWN, want[k])]
    if have["limit"] or want["bounce"] == YES:
        return bad, vague
    bad += [k for k in ("has_dsn", "has_embedded") if bool(have[k]) != want[k]]
    texts = ["type", "final"] + (["mid", "ms"] if have["known"] else [])
    bad += [k for k in texts if want[k].encode("utf-8", "surrogatepass") != have[k]]
    return bad, vague


def route_mails():
    with open(os.path.join(HERE, "route.jsonl"), encoding="utf-8") as fh:
        for line in fh:
            case = json.loads(line)
            if "mail_b64" in case:
                yield base64.b64decode(case["mail_b64"])
            elif "mail" in case:
                yield case["mail"].encode("utf-8", "surrogateescape")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tool")
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=5)
    args = parser.parse_args()
    tool, rng = Tool(args.tool), random.Random(args.seed)
    maker = Maker(rng)
    total = failed = unknown = 0
    unreadable = [0, 0]
    mails = list(route_mails())
    for i in range(args.count + len(mails)):
        raw = mails[i] if i < len(mails) else maker.message()
        want, have = python_says(raw), tool.ask(raw, rng.randrange(256))
        bad, vague = compare(want, have)
        total += 1
        unknown += vague
        unreadable[0] += want["mail"] == YES
        unreadable[1] += want["bounce"] == YES
        if bad:
            failed += 1
            if failed <= args.show:
                print("message %d: %s\n want %s\n have %s\n%r\n" % (i, bad, want, have, raw))
        if (i + 1) % 20000 == 0:
            print("... %d of %d" % (i + 1, args.count + len(mails)), file=sys.stderr)
    print("unreadable as mail %d, as bounce %d; not known %d" % (*unreadable, unknown))
    print("diff_mime: %d passed, %d failed" % (total - failed, failed))
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
