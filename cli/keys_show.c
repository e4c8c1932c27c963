/* postern keys show, check and list. */
#include "keys.h"

static bool
is_of_domain(const struct keys *k, const struct pn_key_entry *entry)
{
	return k->domain.n == 0 || pn_str_eq_nocase(entry->domain, k->domain);
}

/* -- show ----------------------------------------------------------------------- */

int
keys_show(struct keys *k)
{
	json_t *list = json_array();
	size_t n = 0;
	int code = EX_OK;

	for (size_t i = 0; i < k->files.keys.n; i++) {
		const struct pn_key_entry *entry = &k->files.keys.v[i];
		const struct pn_dkim_key *key;
		struct pn_error err = { "" };
		enum pn_status st;

		if (!is_of_domain(k, entry))
			continue;
		n++;
		st = pn_key_ring_get(k->files.ring, entry->key, &key, &err);
		if (st != PN_OK)
			code = cli_fail(st, "%s", err.text);
		else if (k->cli->json)
			(void)json_array_append_new(list, keys_record_json(k, entry, key));
		else
			keys_print_record(k, entry, key);
	}
	if (k->cli->json)
		json_print(list);
	else
		json_decref(list);
	return n > 0 ? code
		     : cli_fail(PN_NOT_FOUND,
			 "there is no key of " PN_STR_FMT "; postern keys make " PN_STR_FMT " makes one",
			 PN_STR_ARG(k->domain), PN_STR_ARG(k->domain));
}

/* -- check ----------------------------------------------------------------------------------------- */

static struct pn_str
check_one(struct keys *k, const struct pn_dns *dns, const struct pn_key_entry *entry, enum pn_known *known)
{
	const struct pn_dkim_key *key;
	struct pn_error err = { "" };

	*known = PN_NO;
	if (pn_key_ring_get(k->files.ring, entry->key, &key, &err) == PN_OK)
		*known = pn_dkim_key_matches(key, entry->domain, entry->selector, dns, k->arena, &err);
	return *known == PN_YES ? PN_STR("published") : pn_arena_dup(k->arena, pn_str_c(err.text));
}

static int
check_all(struct keys *k, const struct pn_dns *dns)
{
	static const struct column columns[] = { { "domain", false }, { "selector", false },
		{ "signs", false }, { "published", false }, { "finding", false } };
	static const char *const words[] = { [PN_UNKNOWN] = "unknown", [PN_NO] = "no", [PN_YES] = "yes" };
	bool wrong = false, unknown = false;
	struct rows rows;
	size_t n = 0;

	rows_begin(&rows, k->cli, columns, PN_COUNT(columns));
	for (size_t i = 0; i < k->files.keys.n; i++) {
		const struct pn_key_entry *entry = &k->files.keys.v[i];
		enum pn_known known;
		struct pn_str text;

		if (!is_of_domain(k, entry))
			continue;
		text = check_one(k, dns, entry, &known);
		rows_text(&rows, entry->domain);
		rows_text(&rows, entry->selector);
		rows_text(&rows, keys_signs(k, entry) ? PN_STR("yes") : PN_STR("no"));
		rows_text(&rows, pn_str_c(words[known]));
		rows_text(&rows, text);
		wrong = wrong || known == PN_NO;
		unknown = unknown || known == PN_UNKNOWN;
		n++;
	}
	rows_end(&rows);
	if (n == 0)
		return cli_fail(PN_NOT_FOUND, "there is no key of " PN_STR_FMT, PN_STR_ARG(k->domain));
	return wrong ? EXIT_ANSWER_NO : unknown ? EX_TEMPFAIL : EX_OK;
}

int
keys_check(struct keys *k)
{
	struct pn_resolver *resolver;
	struct pn_dns dns;
	int code = dns_open(k->cli, k->server, &resolver);

	if (code != EX_OK)
		return code;
	dns = pn_resolver_port(resolver);
	code = check_all(k, &dns);
	pn_resolver_close(resolver);
	return code;
}

/* -- list ------------------------------------------------------------------------------------------ */

int
keys_list(struct keys *k)
{
	static const struct column columns[] = { { "domain", false }, { "selector", false },
		{ "type", false }, { "bits", true }, { "signs", false }, { "rotation", false },
		{ "file", false } };
	struct rows rows;

	rows_begin(&rows, k->cli, columns, PN_COUNT(columns));
	for (size_t i = 0; i < k->files.keys.n; i++) {
		const struct pn_key_entry *entry = &k->files.keys.v[i];
		const struct pn_dkim_key *key = NULL;

		if (!is_of_domain(k, entry))
			continue;
		if (pn_key_ring_get(k->files.ring, entry->key, &key, NULL) != PN_OK)
			key = NULL;
		rows_text(&rows, entry->domain);
		rows_text(&rows, entry->selector);
		rows_text(&rows,
		    key == NULL ? PN_STR("unusable")
				: pn_str_c(pn_dkim_key_type_name(pn_dkim_key_type(key))));
		rows_number(&rows, key == NULL ? 0 : pn_dkim_key_bits(key));
		rows_text(&rows, keys_signs(k, entry) ? PN_STR("yes") : PN_STR("no"));
		rows_text(&rows, keys_rotation(k, entry->domain));
		/* a key in the table itself is a secret */
		rows_text(&rows, pn_key_is_path(entry->key) ? entry->key : PN_STR("(in the table)"));
	}
	rows_end(&rows);
	return EX_OK;
}
