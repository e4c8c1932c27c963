#include "dkim_crypto.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/provider.h>
#include <pthread.h>

#include "postern/str.h"

enum { ALGORITHMS_MAX = 16 };

/* Of one operation, up to one without names. */
struct table {
	int operation;
	OSSL_ALGORITHM v[ALGORITHMS_MAX + 1];
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static OSSL_LIB_CTX *context;
static OSSL_PROVIDER *whole;
static struct table tables[] = {
	{ .operation = OSSL_OP_KEYMGMT },
	{ .operation = OSSL_OP_SIGNATURE },
	{ .operation = OSSL_OP_DECODER },
};

static const char reads_keys[] = "input=der,structure=SubjectPublicKeyInfo";

/* RSA (RSA-PSS as well, which the library takes for it) and Ed25519, whose key it does not decode. */
static bool
is_wanted(int operation, const OSSL_ALGORITHM *algorithm)
{
	struct pn_str names = pn_str_c(algorithm->algorithm_names);
	bool rsa = pn_str_starts(names, PN_STR("RSA"));

	if (operation == OSSL_OP_DECODER)
		return rsa && strstr(algorithm->property_definition, reads_keys) != NULL;
	return rsa || pn_str_starts(names, PN_STR("ED25519"));
}

/* Whether there is any: another OpenSSL may describe them otherwise. */
static bool
fill(struct table *table)
{
	int no_cache;
	const OSSL_ALGORITHM *all = OSSL_PROVIDER_query_operation(whole, table->operation, &no_cache);
	size_t n = 0;

	for (; all != NULL && all->algorithm_names != NULL && n < ALGORITHMS_MAX; all++)
		if (is_wanted(table->operation, all))
			table->v[n++] = *all;
	return n > 0;
}

static const OSSL_ALGORITHM *
query(void *ctx, int operation, int *no_cache)
{
	(void)ctx;
	*no_cache = 0;
	for (size_t i = 0; i < PN_COUNT(tables); i++)
		if (tables[i].operation == operation)
			return tables[i].v;
	return NULL;
}

/* What it offers is the other provider's, and so is what those functions are called with. */
static int
start(const OSSL_CORE_HANDLE *core, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **ctx)
{
	static const OSSL_DISPATCH functions[] = {
		{ OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query },
		{ 0, NULL },
	};

	(void)core;
	(void)in;
	*out = functions;
	*ctx = OSSL_PROVIDER_get0_provider_ctx(whole);
	return 1;
}

/* That provider is in a context of its own: what it looks for itself (Ed25519 a SHA-512) it would else look
 * for in ours. */
static void
make(void)
{
	OSSL_LIB_CTX *fresh = OSSL_LIB_CTX_new(), *other = OSSL_LIB_CTX_new();

	if (fresh == NULL || other == NULL || (whole = OSSL_PROVIDER_load(other, "default")) == NULL)
		return;
	for (size_t i = 0; i < PN_COUNT(tables); i++)
		if (!fill(&tables[i]))
			return;
	if (OSSL_PROVIDER_add_builtin(fresh, "dkim", start) == 1 && OSSL_PROVIDER_load(fresh, "dkim") != NULL)
		context = fresh;
}

OSSL_LIB_CTX *
dkim_crypto(void)
{
	(void)pthread_once(&once, make);
	return context;
}
