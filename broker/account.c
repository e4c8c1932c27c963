#include "account.h"

#include <stdio.h>

#include "wipe.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DOUBLINGS_MAX = 16,
	UNSAVED_MAX = 8192 };

static bool
takes_token(const struct pn_relay *relay)
{
	return relay->active && relay->login == PN_LOGIN_OAUTH;
}

static bool
is_same_login(const struct pn_relay *a, const struct pn_relay *b)
{
	return pn_str_eq(a->oauth_token_url, b->oauth_token_url)
	    && pn_str_eq(a->oauth_client_id, b->oauth_client_id)
	    && pn_str_eq(a->oauth_client_secret_file, b->oauth_client_secret_file)
	    && pn_str_eq(a->oauth_refresh_token_file, b->oauth_refresh_token_file)
	    && pn_str_eq(a->oauth_scope, b->oauth_scope);
}

static struct pn_strs
names_like(struct pn_relays relays, const struct pn_relay *first, struct pn_arena *arena)
{
	struct pn_strs_builder names = { .arena = arena };

	for (size_t i = 0; i < relays.n; i++)
		if (takes_token(&relays.v[i]) && is_same_login(&relays.v[i], first))
			pn_strs_add(&names, relays.v[i].name);
	return names.list;
}

struct accounts
accounts_of(struct pn_relays relays, struct pn_arena *arena)
{
	struct accounts accounts = { PN_ARENA_ARRAY(arena, struct account, relays.n), 0 };

	for (size_t i = 0; i < relays.n; i++) {
		const struct pn_relay *relay = &relays.v[i];
		struct account *a = &accounts.v[accounts.n];
		struct pn_strs names;

		if (!takes_token(relay))
			continue;
		names = names_like(relays, relay, arena);
		if (!pn_str_eq(names.v[0], relay->name))
			continue;
		*a = (struct account){ .relay = relay, .names = names };
		pn_buf_init(&a->unsaved, UNSAVED_MAX);
		accounts.n++;
	}
	return accounts;
}

void
accounts_done(struct accounts *accounts)
{
	for (size_t i = 0; i < accounts->n; i++)
		wipe_buf(&accounts->v[i].unsaved);
	accounts->n = 0;
}

static bool
is_held_up(const struct accounts *accounts, const struct account *a)
{
	struct pn_str file = a->relay->oauth_refresh_token_file;

	for (size_t i = 0; i < accounts->n; i++)
		if (accounts->v[i].fetch != NULL && file.n > 0
		    && pn_str_eq(accounts->v[i].relay->oauth_refresh_token_file, file))
			return true;
	return false;
}

struct account *
accounts_due(const struct accounts *accounts, int64_t now_ms)
{
	for (size_t i = 0; i < accounts->n; i++) {
		struct account *a = &accounts->v[i];

		if (a->fetch == NULL && a->due_ms <= now_ms && !is_held_up(accounts, a))
			return a;
	}
	return NULL;
}

int64_t
accounts_next_ms(const struct accounts *accounts)
{
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < accounts->n; i++)
		if (accounts->v[i].fetch == NULL && accounts->v[i].due_ms < next)
			next = accounts->v[i].due_ms;
	return next;
}

void
account_succeeded(struct account *a, uint64_t lifetime, int64_t now_ms)
{
	a->failures = 0;
	a->complaint[0] = '\0';
	a->due_ms = now_ms + (int64_t)lifetime * 8 * SECOND / 10;
	a->ends_ms = now_ms + (int64_t)lifetime * SECOND;
}

void
account_failed(struct account *a, enum pn_status st, int64_t retry_after_ms, int64_t now_ms)
{
	bool useless = st == PN_INVALID;
	int64_t most = useless ? HOUR : 5 * MINUTE;
	int64_t pause = (int64_t)(useless ? 5 * MINUTE : 5 * SECOND) << a->failures;

	if (a->failures < DOUBLINGS_MAX)
		a->failures++;
	if (pause > most)
		pause = most;
	if (retry_after_ms > pause)
		pause = retry_after_ms < HOUR ? retry_after_ms : HOUR;
	a->due_ms = now_ms + pause;
}

bool
account_refused(struct account *a, int64_t now_ms)
{
	int64_t due = now_ms;

	if (a->refused_ms != 0 && due < a->refused_ms + 5 * MINUTE)
		due = a->refused_ms + 5 * MINUTE;
	if (a->fetch != NULL || a->failures > 0 || a->due_ms <= due)
		return false;
	a->due_ms = a->refused_ms = due;
	return true;
}

bool
account_complains(struct account *a, const char *text, int64_t now_ms)
{
	if (strcmp(a->complaint, text) == 0 && now_ms - a->complained_ms < HOUR)
		return false;
	(void)snprintf(a->complaint, sizeof(a->complaint), "%s", text);
	a->complained_ms = now_ms;
	return true;
}
