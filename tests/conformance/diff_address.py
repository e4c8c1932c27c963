#!/usr/bin/python3
"""Asks address_tool and model.py the same about generated texts and compares.

    diff_address.py TOOL [-n STRINGS] [--seed SEED] [-v]

The texts come from a small grammar of what address headers are made of, good and bad. Besides, the characters of
Unicode are lower-cased, stripped and sanitised one by one. Ends with "address: N passed, M failed"; exit 1 if any failed.
"""
import argparse
import base64
import itertools
import json
import random
import subprocess
import sys

import model

CHUNK = 20000

# -- what is asked ---------------------------------------------------------------


def fmt_ascii(name, addr):
    if name.isascii():
        return model.fmt(name, addr, "ascii")
    return "=?utf-8?b?%s?= <%s>" % (base64.b64encode(name.encode()).decode(), model.fmt("", addr, "ascii"))


def encapsulate(old, wrapper):
    first, second = model.pairs(old), model.pairs(wrapper)
    if not first:
        return old
    if not second:
        return None
    return model.fmt(first[0][0] or first[0][1].split("@")[0], second[0][1])


def allowed(text):
    parts = [p.strip().lower() for p in text.split(",") if p.strip()]
    if not parts:
        raise ValueError("nothing allowed")
    return ",".join(parts)


ONE = {
    "getaddresses": lambda t: [list(p) for p in model.pairs(t)],
    "email_split": lambda t: [list(p) for p in model.split(t)],
    "email_normalize": model.normalize,
    "email_normalize_loose": lambda t: model.normalize(t, strict=False),
    "email_domain_extract": model.domain_of,
    "email_split_and_format_normalize": lambda t: [model.fmt(n, model.lower_address(a)) for n, a in model.split(t)],
    "extract_rfc2822_addresses": model.smtp_addresses,
    "unfold_references": model.ids_in,
    "sanitize_allowed_domains": allowed,
    "lower": str.lower,
}
TWO = {
    "formataddr": lambda a: model.fmt(*a),
    "formataddr_ascii": lambda a: fmt_ascii(*a),
    "encapsulate_email": lambda a: encapsulate(*a),
    "match_from_filter": lambda a: model.matches_filter(*a),
}


def questions(text, other, rnd, most):
    """At most `most` of all functions, the parser always."""
    found = [({"fn": fn, "arg": text}, call, text) for fn, call in ONE.items()]
    found += [({"fn": fn, "arg": [text, other]}, call, [text, other]) for fn, call in TWO.items()]
    found += sanitizes(text)
    return found[:1] + (rnd.sample(found[1:], most - 1) if most < len(found) else found[1:])


def sanitizes(text):
    for is_email in (False, True):
        yield {"op": "sanitize_alias", "name": text, "is_email": is_email}, None, None


def expected(question, call, arg):
    if call is None:
        return {"name": model.sanitize(question["name"], question["is_email"])}
    try:
        return {"value": call(arg)}
    except Exception:  # noqa: BLE001  whatever Python raises, the answer is "error"
        return {"error": True}


# -- texts -------------------------------------------------------------------------

WORDS = ["a", "b.c", "sales", "Jane Doe", "MAILER-DAEMON", "x+y", "d-e", "acme.example", "ACME.Example", "b.c.", ".c", "10.0.0.1",
         "a@b.c", "d@e.f", "info@acme.example", "jane@sub.acme.example", "ceo@ACME.example", "=?utf-8?q?=C3=BC?=", "False",
         "mailto", "undisclosed-recipients", "Team", "co", "museum", "x" * 70, "a@" + "b" * 70 + ".co"]
MARKS = list("@@@@@<>()[]:;,.\"\\ ") + ["\t", "\r", "\n", "\r\n ", "  ", ", ", "; ", ": ", "<>", "()", "\"\"", "\\\"", "\\(", "(x)", "( y )", "<@r:", "@r,@s:",
         "..", "--", "xn--", "%", "+", "'", "=", "?", "*", "/", "~", "_", "\0", "\x0b", "\x1c", "\x1f", "\x7f"]
LETTERS = list("ÜüßİıΣσςΑαÉéŁłÆøК日本ひアأبא１ＡＢ＠．。ﬁ①½²ªµ😀🤝・") + [
    "\u0301", "\u0307", "\u0308", "\u0345", "\u00a0", "\u00ad", "\u0085", "\u1680", "\u2003", "\u2028", "\u200b", "\u200c", "\u200d", "\u3000",
    "\ufeff", "\ufffd", "\u1e9e", "\u2126", "\u212a", "\u2024", "\u02b0", "\u0149", "\u01c5", "\ufb03", "\ufdfa", "\u1fb3", "\uac00", "\u0130",
    "\U00010400", "\U0001d400", "\u0660", "\u2460", "\u3007", "\u00b7", "\u2019", "xn--tda", "bücher.example", "ü@ü.example"]


