/* What a reload cannot change. */
#include "keys.h"

/* In the order of the key table. */
static const char *const start_only[] = {
	"state_directory", "milter_socket", "map_socket", "policy_socket", "policy_tcp", "socket_group",
	"socket_mode", "log", "max_sessions",
	"thread_lifetime", "bounce_lifetime", "thread_limit", "window_limit", "bounce_limit",
	"state_map_size", "directory_map_size",
	"dkim_min_bits", "dkim_accept_testing", "public_suffix_list", "dns_servers", "dns_trust_anchor", "dns_timeout",
};

static struct pn_draft_global
draft_of(const struct pn_config *config)
{
	return (struct pn_draft_global){ .config = *config,
		.log = config->log_syslog ? PN_LOG_SYSLOG : PN_LOG_STDERR };
}

static bool
same_list(struct pn_strs a, struct pn_strs b)
{
	for (size_t i = 0; i < a.n && a.n == b.n; i++)
		if (!pn_str_eq(a.v[i], b.v[i]))
			return false;
	return a.n == b.n;
}

static bool
same_value(const struct pn_key *key, const struct pn_draft_global *old, const struct pn_draft_global *fresh)
{
	const char *a = (const char *)old + key->offset, *b = (const char *)fresh + key->offset;
	struct pn_str x, y;

	switch (key->type) {
	case PN_KEY_TEXT:
		memcpy(&x, a, sizeof(x));
		memcpy(&y, b, sizeof(y));
		return pn_str_eq(x, y);
	case PN_KEY_NUMBER:
	case PN_KEY_SIZE:
	case PN_KEY_TIME:
	case PN_KEY_MODE:
		return memcmp(a, b, sizeof(uint64_t)) == 0;
	case PN_KEY_CHOICE:
		return memcmp(a, b, sizeof(unsigned)) == 0;
	case PN_KEY_BOOL:
		return memcmp(a, b, sizeof(bool)) == 0;
	case PN_KEY_LIST:
		return same_list(*(const struct pn_strs *)(const void *)a, *(const struct pn_strs *)(const void *)b);
	}
	return true;
}

void
pn_config_start_only_changes(const struct pn_config *old, const struct pn_config *fresh, struct pn_buf *out)
{
	struct pn_draft_global before = draft_of(old), now = draft_of(fresh);

	for (size_t i = 0; i < PN_COUNT(start_only); i++) {
		const struct pn_key *key =
		    pn_key_find(&pn_key_tables[PN_KEYS_GLOBAL], pn_str_c(start_only[i]));

		if (key != NULL && !same_value(key, &before, &now))
			pn_buf_addf(out, "%s\n", key->name);
	}
}
