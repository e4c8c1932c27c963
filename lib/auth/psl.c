#include "postern/psl.h"

#include <libpsl.h>
#include <stdlib.h>

enum { DOMAIN_MAX = 253 };

struct pn_psl {
	psl_ctx_t *list;
};

enum pn_status
pn_psl_load(const char *path, struct pn_psl **out, struct pn_error *err)
{
	psl_ctx_t *list = path == NULL ? psl_latest(NULL) : psl_load_file(path);

	/* any text loads as a list of some rules; under a wrong one all of co.uk would be one organisation */
	if (list == NULL || !psl_is_public_suffix(list, "co.uk")) {
		psl_free(list);
		return pn_fail(err, PN_INVALID, "no public suffix list%s%s", path == NULL ? "" : " in ",
		    path == NULL ? "" : path);
	}
	if ((*out = malloc(sizeof(**out))) == NULL)
		pn_out_of_memory();
	(*out)->list = list;
	return PN_OK;
}

void
pn_psl_free(struct pn_psl *psl)
{
	if (psl == NULL)
		return;
	psl_free(psl->list);
	free(psl);
}

struct pn_str
pn_psl_organisational(const struct pn_psl *psl, struct pn_str domain)
{
	char text[DOMAIN_MAX + 1];
	const char *found;

	if (domain.n > DOMAIN_MAX)
		return PN_STR_EMPTY;
	memcpy(text, domain.p, domain.n);
	text[domain.n] = '\0';
	found = psl_registrable_domain(psl->list, text);
	return found == NULL ? PN_STR_EMPTY : pn_str_from(domain, (size_t)(found - text));
}
