/* Authentication-Results: the writer. */
#include "postern/auth_results.h"

#include "postern/buf.h"

enum {
	COLUMNS = 77,
	VALUE_MAX = 512,	/* a path has 256 bytes (RFC 5321 section 4.5.3.1.3) */
	TEXT_MAX = 2 * 1024 * 1024,
	SIGNATURE_BYTES = 8,	/* RFC 6008 section 4 asks for at least these */
};

void
pn_auth_results_begin(struct pn_auth_results *results, struct pn_str authserv_id, struct pn_arena *arena)
{
	*results = (struct pn_auth_results){ .authserv_id = authserv_id,
	    .v = PN_ARENA_ARRAY(arena, struct pn_auth_result, PN_AUTH_RESULTS_MAX) };
}

void
pn_auth_results_add(struct pn_auth_results *results, struct pn_str method, struct pn_str result,
    struct pn_str reason, struct pn_arena *arena)
{
	if (results->n < PN_AUTH_RESULTS_MAX)
		results->v[results->n++] = (struct pn_auth_result){ .method = method, .result = result,
		    .reason = reason,
		    .properties = PN_ARENA_ARRAY(arena, struct pn_auth_property, PN_AUTH_PROPERTIES_MAX) };
}

void
pn_auth_results_property(struct pn_auth_results *results, struct pn_str type, struct pn_str name,
    struct pn_str value)
{
	struct pn_auth_result *last = &results->v[results->n - 1];

	if (value.n > 0 && last->n < PN_AUTH_PROPERTIES_MAX)
		last->properties[last->n++] = (struct pn_auth_property){ type, name, value };
}

void
pn_auth_results_add_spf(struct pn_auth_results *results, struct pn_str result, struct pn_str mail_from,
    struct pn_str helo, struct pn_arena *arena)
{
	pn_auth_results_add(results, PN_STR("spf"), result, PN_STR_EMPTY, arena);
	pn_auth_results_property(results, PN_STR("smtp"), PN_STR("mailfrom"), mail_from);
	if (mail_from.n == 0)
		pn_auth_results_property(results, PN_STR("smtp"), PN_STR("helo"), helo);
}

void
pn_auth_results_add_dkim(struct pn_auth_results *results, struct pn_str result, struct pn_str reason,
    struct pn_str d, struct pn_str i, struct pn_str a, struct pn_str s, struct pn_str b,
    struct pn_arena *arena)
{
	const struct pn_str header = PN_STR("header");

	pn_auth_results_add(results, PN_STR("dkim"), result, reason, arena);
	pn_auth_results_property(results, header, PN_STR("d"), d);
	pn_auth_results_property(results, header, PN_STR("i"), i);
	pn_auth_results_property(results, header, PN_STR("a"), a);
	pn_auth_results_property(results, header, PN_STR("s"), s);
	pn_auth_results_property(results, header, PN_STR("b"), pn_str_head(b, SIGNATURE_BYTES));
}

void
pn_auth_results_add_dmarc(struct pn_auth_results *results, const struct pn_dmarc *dmarc,
    struct pn_arena *arena)
{
	const struct pn_str policy = PN_STR("policy");

	pn_auth_results_add(results, PN_STR("dmarc"), pn_str_c(pn_dmarc_result_name(dmarc->result)),
	    dmarc->result == PN_DMARC_PASS ? PN_STR_EMPTY : pn_str_c(dmarc->reason), arena);
	pn_auth_results_property(results, PN_STR("header"), PN_STR("from"), dmarc->author);
	pn_auth_results_property(results, policy, PN_STR("domain"), dmarc->policy_domain);
	pn_auth_results_property(results, policy, PN_STR("published"),
	    pn_str_c(pn_dmarc_policy_name(dmarc->policy)));
	if (dmarc->policy != PN_DMARC_UNSET)
		pn_auth_results_property(results, policy, PN_STR("dmarc"),
		    pn_str_c(pn_dmarc_policy_name(dmarc->disposition)));
}

/* -- text ----------------------------------------------------------------------------------- */

/* A token (RFC 2045), or tokens around the @ of an address. */
static bool
is_plain(struct pn_str value)
{
	size_t at = pn_str_find(value, '@');

	for (size_t i = 0; i < value.n; i++) {
		char c = value.p[i];

		if ((unsigned char)c <= ' ' || (unsigned char)c >= 0x7f
		    || (i != at && memchr("()<>@,;:\\\"/[]?=", c, 15) != NULL))
			return false;
	}
	return value.n > 0 && at != value.n - 1;
}

static struct pn_str
quote(struct pn_str value, struct pn_arena *arena)
{
	char *text = pn_arena_alloc(arena, 2 * VALUE_MAX + 2);
	size_t n = 0;

	text[n++] = '"';
	for (size_t i = 0; i < value.n; i++) {
		char c = value.p[i];

		if (c == '"' || c == '\\')
			text[n++] = '\\';
		text[n++] = (unsigned char)c < ' ' || (unsigned char)c >= 0x7f ? '?' : c;
	}
	text[n++] = '"';
	return pn_str_n(text, n);
}

static struct pn_str
value_text(struct pn_str value, struct pn_arena *arena)
{
	value = pn_str_head(value, VALUE_MAX);
	return is_plain(value) ? value : quote(value, arena);
}

/* One piece of a line; it goes to the next one if it does not fit. */
static void
put(struct pn_buf *buf, size_t *column, struct pn_str piece)
{
	if (*column + 1 + piece.n > COLUMNS) {
		pn_buf_add_c(buf, "\n\t");
		*column = 8;
	} else {
		pn_buf_add_char(buf, ' ');
		(*column)++;
	}
	pn_buf_add(buf, piece);
	*column += piece.n;
}

static void
put_result(struct pn_buf *buf, const struct pn_auth_result *result, struct pn_arena *arena)
{
	struct pn_str value = value_text(result->result, arena);
	size_t column = 8 + result->method.n + 1 + value.n;

	pn_buf_add_c(buf, ";\n\t");
	pn_buf_add(buf, result->method);
	pn_buf_add_char(buf, '=');
	pn_buf_add(buf, value);
	if (result->reason.n > 0) {
		value = value_text(result->reason, arena);
		put(buf, &column, pn_arena_printf(arena, "reason=" PN_STR_FMT, PN_STR_ARG(value)));
	}
	for (size_t i = 0; i < result->n; i++) {
		const struct pn_auth_property *p = &result->properties[i];

		value = value_text(p->value, arena);
		put(buf, &column, pn_arena_printf(arena, PN_STR_FMT "." PN_STR_FMT "=" PN_STR_FMT,
		    PN_STR_ARG(p->type), PN_STR_ARG(p->name), PN_STR_ARG(value)));
	}
}

struct pn_str
pn_auth_results_write(const struct pn_auth_results *results, struct pn_arena *arena)
{
	struct pn_str text;
	struct pn_buf buf;

	pn_buf_init(&buf, TEXT_MAX);
	pn_buf_add(&buf, value_text(results->authserv_id, arena));
	for (size_t i = 0; i < results->n; i++)
		put_result(&buf, &results->v[i], arena);
	if (results->n == 0)
		pn_buf_add_c(&buf, "; none");
	text = pn_arena_dup(arena, pn_buf_str(&buf));
	pn_buf_done(&buf);
	return text;
}
