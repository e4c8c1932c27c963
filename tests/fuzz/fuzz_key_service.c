/* A request is read again as it was when it is put together again; an answer too.  What is found is inside. */
#include <stdlib.h>

#include "postern/dkim_key.h"
#include "postern/key_service.h"

static bool
is_inside(struct pn_str part, struct pn_str whole)
{
	return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void
check_request(struct pn_str text, const struct pn_key_request *r)
{
	struct pn_buf again;

	if (!is_inside(r->name, text) || !is_inside(r->hash, text) || r->name.n == 0
	    || (r->hash.n != 0 && r->hash.n != PN_DKIM_HASH_SIZE) || (r->hash.n > 0) != (r->published.n > 0))
		abort();
	pn_buf_init(&again, text.n);
	pn_buf_addf(&again, "%s ", r->hash.n > 0 ? "sign" : "public");
	pn_buf_add(&again, r->name);
	pn_buf_add_char(&again, ' ');
	pn_buf_add(&again, r->domain);
	pn_buf_add_char(&again, ' ');
	pn_buf_add(&again, r->selector);
	if (r->hash.n > 0) {
		pn_buf_add_char(&again, ' ');
		pn_buf_add(&again, r->published);
		pn_buf_add_char(&again, ' ');
		pn_buf_add(&again, r->hash);
	}
	if (!pn_str_eq(pn_buf_str(&again), text))
		abort();
	pn_buf_done(&again);
}

static void
check_answer(enum pn_status st, struct pn_str text, struct pn_str value, const struct pn_error *err)
{
	struct pn_buf again;

	if (st == PN_LIMIT || (st != PN_OK && err->text[0] == '\0'))
		abort();
	if (st != PN_OK)
		return;
	pn_buf_init(&again, text.n);
	pn_key_answer_write(st, value, err, &again);
	if (!is_inside(value, text) || !pn_str_eq(pn_buf_str(&again), text))
		abort();
	pn_buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_str text = pn_str_n((const char *)data, size), value = PN_STR_EMPTY;
	struct pn_key_request request;
	struct pn_error err = { "" };

	if (pn_key_request_parse(text, &request, &err) == PN_OK)
		check_request(text, &request);
	err.text[0] = '\0';
	check_answer(pn_key_answer_parse(text, &value, &err), text, value, &err);
	return 0;
}
