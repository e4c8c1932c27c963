#include "postern/dkim_sign.h"

#include "dkim_canon.h"
#include "dkim_key_internal.h"
#include "dkim_signature.h"
#include "dkim_tags.h"

enum {
	HEADER_SIZE = 1024 * 1024,	/* of what is signed */
	OCCURRENCES = 16,		/* of one name */
	LINE = 72,
	B_LINE = 64,
};

/* RFC 6376 section 5.4.1, and what a mail program shows or acts on.  Of which there is one at most h= names
 * one more than there are, so that nobody can add another: what a reader takes for author, recipient or
 * subject also where it is missing, the others, which relays add, only where they are.  Mailing lists add
 * the rest. */
static const struct signed_field {
	struct pn_str name;
	enum { NEVER, IF_THERE, ALWAYS } once_more;
	bool date;			/* some relays write their own: pn_dkim_signing.dates_change */
} signed_fields[] = {
	{ { "From", 4 }, ALWAYS, false },
	{ { "Reply-To", 8 }, ALWAYS, false },
	{ { "Subject", 7 }, ALWAYS, false },
	{ { "Date", 4 }, IF_THERE, true },
	{ { "Message-ID", 10 }, IF_THERE, true },
	{ { "To", 2 }, ALWAYS, false },
	{ { "Cc", 2 }, ALWAYS, false },
	{ { "In-Reply-To", 11 }, IF_THERE, false },
	{ { "References", 10 }, IF_THERE, false },
	{ { "MIME-Version", 12 }, IF_THERE, false },
	{ { "Content-Type", 12 }, IF_THERE, false },
	{ { "Content-Transfer-Encoding", 25 }, IF_THERE, false },
	{ { "Sender", 6 }, NEVER, false },
	{ { "Resent-From", 11 }, NEVER, false },
	{ { "Resent-Date", 11 }, NEVER, false },
	{ { "Resent-To", 9 }, NEVER, false },
	{ { "Resent-Cc", 9 }, NEVER, false },
	{ { "Resent-Message-ID", 17 }, NEVER, false },
	{ { "List-Id", 7 }, NEVER, false },
	{ { "List-Help", 9 }, NEVER, false },
	{ { "List-Unsubscribe", 16 }, NEVER, false },
	{ { "List-Unsubscribe-Post", 21 }, NEVER, false },
	{ { "List-Subscribe", 14 }, NEVER, false },
	{ { "List-Post", 9 }, NEVER, false },
	{ { "List-Owner", 10 }, NEVER, false },
	{ { "List-Archive", 12 }, NEVER, false },
};

struct work {
	const struct pn_dkim_signing *how;
	struct pn_arena *arena;
	struct pn_str names;		/* h=, in lines */
	struct pn_str body_hash;	/* bh= */
	struct pn_buf header;		/* the signed fields in canonical form */
};

/* -- h= -- */

struct names {
	struct pn_buf buf;
	size_t column;
};

static void
add_name(struct names *names, struct pn_str name)
{
	if (names->buf.n > 0)
		pn_buf_add_char(&names->buf, ':');
	if (names->column + name.n > LINE) {
		pn_buf_add(&names->buf, PN_STR("\n\t"));
		names->column = 8;
	}
	pn_buf_add(&names->buf, name);
	names->column += name.n + 1;
}

static bool
has_long_line(const struct pn_field *field)
{
	struct pn_str rest = field->raw, line;
	size_t before = field->name.n + 1;

	for (; pn_str_split(&rest, '\n', &line); before = 0)
		if (before + line.n - pn_str_ends(line, PN_STR("\r")) > PN_DKIM_LINE_MAX)
			return true;
	return false;
}

/* A name stands before its last occurrence first (RFC 6376 section 5.4.2). */
static enum pn_status
add_fields(struct work *work, struct pn_fields fields, const struct signed_field *row, struct names *names,
    struct pn_error *err)
{
	struct pn_str name = row->name;
	size_t n = 0;

