#include "answer.h"

#include "postern/key_service.h"
#include "postern/log.h"

static void
log_answer(const struct pn_key_request *r, enum pn_status st)
{
	struct pn_buf line;

	pn_buf_init(&line, 8192);
	pn_log_key(&line, r->hash.n > 0 ? "sign" : "public", r->name);
	pn_log_key(&line, "domain", r->domain);
	pn_log_key(&line, "selector", r->selector);
	pn_log_key(&line, "answer", pn_str_c(pn_status_name(st)));
	pn_log_line(PN_LOG_DEBUG, pn_buf_str(&line));
	pn_buf_done(&line);
}

/* Another key than the asker knows signs nothing: its k= and its record would be the old one's. */
static enum pn_status
sign(const struct pn_dkim_key *key, const struct pn_key_request *r, struct pn_arena *arena, struct pn_str *value,
    struct pn_error *err)
{
	unsigned char *bytes = pn_arena_alloc(arena, PN_DKIM_SIGNATURE_SIZE);
	enum pn_status st;
	size_t n;

	if (!pn_str_eq(pn_dkim_key_published(key), r->published))
		return pn_fail(err, PN_NOT_FOUND, "it has another key now; reload postern-milter");
	st = pn_dkim_key_sign(key, (const unsigned char *)r->hash.p, bytes, &n, err);
	if (st == PN_OK)
		*value = pn_str_n((const char *)bytes, n);
	return st;
}

static enum pn_status
find_value(struct pn_signer *signer, const struct pn_key_request *r, struct pn_arena *arena, struct pn_str *value,
    struct pn_error *err)
{
	const struct pn_dkim_key *key;
	enum pn_status st = pn_signer_key(signer, r->name, r->domain, r->selector, arena, &key, err);

	if (st == PN_NOT_FOUND)
		return pn_fail_in(err, st, "it has no such key; reload it");
	if (st != PN_OK)
		return st;
	if (r->hash.n > 0)
		return sign(key, r, arena, value, err);
	*value = pn_dkim_key_record(key, arena);
	return PN_OK;
}

void
answer(struct pn_signer *signer, struct pn_str request, struct pn_arena *arena, struct pn_buf *out)
{
	struct pn_error err = { "" };
	struct pn_key_request r;
	struct pn_str value = PN_STR_EMPTY;
	enum pn_status st = pn_key_request_parse(request, &r, &err);

	if (st == PN_OK) {
		st = find_value(signer, &r, arena, &value, &err);
		log_answer(&r, st);
	}
	pn_key_answer_write(st, value, &err, out);
}
