/* postern keys make - a key, its lines in the tables, and what to publish. */
#include "keys.h"

static enum pn_status
add_lines(struct keys *k, struct pn_str selector, enum pn_dkim_key_type type, struct pn_error *err)
{
	struct pn_str author = k->files.signing.patterns
	    ? pn_arena_printf(k->arena, "*@" PN_STR_FMT, PN_STR_ARG(k->domain))
	    : k->domain;
	struct pn_str line = keys_table_line(k, selector, type);
	struct pn_str signing = keys_signing_line(k, author, keys_name(k, selector), PN_STR_EMPTY);
	bool may_sign = k->cli->config->sign.check_published;
	enum pn_status st;

	if (k->print) {
		(void)fprintf(stderr,
		    "for the key table:\n" PN_STR_FMT "\nfor the signing table:\n" PN_STR_FMT "\n",
		    PN_STR_ARG(line), PN_STR_ARG(signing));
		return PN_OK;
	}
	k->files.key_text = text_with_line(k->files.key_text, line, k->arena);
	st = file_replace(k->files.key_path, k->files.key_text, err);
	if (st != PN_OK)
		return st;
	if (!may_sign) {
		(void)fprintf(stderr,
		    "postern: it does not sign yet, as sign_check_published is off: once postern keys check "
		    "finds it published, add this to %s:\n" PN_STR_FMT "\n",
		    k->files.signing_path, PN_STR_ARG(signing));
		return PN_OK;
	}
	k->files.signing_text = text_with_line(k->files.signing_text, signing, k->arena);
	return file_replace(k->files.signing_path, k->files.signing_text, err);
}

static int
make_one(struct keys *k, struct pn_str selector, enum pn_dkim_key_type type)
{
	struct pn_error err = { "" };
	enum pn_status st;

	if (keys_has_selector(k, selector))
		return cli_fail(PN_INVALID, "there is a key with the selector " PN_STR_FMT " already",
		    PN_STR_ARG(selector));
	st = keys_make_file(k, selector, type, (unsigned)k->bits, &err);
	if (st == PN_OK)
		st = add_lines(k, selector, type, &err);
	if (st != PN_OK)
		return cli_fail(st, "%s", err.text);
	(void)fprintf(stderr, "postern: %s is made\n", keys_path(k, selector, type));
	return EX_OK;
}

/* A receiver takes one key of a selector, so two types are two selectors. */
static int
show_made(struct keys *k, struct pn_str selector, enum pn_dkim_key_type type, json_t *list)
{
	struct pn_key_entry entry = { .name = keys_name(k, selector),
		.domain = k->domain,
		.selector = selector,
		.key = pn_str_c(keys_path(k, selector, type)) };
	const struct pn_dkim_key *key;
	struct pn_error err = { "" };
	enum pn_status st = pn_key_ring_get(k->files.ring, entry.key, &key, &err);

	if (st != PN_OK)
		return cli_fail(st, "%s", err.text);
	if (k->cli->json)
		(void)json_array_append_new(list, keys_record_json(k, &entry, key));
	else
		keys_print_record(k, &entry, key);
	return EX_OK;
}

static bool
signs_already(const struct keys *k)
{
	struct pn_signing_key found[PN_SIGNING_KEYS];
	struct pn_str author = pn_arena_printf(k->arena, "someone@" PN_STR_FMT, PN_STR_ARG(k->domain));
	size_t n;

	return pn_signing_find(&k->files.signing, &k->files.keys, author, false, k->arena, found, &n, NULL)
	    == PN_OK;
}

int
keys_make(struct keys *k)
{
	bool both = pn_str_eq(k->type, PN_STR("both")), ed = pn_str_eq(k->type, PN_STR("ed25519"));
	bool second = !k->print && signs_already(k) && !k->cli->config->sign.all;
	struct pn_str selector =
	    k->selector.n > 0 ? k->selector : keys_free_selector(k, (struct pn_strs) { NULL, 0 });
	struct pn_str other = pn_arena_printf(k->arena, PN_STR_FMT "-ed25519", PN_STR_ARG(selector));
	json_t *list = json_array();
	int code = make_one(k, selector, ed ? PN_DKIM_ED25519 : PN_DKIM_RSA);

	if (code == EX_OK && both)
		code = make_one(k, other, PN_DKIM_ED25519);
	if (code == EX_OK)
		code = keys_reread(k);
	if (code == EX_OK)
		code = show_made(k, selector, ed ? PN_DKIM_ED25519 : PN_DKIM_RSA, list);
	if (code == EX_OK && both)
		code = show_made(k, other, PN_DKIM_ED25519, list);
	if (code == EX_OK && k->cli->json)
		json_print(json_incref(list));
	json_decref(list);
	if (code == EX_OK)
		(void)fprintf(stderr,
		    "postern: publish this, then %s; postern keys check " PN_STR_FMT " compares\n",
		    keys_reload(k), PN_STR_ARG(k->domain));
	if (code == EX_OK && (second || (both && !k->cli->config->sign.all)))
		(void)fprintf(stderr,
		    "postern: only the first key of a domain signs, as sign_all is off; rotate replaces a "
		    "key\n");
	return code;
}