	for (size_t i = fields.n; i-- > 0;) {
		if (!pn_str_eq_nocase(fields.v[i].name, name))
			continue;
		if (++n > OCCURRENCES)
			return pn_fail(err, PN_LIMIT, "more than %d fields " PN_STR_FMT, OCCURRENCES,
			    PN_STR_ARG(name));
		if (has_long_line(&fields.v[i]))
			return pn_fail(err, PN_LIMIT, "a line of more than %d bytes in " PN_STR_FMT,
			    PN_DKIM_LINE_MAX, PN_STR_ARG(name));
		add_name(names, name);
		pn_dkim_canon_field(&fields.v[i], work->how->relaxed_header, &work->header);
	}
	if (row->once_more == ALWAYS || (row->once_more == IF_THERE && n > 0))
		add_name(names, name);
	return PN_OK;
}

static enum pn_status
select_fields(struct work *work, struct pn_fields fields, struct pn_error *err)
{
	struct names names = { .column = 10 };
	enum pn_status st = PN_OK;

	pn_buf_init(&names.buf, HEADER_SIZE);
	for (size_t i = 0; st == PN_OK && i < PN_COUNT(signed_fields); i++)
		if (!signed_fields[i].date || !work->how->dates_change)
			st = add_fields(work, fields, &signed_fields[i], &names, err);
	work->names = pn_arena_dup(work->arena, pn_buf_str(&names.buf));
	pn_buf_done(&names.buf);
	if (st == PN_OK && pn_buf_failed(&work->header))
		st = pn_fail(err, PN_LIMIT, "the header is too large to be signed");
	return st;
}

/* -- one signature -- */

static struct pn_str
base64(const unsigned char *bytes, size_t n, struct pn_arena *arena)
{
	unsigned char *text = pn_arena_alloc(arena, (n + 2) / 3 * 4 + 1);

	return pn_str_n((const char *)text, (size_t)EVP_EncodeBlock(text, bytes, (int)n));
}

static enum pn_status
check_signer(const struct pn_dkim_signer *signer, struct pn_error *err)
{
	const struct pn_dkim_signature asked = { .domain = signer->domain, .identity = signer->identity };
	struct pn_str i = signer->identity;

	if (!pn_dkim_is_name(signer->domain) || !pn_dkim_is_name(signer->selector))
		return pn_fail(err, PN_INVALID, "domain or selector of a signature is no host name");
	if (i.n == 0)
		return PN_OK;
	for (size_t k = 0; k < i.n; k++)
		if (!pn_is_alnum(i.p[k]) && memchr("@.-_+", i.p[k], 5) == NULL)
			return pn_fail(err, PN_INVALID, "identity of a signature with odd characters");
	if (pn_str_find(i, '@') == PN_STR_NONE || pn_str_find(i, '@') != pn_str_find_last(i, '@')
	    || !pn_dkim_is_below(pn_dkim_identity_domain(&asked), signer->domain))
		return pn_fail(err, PN_INVALID, "identity of a signature outside of its domain");
	return PN_OK;
}

static struct pn_str
unsigned_field(const struct work *work, const struct pn_dkim_signer *signer)
{
	const struct pn_dkim_signing *how = work->how;
	struct pn_str identity = PN_STR_EMPTY, expires = PN_STR_EMPTY;

	if (signer->identity.n > 0)
		identity = pn_arena_printf(work->arena, "\n\ti=" PN_STR_FMT ";",
		    PN_STR_ARG(signer->identity));
	if (how->lifetime > 0)
		expires = pn_arena_printf(work->arena, " x=%lld;", (long long)(how->now + how->lifetime));
	return pn_arena_printf(work->arena,
	    " v=1; a=%s-sha256; c=%s/%s;\n\td=" PN_STR_FMT ";\n\ts=" PN_STR_FMT
	    "; t=%lld;" PN_STR_FMT PN_STR_FMT "\n\th=" PN_STR_FMT ";\n\tbh=" PN_STR_FMT ";\n\tb=",
	    pn_dkim_key_type_name(signer->key->type), how->relaxed_header ? "relaxed" : "simple",
	    how->relaxed_body ? "relaxed" : "simple", PN_STR_ARG(signer->domain),
	    PN_STR_ARG(signer->selector), (long long)how->now, PN_STR_ARG(expires), PN_STR_ARG(identity), PN_STR_ARG(work->names),
	    PN_STR_ARG(work->body_hash));
}

