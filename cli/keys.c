/* Names, files and lines of keys, and what to publish for one. */
#include "keys.h"

#include <errno.h>
#include <pwd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "postern/clock.h"

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
keys_daemons(const struct keys *k)
{
	return k->cli->config->sign.socket.n > 0 ? "postern-signer, then postern-milter" : "postern-milter";
}

bool
keys_signs(const struct keys *k, struct pn_str name)
{
	for (size_t i = 0; i < k->files.signing.n; i++)
		if (pn_str_eq(k->files.signing.v[i].key_name, name))
			return true;
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
	    keys_signs(k, entry->name), "file", json_text(entry->key), "name",
	    json_text(pn_arena_printf(
		k->arena, PN_STR_FMT "." PN_STR_FMT, PN_STR_ARG(host), PN_STR_ARG(entry->domain))),
	    "host", json_text(host), "text", json_text(record), "strings",
	    json_text(txt_strings(record, PN_STR(" "), k->arena)), "zone",
	    json_text(pn_dkim_zone_line(entry->domain, entry->selector, record, k->arena)));
}

void
keys_print_record(const struct keys *k, const struct pn_key_entry *entry, const struct pn_dkim_key *key)
{
	struct pn_str record = pn_dkim_key_record(key, k->arena);

	(void)printf(PN_STR_FMT "._domainkey." PN_STR_FMT ": %s, %u bits%s\n\n", PN_STR_ARG(entry->selector),
	    PN_STR_ARG(entry->domain), pn_dkim_key_type_name(pn_dkim_key_type(key)), pn_dkim_key_bits(key),
	    keys_signs(k, entry->name) ? ", signs" : "");
	(void)printf("for a zone file:\n" PN_STR_FMT "\n\n",
	    PN_STR_ARG(pn_dkim_zone_line(entry->domain, entry->selector, record, k->arena)));
	(void)printf("for a panel: a TXT record of " PN_STR_FMT "\nname:  " PN_STR_FMT
		     "._domainkey\nvalue: " PN_STR_FMT "\n",
	    PN_STR_ARG(entry->domain), PN_STR_ARG(entry->selector), PN_STR_ARG(record));
	if (record.n > 255)
		(void)printf("or, where a string may have 255 characters only:\nvalue: " PN_STR_FMT "\n",
		    PN_STR_ARG(txt_strings(record, PN_STR(" "), k->arena)));
	(void)printf("\n");
}
