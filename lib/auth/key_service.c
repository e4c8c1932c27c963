#include "postern/key_service.h"

#include "postern/dkim_sign.h"

/* -- requests -- */

enum pn_status
pn_key_request_parse(struct pn_str text, struct pn_key_request *out, struct pn_error *err)
{
	struct pn_key_request request = { .hash = PN_STR_EMPTY };
	struct pn_str rest = text, verb;
	bool named = pn_str_split(&rest, ' ', &verb) && pn_str_split(&rest, ' ', &request.name)
	    && pn_str_split(&rest, ' ', &request.domain) && pn_str_split(&rest, ' ', &request.selector)
	    && request.name.n > 0;

	if (named && pn_str_eq(verb, PN_STR("sign")) && pn_str_split(&rest, ' ', &request.published)
	    && request.published.n > 0 && rest.n == PN_DKIM_HASH_SIZE)
		request.hash = rest;
	else if (!named || !pn_str_eq(verb, PN_STR("public")) || rest.p != NULL)
		return pn_fail(err, PN_INVALID, "that is no request");
	*out = request;
	return PN_OK;
}

/* -- answers -- */

void
pn_key_answer_write(enum pn_status st, struct pn_str value, const struct pn_error *err, struct pn_buf *out)
{
	switch (st) {
	case PN_OK:
		pn_buf_add_c(out, "OK ");
		pn_buf_add(out, value);
		break;
	case PN_NOT_FOUND:
		pn_buf_addf(out, "NOTFOUND %s", err->text);
		break;
	case PN_INVALID:
		pn_buf_addf(out, "PERM %s", err->text);
		break;
	case PN_TEMPFAIL:
	case PN_LIMIT:
		pn_buf_addf(out, "TEMP %s", err->text);
		break;
	}
}

enum pn_status
pn_key_answer_parse(struct pn_str text, struct pn_str *value, struct pn_error *err)
{
	static const struct {
		struct pn_str word;
		enum pn_status st;
	} words[] = {
		{ { "OK", 2 }, PN_OK }, { { "NOTFOUND", 8 }, PN_NOT_FOUND }, { { "PERM", 4 }, PN_INVALID },
		{ { "TEMP", 4 }, PN_TEMPFAIL },
	};
	struct pn_str rest = text, word;

	if (pn_str_split(&rest, ' ', &word) && rest.p != NULL)
		for (size_t i = 0; i < PN_COUNT(words); i++)
			if (pn_str_eq(word, words[i].word)) {
				if (words[i].st != PN_OK)
					return pn_fail(err, words[i].st, "postern-signer: " PN_STR_FMT,
					    PN_STR_ARG(pn_str_head(rest, 200)));
				*value = rest;
				return PN_OK;
			}
	return pn_fail(err, PN_TEMPFAIL, "what answers there is no postern-signer");
}
