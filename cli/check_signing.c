/* The keys that sign: can they be had, and by whom? */
#include "check.h"

#include <unistd.h>

#include "key_files.h"

struct pn_key_table
check_keys(const struct check *check)
{
	const char *path = pn_arena_cstr(check->arena, check->cli->config->sign.key_table);
	struct pn_key_table keys;
	struct pn_str text;

	if (path[0] != '\0' && file_read(path, check->arena, &text, NULL) == PN_OK
	    && pn_key_table_parse(text, check->arena, &keys, NULL) == PN_OK)
		return keys;
	return (struct pn_key_table) { .n = 0 };
}

/* PN_OK: err is its path. */
static enum pn_status
find_readable(const struct check *check, const void *about, struct pn_error *err)
{
	const struct pn_key_table *keys = about;

	for (size_t i = 0; i < keys->n; i++) {
		const char *path = pn_arena_cstr(check->arena, keys->v[i].key);

		if (pn_key_is_path(keys->v[i].key) && access(path, R_OK) == 0)
			return pn_fail(err, PN_OK, "%s", path);
	}
	return PN_NOT_FOUND;
}

/* Who reads them there must not be able to here. */
static void
check_separation(struct check *check)
{
	struct pn_key_table keys = check_keys(check);
	struct pn_error err = { "" };

	if (!check->milter_runs || geteuid() != 0)
		return;
	if (check_as_user(check, check->milter_user, find_readable, &keys, &err) == PN_OK)
		finding(check, LEVEL_WARNING, "signing",
		    PN_STR("give the keys to the user postern-signer alone, mode 0600, and run postern-milter as "
			   "another one"),
		    "postern-milter may read %s itself: signer_socket protects nothing", err.text);
}

/* As it will be read by who starts. */
void
check_signing(struct check *check)
{
	const struct pn_sign_config *sign = &check->cli->config->sign;
	struct pn_signer *signer = NULL;
	struct pn_error err = { "" };

	if (pn_signer_open(sign, NULL, NULL, &signer, &err) != PN_OK)
		finding(check, LEVEL_ERROR, "signing", PN_STR("postern keys make DOMAIN makes keys and tables"),
		    "%s will not start: %s", sign->socket.n > 0 ? "postern-signer" : "postern-milter", err.text);
	pn_signer_close(signer);
	if (sign->socket.n > 0 && sign->signing_table.n > 0)
		check_separation(check);
}