/* The signed fields, then this one with an empty b= and without its CRLF (RFC 6376 section 3.7). */
static bool
hash_header(struct work *work, const struct pn_field *field, unsigned char hash[PN_DKIM_HASH_SIZE])
{
	size_t before = work->header.n;
	bool ok;

	pn_dkim_canon_field(field, work->how->relaxed_header, &work->header);
	ok = !pn_buf_failed(&work->header)
	    && EVP_Digest(work->header.p, work->header.n - 2, hash, NULL, EVP_sha256(), NULL) == 1;
	work->header.n = before;
	return ok;
}

/* The field with its b=, in lines. */
static struct pn_str
signed_field(struct pn_str raw, const unsigned char *bytes, size_t n, struct pn_arena *arena)
{
	struct pn_strs_builder lines = { .arena = arena };

	for (struct pn_str b = base64(bytes, n, arena); b.n > 0; b = pn_str_from(b, B_LINE))
		pn_strs_add(&lines, pn_str_head(b, B_LINE));
	return pn_arena_printf(arena, PN_STR_FMT PN_STR_FMT, PN_STR_ARG(raw),
	    PN_STR_ARG(pn_strs_join(lines.list, PN_STR("\n\t "), arena)));
}

static enum pn_status
sign(struct work *work, const struct pn_dkim_signer *signer, struct pn_field *out, struct pn_error *err)
{
	struct pn_field field = { PN_STR("DKIM-Signature"), unsigned_field(work, signer) };
	unsigned char hash[PN_DKIM_HASH_SIZE], bytes[PN_DKIM_SIGNATURE_SIZE];
	size_t n;

	if (!hash_header(work, &field, hash))
		return pn_fail(err, PN_TEMPFAIL, "the header cannot be hashed");
	if (pn_dkim_key_sign(signer->key, hash, bytes, &n, err) != PN_OK)
		return pn_fail_in(err, PN_TEMPFAIL, PN_STR_FMT "/" PN_STR_FMT, PN_STR_ARG(signer->domain),
		    PN_STR_ARG(signer->selector));
	field.raw = signed_field(field.raw, bytes, n, work->arena);
	*out = field;
	return PN_OK;
}

/* A key that does not sign now does not hold up the others. */
static enum pn_status
sign_all(struct work *work, const struct pn_dkim_signer *signers, size_t n, struct pn_field *out, struct pn_error *err)
{
	size_t signed_n = 0;
	enum pn_status st;

	for (size_t i = 0; i < n; i++) {
		out[i] = (struct pn_field){ PN_STR_EMPTY, PN_STR_EMPTY };
		st = check_signer(&signers[i], err);
		if (st != PN_OK)
			return st;
		if (sign(work, &signers[i], &out[i], signed_n == i ? err : NULL) == PN_OK)
			signed_n++;
	}
	return signed_n > 0 || n == 0 ? PN_OK : PN_TEMPFAIL;
}

static bool
has_from(struct pn_fields fields)
{
	for (size_t i = 0; i < fields.n; i++)
		if (pn_str_eq_nocase(fields.v[i].name, PN_STR("From")))
			return true;
	return false;
}

enum pn_status
pn_dkim_sign(struct pn_fields fields, const unsigned char body[PN_DKIM_HASH_SIZE],
    const struct pn_dkim_signer *signers, size_t n, const struct pn_dkim_signing *how, struct pn_arena *arena,
    struct pn_field *out, struct pn_error *err)
{
	struct work work = { .how = how, .arena = arena };
	enum pn_status st;

	if (!has_from(fields))
		return pn_fail(err, PN_INVALID, "a mail without From is not signed");
	work.body_hash = base64(body, PN_DKIM_HASH_SIZE, arena);
	pn_buf_init(&work.header, HEADER_SIZE);
	st = select_fields(&work, fields, err);
	if (st == PN_OK)
		st = sign_all(&work, signers, n, out, err);
	pn_buf_done(&work.header);
	return st;
}