class Texts:
    def __init__(self, seed):
        self.rnd = random.Random(seed)
        self.shapes = [self.soup, self.soup, self.word, self.listing, self.mailbox, self.mailbox, self.group, self.ids, self.domain]

    def pick(self, *lists):
        return self.rnd.choice(self.rnd.choice(lists))

    def some(self, fn, most):
        return "".join(fn() for _ in range(self.rnd.randint(0, most)))

    def soup(self):
        return self.some(lambda: self.pick(WORDS, MARKS, MARKS, LETTERS), 12)

    def word(self):
        return self.some(lambda: self.pick(WORDS, LETTERS, "aBcXyZ019.-_ "), 4)

    def quoted(self):
        return self.rnd.choice(['"%s"', '"%s', "(%s)", "(%s", "[%s]", "%s"]) % self.some(lambda: self.pick(WORDS, MARKS, LETTERS), 4)

    def domain(self):
        label = lambda: self.some(lambda: self.pick(LETTERS, "abcXYZ019-_", ["xn--", "b", "acme"]), 3)  # noqa: E731
        return self.rnd.choice([".", ".", ".", "。", ".."]).join(label() for _ in range(self.rnd.randint(1, 4)))

    def spec(self):
        local = self.rnd.choice([self.word, self.quoted, self.word, lambda: ""])()
        return self.rnd.choice(["%s@%s", "%s@%s", "%s @ %s", "%s%s", "%s@@%s", "<%s@%s"]) % (
            local, self.rnd.choice([self.domain, lambda: self.pick(WORDS), self.quoted])())

    def mailbox(self):
        shape = self.rnd.choice(["%s <%s>", "%s <%s>", "%s %s", "%s<%s", "%s <@r.example,@s:%s>", "(%s) %s", "%s", "<%s>"])
        if shape.count("%s") == 1:
            return shape % self.spec()
        return shape % (self.rnd.choice([self.word, self.quoted, self.soup])(), self.spec())

    def group(self):
        return "%s:%s;%s" % (self.word(), self.listing(), self.rnd.choice(["", ",", ";", self.mailbox()]))

    def listing(self):
        return self.rnd.choice([",", ", ", ";", " ", ",,", "\r\n ,"]).join(self.mailbox() for _ in range(self.rnd.randint(0, 4)))

    def ids(self):
        return self.some(lambda: self.rnd.choice(["<%s>", "<%s", "%s>", " <%s@b> ", "<<%s>>", "<\r\n %s>"]) % self.soup(), 4)

    def next(self):
        return self.rnd.choice(self.shapes)()


# where letters, marks and forms of letters are; of the rest the quick run takes a sample
DENSE = [(0, 0x3000), (0xa640, 0xac00), (0xf900, 0x10000), (0x10400, 0x10500), (0x1d400, 0x1d500), (0x1e900, 0x1e960)]


def each_character(everything):
    codes = [c for c in range(0x110000) if not 0xd800 <= c < 0xe000
             and (everything or c % 61 == 0 or any(a <= c < b for a, b in DENSE))]
    for start in range(0, len(codes), 128):
        block = [chr(c) for c in codes[start:start + 128]]
        for shape in ("Σ%s", "%sΣ", "aΣ%sb", "a%sΣ", "%s|"):
            text = "-".join(shape % c for c in block)
            yield {"fn": "lower", "arg": text}, str.lower, text
        for text in ("".join(block), "+x+".join(block)):
            yield from sanitizes(text.replace("@", ""))
        for fn, text in (("getaddresses", "".join("<a.%s@b>," % c for c in block)),
                         ("sanitize_allowed_domains", "".join("%sx%s," % (c, c) for c in block))):
            yield {"fn": fn, "arg": text}, ONE[fn], text


# -- the comparison ----------------------------------------------------------------


def ask(tool, batch):
    text = "".join(json.dumps(q) + "\n" for q, _call, _arg in batch)
    done = subprocess.run([tool], input=text, capture_output=True, text=True, encoding="utf-8", check=True)
    lines = done.stdout.split("\n")
    assert len(lines) == len(batch) + 1, "the tool gave %d answers to %d questions" % (len(lines) - 1, len(batch))
    return lines


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tool")
    parser.add_argument("-n", type=int, default=20000, help="texts to try")
    parser.add_argument("--seed", type=int, default=19)
    parser.add_argument("--all", action="store_true", help="ask every function for every text, and all of Unicode")
    parser.add_argument("-v", action="store_true", help="show up to 1000 differences")
    args = parser.parse_args()
    texts = Texts(args.seed)
    most = 99 if args.all else 5
    generated = (questions(texts.next(), texts.next(), texts.rnd, most) for _ in range(args.n))
    asked = itertools.chain(each_character(args.all), itertools.chain.from_iterable(generated))
    passed = failed = 0
    while batch := list(itertools.islice(asked, CHUNK)):
        for question, line in zip(batch, ask(args.tool, batch)):
            want, have = expected(*question), json.loads(line)
            if want == have or ("error" in want and "error" in have):
                passed += 1
                continue
            failed += 1
            if failed <= (1000 if args.v else 5):
                print(json.dumps(question[0]), "\n   want", ascii(want), "\n   have", ascii(have))
    print("address: %d passed, %d failed" % (passed, failed))
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
