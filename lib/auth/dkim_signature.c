#include "dkim_signature.h"

#include "dkim_tags.h"

enum {
	B_SHOWN = 8,
	SHA1_BASE64 = 28,
	SHA256_BASE64 = 44,
	/* what libopendkim keeps of h=; it would verify with the rest cut off */
	SIGNED_NAMES_SIZE = 4000,
	SIGNED_NAMES = 256,
	IDENTITY_SIZE = 256,		/* what it reads of i= has room for no more, nor for its NUL */
};
static const uint64_t number_max = 999999999999;	/* RFC 6376 section 3.5: a time has 12 digits */

static bool
decide(struct pn_dkim_signature *signature, enum pn_dkim_result result, const char *reason)
{
	signature->result = result;
	signature->reason = pn_str_c(reason);
	return false;
}

static struct pn_str
name_or_empty(struct pn_str name)
{
	return pn_dkim_is_name(name) ? name : PN_STR_EMPTY;
}

bool
pn_dkim_is_below(struct pn_str domain, struct pn_str parent)
{
	if (domain.n <= parent.n)
		return pn_str_eq_nocase(domain, parent);
	return parent.n > 0 && domain.p[domain.n - parent.n - 1] == '.'
	    && pn_str_eq_nocase(pn_str_from(domain, domain.n - parent.n), parent);
}

struct pn_str
pn_dkim_identity_domain(const struct pn_dkim_signature *signature)
{
	size_t at = pn_str_find_last(signature->identity, '@');

	return at == PN_STR_NONE ? signature->domain : pn_str_from(signature->identity, at + 1);
}

static void
read_texts(const struct pn_dkim_tags *tags, struct pn_arena *arena, struct pn_dkim_signature *out)
{
	out->domain = name_or_empty(pn_arena_lower(arena, pn_dkim_tag_packed(tags, "d", arena)));
	out->selector = name_or_empty(pn_dkim_tag_packed(tags, "s", arena));
	out->algorithm = pn_str_head(pn_dkim_tag_packed(tags, "a", arena), 32);
	out->identity = pn_dkim_tag_packed(tags, "i", arena);
	out->b = pn_str_head(pn_dkim_tag_packed(tags, "b", arena), B_SHOWN);
}

/* -- each returns false when it has decided -- */

/* libopendkim leaves out of the hash what stands behind any "b=", and knows its own by that only. */
static bool
check_names(const struct pn_dkim_tags *tags, struct pn_dkim_signature *out)
{
	for (size_t i = 0; i < tags->n; i++) {
		struct pn_str name = tags->v[i].name;

		if (pn_str_ends(name, PN_STR("b")) && (name.n > 1 || name.p[name.n] != '='))
			return decide(out, PN_DKIM_NEUTRAL, "a tag that only looks like b=");
	}
	return true;
}

static bool
check_required(const struct pn_dkim_tags *tags, struct pn_dkim_signature *out)
{
	static const char *const required[] = { "v", "a", "b", "bh", "d", "h", "s" };
	const struct pn_str *v = pn_dkim_tag(tags, "v");

	for (size_t i = 0; i < PN_COUNT(required); i++)
		if (pn_dkim_tag(tags, required[i]) == NULL || pn_dkim_tag(tags, required[i])->n == 0)
			return decide(out, PN_DKIM_NEUTRAL, "a required tag is missing");
	if (!pn_str_eq(*v, PN_STR("1")))
		return decide(out, PN_DKIM_NEUTRAL, "unknown version");
	return true;
}

/* Each "=" begins a byte in hexadecimal (RFC 6376 section 2.11); libopendkim reads behind a "=" at the
 * end. */
static bool
is_quoted_printable(struct pn_str text)
{
	for (size_t i = 0; i < text.n; i++)
		for (size_t k = i + 1; text.p[i] == '=' && k <= i + 2; k++)
			if (k == text.n || memchr("0123456789ABCDEF", text.p[k], 16) == NULL)
				return false;
	return true;
}

static bool
check_identity(const struct pn_dkim_tags *tags, struct pn_dkim_signature *out)
{
	struct pn_str domain = pn_dkim_identity_domain(out);

	if (out->domain.n == 0 || out->selector.n == 0)
		return decide(out, PN_DKIM_NEUTRAL, "d= or s= is no host name");
	if (out->domain.n + out->selector.n + sizeof("._domainkey.") - 1 > 253)
		return decide(out, PN_DKIM_NEUTRAL, "the name of the key is too long");
	if (pn_dkim_tag(tags, "i") == NULL)
		return true;
	if (out->identity.n > IDENTITY_SIZE || pn_str_find(out->identity, '@') == PN_STR_NONE
	    || pn_str_find(out->identity, '@') != pn_str_find_last(out->identity, '@')
	    || !pn_dkim_is_name(domain) || !is_quoted_printable(out->identity))
		return decide(out, PN_DKIM_NEUTRAL, "i= is no identity");
	if (!pn_dkim_is_below(domain, out->domain))
		return decide(out, PN_DKIM_NEUTRAL, "i= is outside of d=");
	return true;
}

