/* Names, files and lines of keys, and what to publish for one. */
#include "keys.h"

#include <errno.h>
#include <pwd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "postern/clock.h"
#include "postern/psl.h"

/* -- names ------------------------------------------------------------------------------------- */

struct pn_str
keys_name(const struct keys *k, struct pn_str selector)
{
	return pn_arena_printf(
	    k->arena, PN_STR_FMT "._domainkey." PN_STR_FMT, PN_STR_ARG(selector), PN_STR_ARG(k->domain));
}

const char *
keys_path(const struct keys *k, struct pn_str selector, enum pn_dkim_key_type type)
{
	return pn_arena_printf(k->arena, PN_STR_FMT "/" PN_STR_FMT "/" PN_STR_FMT ".%s",
	    PN_STR_ARG(k->directory), PN_STR_ARG(k->domain), PN_STR_ARG(selector),
	    pn_dkim_key_type_name(type))
	    .p;
}

bool
keys_has_selector(const struct keys *k, struct pn_str selector)
{
	for (size_t i = 0; i < k->files.keys.n; i++)
		if (pn_str_eq_nocase(k->files.keys.v[i].domain, k->domain)
		    && pn_str_eq_nocase(k->files.keys.v[i].selector, selector))
			return true;
	return access(keys_path(k, selector, PN_DKIM_RSA), F_OK) == 0
	    || access(keys_path(k, selector, PN_DKIM_ED25519), F_OK) == 0;
}

struct pn_str
keys_free_selector(const struct keys *k, struct pn_strs taken)
{
	time_t now = (time_t)pn_clock_now();
	struct tm parts = { 0 };
	struct pn_str selector;
	char date[16];

	(void)gmtime_r(&now, &parts);
	(void)strftime(date, sizeof(date), "%Y%m%d", &parts);
	selector = pn_arena_dup(k->arena, pn_str_c(date));
	for (unsigned i = 2; keys_has_selector(k, selector) || pn_strs_has(taken, selector); i++)
		selector = pn_arena_printf(k->arena, "%s-%u", date, i);
	return selector;
}

const struct pn_key_entry *
keys_entry(const struct keys *k, struct pn_str name)
{
	for (size_t i = 0; i < k->files.keys.n; i++)
		if (pn_str_eq(k->files.keys.v[i].name, name))
			return &k->files.keys.v[i];
	return NULL;
}

const char *
keys_reload(const struct keys *k)
{
	return k->cli->config->sign.socket.n > 0
	    ? "reload postern-signer, then postern-milter (systemctl reload, or SIGUSR1)"
	    : "reload postern-milter (systemctl reload postern-milter, or SIGUSR1)";
}

/* -- who signs ---------------------------------------------------------------------------------- */

/* Somebody whom the line of the signing table is for; where that is anybody, he is of this domain. */
static struct pn_str
author_of(const struct keys *k, struct pn_str line, struct pn_str domain)
{
	size_t at = pn_str_find_last(line, '@'), star;
	struct pn_str user = at == PN_STR_NONE ? PN_STR("*") : pn_str_head(line, at);
	struct pn_str host = at == PN_STR_NONE ? line : pn_str_from(line, at + 1);
	struct pn_str author;

	if (pn_str_eq(host, PN_STR("*")))
		host = domain;
	author = pn_arena_printf(k->arena, PN_STR_FMT "@%s" PN_STR_FMT, PN_STR_ARG(user),
	    pn_str_starts(host, PN_STR(".")) ? "*" : "", PN_STR_ARG(host));
	while ((star = pn_str_find(author, '*')) != PN_STR_NONE)
		author = pn_arena_printf(k->arena, PN_STR_FMT "someone" PN_STR_FMT,
		    PN_STR_ARG(pn_str_head(author, star)), PN_STR_ARG(pn_str_from(author, star + 1)));
	return author;
}

static bool
signs_for(const struct keys *k, struct pn_str name, struct pn_str author)
{
	struct pn_signing_key found[PN_SIGNING_KEYS];
	size_t n = 0;

	if (pn_signing_find(&k->files.signing, &k->files.keys, author, k->cli->config->sign.all, k->arena,
		found, &n, NULL)
	    != PN_OK)
		return false;
	while (n > 0 && !pn_str_eq(found[n - 1].name, name))
		n--;
	return n > 0;
}

bool
keys_signs(const struct keys *k, const struct pn_key_entry *key)
{
	for (size_t i = 0; i < k->files.signing.n; i++) {
		const struct pn_signing_entry *line = &k->files.signing.v[i];

		if ((pn_str_eq(line->key_name, key->name) || pn_str_eq(line->key_name, PN_STR("%")))
		    && signs_for(k, key->name, author_of(k, line->author, key->domain)))
			return true;
	}
	return false;
}

/* -- files -------------------------------------------------------------------------------------- */

/* To the user that the daemon which reads them runs as, where there is one. */
static void
hand_over(const struct keys *k, const char *path)
{
	const char *name = k->cli->config->sign.socket.n > 0 ? "postern-signer" : "postern";
	struct passwd user, *found = NULL;
	char names[16384];

	if (geteuid() == 0 && getpwnam_r(name, &user, names, sizeof(names), &found) == 0
	    && found != NULL)
		(void)!chown(path, found->pw_uid, found->pw_gid);
}

enum pn_status
keys_make_folder(const struct keys *k, const char *path, struct pn_error *err)
{
	if (mkdir(path, 0700) == 0)
		hand_over(k, path);
	else if (errno != EEXIST)
		return pn_fail(err, PN_TEMPFAIL, "%s: %s", path, strerrordesc_np(errno));
	return PN_OK;
}

enum pn_status
keys_make_file(const struct keys *k, struct pn_str selector, enum pn_dkim_key_type type, unsigned bits,
    struct pn_error *err)
{
	const char *path = keys_path(k, selector, type);
	struct pn_dkim_key *key;
	enum pn_status st = pn_dkim_key_generate(type, bits, &key, err);

	if (st != PN_OK)
		return st;
	st = pn_dkim_key_write(key, path, err);
	if (st == PN_OK)
		hand_over(k, path);
	pn_dkim_key_free(key);
	return st;
}

struct pn_str
keys_table_line(const struct keys *k, struct pn_str selector, enum pn_dkim_key_type type)
{
	return pn_arena_printf(k->arena, PN_STR_FMT " " PN_STR_FMT ":" PN_STR_FMT ":%s",
	    PN_STR_ARG(keys_name(k, selector)), PN_STR_ARG(k->domain), PN_STR_ARG(selector),
	    keys_path(k, selector, type));
}

struct pn_str
keys_signing_line(const struct keys *k, struct pn_str author, struct pn_str name, struct pn_str identity)
{
	return pn_arena_printf(k->arena, PN_STR_FMT " " PN_STR_FMT "%s" PN_STR_FMT, PN_STR_ARG(author),
	    PN_STR_ARG(name), identity.n > 0 ? ":" : "", PN_STR_ARG(identity));
}

int
keys_reread(struct keys *k)
{
	key_files_close(&k->files);
	return key_files_open(k->cli, &k->files);
}

/* -- what to publish ------------------------------------------------------------------------------ */

json_t *
keys_record_json(const struct keys *k, const struct pn_key_entry *entry, const struct pn_dkim_key *key)
{
	struct pn_str record = pn_dkim_key_record(key, k->arena);
	struct pn_str host = pn_arena_printf(k->arena, PN_STR_FMT "._domainkey", PN_STR_ARG(entry->selector));

	return json_pack("{s:o, s:o, s:s, s:i, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "domain",
	    json_text(entry->domain), "selector", json_text(entry->selector), "type",
	    pn_dkim_key_type_name(pn_dkim_key_type(key)), "bits", (int)pn_dkim_key_bits(key), "signs",
	    keys_signs(k, entry), "file", json_text(entry->key), "name",
	    json_text(pn_arena_printf(
		k->arena, PN_STR_FMT "." PN_STR_FMT, PN_STR_ARG(host), PN_STR_ARG(entry->domain))),
	    "host", json_text(host), "text", json_text(record), "strings",
	    json_text(txt_strings(record, PN_STR(" "), k->arena)), "zone",
	    json_text(pn_dkim_zone_line(entry->domain, entry->selector, record, k->arena)));
}

/* A panel wants the name as it is inside of its zone, which may be that of a domain above. */
static void
print_name_above(const struct keys *k, const struct pn_key_entry *entry)
{
	struct pn_str path = k->cli->config->auth.public_suffix_list, domain = entry->domain, zone;
	struct pn_psl *psl;

	if (pn_psl_load(path.n > 0 ? pn_arena_cstr(k->arena, path) : NULL, &psl, NULL) != PN_OK)
		return;
	zone = pn_psl_organisational(psl, domain);
	if (zone.n > 0 && zone.n < domain.n)
		(void)printf("       or, in a panel of the zone " PN_STR_FMT ": " PN_STR_FMT
			     "._domainkey." PN_STR_FMT "\n",
		    PN_STR_ARG(zone), PN_STR_ARG(entry->selector),
		    PN_STR_ARG(pn_str_head(domain, domain.n - zone.n - 1)));
	pn_psl_free(psl);
}

void
keys_print_record(const struct keys *k, const struct pn_key_entry *entry, const struct pn_dkim_key *key)
{
	struct pn_str record = pn_dkim_key_record(key, k->arena);

	(void)printf(PN_STR_FMT "._domainkey." PN_STR_FMT ": %s, %u bits%s\n\n", PN_STR_ARG(entry->selector),
	    PN_STR_ARG(entry->domain), pn_dkim_key_type_name(pn_dkim_key_type(key)), pn_dkim_key_bits(key),
	    keys_signs(k, entry) ? ", signs" : "");
	(void)printf("for a zone file:\n" PN_STR_FMT "\n\n",
	    PN_STR_ARG(pn_dkim_zone_line(entry->domain, entry->selector, record, k->arena)));
	(void)printf("for a panel: a TXT record of " PN_STR_FMT "\nname:  " PN_STR_FMT "._domainkey\n",
	    PN_STR_ARG(entry->domain), PN_STR_ARG(entry->selector));
	print_name_above(k, entry);
	(void)printf("value: " PN_STR_FMT "\n", PN_STR_ARG(record));
	if (record.n > 255)
		(void)printf("or, where a string may have 255 characters only:\nvalue: " PN_STR_FMT "\n",
		    PN_STR_ARG(txt_strings(record, PN_STR(" "), k->arena)));
	(void)printf("\n");
}