static bool
check_signed_names(const struct pn_dkim_tags *tags, struct pn_arena *arena, struct pn_dkim_signature *out,
    size_t *others)
{
	struct pn_str list = pn_dkim_tag_packed(tags, "h", arena), name;
	size_t names = 0;

	if (list.n > SIGNED_NAMES_SIZE)
		return decide(out, PN_DKIM_NEUTRAL, "h= is too long");
	if (!pn_dkim_list_has(list, PN_STR("From")))
		return decide(out, PN_DKIM_NEUTRAL, "From is not signed");
	while (pn_str_split(&list, ':', &name)) {
		if (name.n == 0 || ++names > SIGNED_NAMES)
			return decide(out, PN_DKIM_NEUTRAL, "h= is no list of header names, or too long");
		*others += pn_str_eq_nocase(name, PN_STR("DKIM-Signature"));
	}
	return true;
}

static bool
is_canonicalisation(struct pn_str name)
{
	return pn_str_eq(name, PN_STR("simple")) || pn_str_eq(name, PN_STR("relaxed"));
}

static bool
is_sha1(const struct pn_dkim_signature *signature)
{
	return pn_str_eq(signature->algorithm, PN_STR("rsa-sha1"));
}

static bool
check_method(const struct pn_dkim_tags *tags, struct pn_arena *arena, struct pn_dkim_signature *out)
{
	struct pn_str c = pn_dkim_tag_packed(tags, "c", arena), header = PN_STR_EMPTY;
	struct pn_str q = pn_dkim_tag_packed(tags, "q", arena);

	if (pn_dkim_tag(tags, "c") != NULL
	    && (!pn_str_split(&c, '/', &header) || !is_canonicalisation(header)
	    || (c.p != NULL && !is_canonicalisation(c))))
		return decide(out, PN_DKIM_NEUTRAL, "unknown canonicalisation");
	if (pn_dkim_tag(tags, "q") != NULL && !pn_dkim_list_has(q, PN_STR("dns/txt")))
		return decide(out, PN_DKIM_NEUTRAL, "unknown query method");
	if (!is_sha1(out) && !pn_str_eq(out->algorithm, PN_STR("rsa-sha256"))
	    && !pn_str_eq(out->algorithm, PN_STR("ed25519-sha256")))
		return decide(out, PN_DKIM_NEUTRAL, "unknown algorithm");
	return true;
}

static bool
check_hashes(const struct pn_dkim_tags *tags, struct pn_arena *arena, struct pn_dkim_signature *out)
{
	struct pn_str b = pn_dkim_tag_packed(tags, "b", arena), bh = pn_dkim_tag_packed(tags, "bh", arena), bytes;

	if (pn_dkim_base64(b, arena, &bytes) != PN_OK || bh.n != (is_sha1(out) ? SHA1_BASE64 : SHA256_BASE64)
	    || pn_dkim_base64(bh, arena, &bytes) != PN_OK)
		return decide(out, PN_DKIM_NEUTRAL, "b= or bh= is no signature");
	return true;
}

static bool
read_number(const struct pn_dkim_tags *tags, const char *name, int64_t *out)
{
	const struct pn_str *text = pn_dkim_tag(tags, name);
	uint64_t number = 0;

	if (text != NULL && !pn_str_to_u64(*text, number_max, &number))
		return false;
	*out = text == NULL ? -1 : (int64_t)number;
	return true;
}

/* Last: what is not accepted is at least a signature. */
static bool
check_policy(const struct pn_dkim_tags *tags, const struct pn_dkim_limits *limits,
    struct pn_dkim_signature *out)
{
	int64_t t, x, l;

	if (!read_number(tags, "t", &t) || !read_number(tags, "x", &x) || (t >= 0 && x >= 0 && x <= t))
		return decide(out, PN_DKIM_NEUTRAL, "t= or x= is no time, or x= is not after t=");
	if (t >= 0 && t < PN_DKIM_FIRST_TIME)
		return decide(out, PN_DKIM_NEUTRAL, "t= is from before there was DKIM");
	if (!read_number(tags, "l", &l))
		return decide(out, PN_DKIM_NEUTRAL, "l= is no number");
	if (is_sha1(out))
		return decide(out, PN_DKIM_POLICY, "rsa-sha1 is not accepted (RFC 8301)");
	if (l >= 0)
		return decide(out, PN_DKIM_POLICY, "signs a part of the body only (l=)");
	if (x >= 0 && x + limits->drift <= limits->now)
		return decide(out, PN_DKIM_POLICY, "the signature has expired");
	if (t > limits->now + limits->drift)
		return decide(out, PN_DKIM_POLICY, "the signature is from the future");
	return true;
}

void
pn_dkim_signature_read(struct pn_str raw, const struct pn_dkim_limits *limits, struct pn_arena *arena,
    struct pn_dkim_signature *out, size_t *others)
{
	struct pn_dkim_tags tags;
	enum pn_status st = pn_dkim_tags_parse(raw, &tags);

	*out = (struct pn_dkim_signature){ .reason = PN_STR_EMPTY };
	*others = 0;
	read_texts(&tags, arena, out);
	if (st != PN_OK)
		(void)decide(out, PN_DKIM_NEUTRAL, "syntax error");
	else
		(void)(check_names(&tags, out) && check_required(&tags, out) && check_identity(&tags, out)
		    && check_signed_names(&tags, arena, out, others) && check_method(&tags, arena, out)
		    && check_hashes(&tags, arena, out) && check_policy(&tags, limits, out));
}
