/* seed - puts something into a state directory, for the tests of the command.
 *
 *     seed STATE thread GATEWAY MESSAGE-ID MODEL RECORD outbound|inbound|synced
 *     seed STATE count GATEWAY SENDER MODEL RECORD TIMES
 *     seed STATE bounce GATEWAY RECIPIENT STATUS REASON
 *     seed STATE counter NAME VALUE
 *     seed STATE synced GATEWAY aliases|threads
 *     seed STATE alias GATEWAY ADDRESS MODEL CONTACT(0-3)      as if synchronised
 *     seed STATE threads GATEWAY N                             N of them
 */
#include <stdio.h>
#include <stdlib.h>

#include "postern/clock.h"
#include "postern/store.h"

enum { ARGUMENTS_MAX = 8 };

struct seed {
	struct pn_store *store;
	struct pn_str v[ARGUMENTS_MAX];		/* behind the verb */
	struct pn_error err;
};

static uint64_t
number(struct pn_str text)
{
	uint64_t n;

	if (!pn_str_to_u64(text, INT64_MAX, &n))
		n = 0;
	return n;
}

static enum pn_status
thread(struct seed *s)
{
	struct pn_thread row = {
		.message_id = s->v[1],
		.model = s->v[2],
		.res_id = number(s->v[3]),
		.origin = pn_str_eq(s->v[4], PN_STR("inbound")) ? PN_THREAD_INBOUND
		    : pn_str_eq(s->v[4], PN_STR("synced")) ? PN_THREAD_SYNCED : PN_THREAD_OUTBOUND,
	};

	return pn_thread_learn(s->store, s->v[0], &row, 1, pn_clock_now(), &s->err);
}

static enum pn_status
threads(struct seed *s)
{
	uint64_t n = number(s->v[1]);
	enum pn_status st = PN_OK;

	for (uint64_t i = 1; i <= n && st == PN_OK; i++) {
		char id[64];
		struct pn_thread row = { .model = PN_STR("crm.lead"), .res_id = i };

		row.message_id =
		    pn_str_n(id, (size_t)snprintf(id, sizeof(id), "<%llu@odoo>", (unsigned long long)i));
		st = pn_thread_learn(s->store, s->v[0], &row, 1, pn_clock_now(), &s->err);
	}
	return st;
}

static enum pn_status
count(struct seed *s)
{
	struct pn_window_key key = { .sender = s->v[1], .model = s->v[2], .record = s->v[3] };
	struct pn_admission admission = {
		.gateway = s->v[0],
		.sender = s->v[1],
		.windows = &key,
		.window_count = 1,
		.threshold = UINT64_MAX,
		.window_ms = 7200000,
		.now_ms = pn_clock_now_ms(),
	};
	enum pn_status st = PN_OK;
	enum pn_admitted admitted;
	size_t which;

	for (uint64_t i = number(s->v[4]); i > 0 && st == PN_OK; i--)
		st = pn_store_admit(s->store, &admission, &admitted, &which, &s->err);
	return st;
}

static enum pn_status
bounce(struct seed *s)
{
	struct pn_bounce_event event = {
		.gateway = s->v[0],
		.recipient = s->v[1],
		.status = s->v[2],
		.reason = s->v[3],
		.message_id = PN_STR("<sent@acme>"),
		.time = pn_clock_now(),
	};

	return pn_bounce_add(s->store, &event, &s->err);
}

static enum pn_status
counter(struct seed *s)
{
	struct pn_counter row = { s->v[0], number(s->v[1]) };

	return pn_counters_add(s->store, &row, 1, &s->err);
}

static enum pn_status
synced(struct seed *s)
{
	return pn_directory_synced(s->store, s->v[0],
	    pn_str_eq(s->v[1], PN_STR("threads")) ? PN_TABLE_THREADS : PN_TABLE_ALIASES, pn_clock_now(),
	    &s->err);
}

static enum pn_status
alias(struct seed *s)
{
	struct pn_alias_row row = { .gateway = s->v[0],
		.alias = { .full = s->v[1],
		    .model = s->v[2],
		    .local = pn_str_head(s->v[1], pn_str_find(s->v[1], '@')),
		    .contact = (enum pn_contact)number(s->v[3]) } };
	struct pn_directory_changes changes;

	return pn_directory_apply(s->store, PN_SOURCE_SYNC, s->v[0], &row, 1, &changes, &s->err);
}

int
main(int argc, char **argv)
{
	static const struct { const char *verb; enum pn_status (*run)(struct seed *s); } verbs[] = {
		{ "thread", thread }, { "threads", threads }, { "count", count }, { "bounce", bounce },
		{ "counter", counter }, { "synced", synced }, { "alias", alias },
	};
	struct seed s = { .store = NULL };
	struct pn_store_options options = { .directory_map_size = 1 << 28, .state_map_size = 1 << 28 };
	enum pn_status st = PN_NOT_FOUND;

	if (argc < 3 || argc > 3 + ARGUMENTS_MAX)
		return 64;
	options.path = argv[1];
	for (int i = 3; i < argc; i++)
		s.v[i - 3] = pn_str_c(argv[i]);
	for (int i = argc; i < 3 + ARGUMENTS_MAX; i++)
		s.v[i - 3] = PN_STR_EMPTY;
	if (pn_store_open(&options, &s.store, &s.err) == PN_OK)
		for (size_t i = 0; i < PN_COUNT(verbs); i++)
			if (strcmp(argv[2], verbs[i].verb) == 0)
				st = verbs[i].run(&s);
	pn_store_close(s.store);
	if (st != PN_OK)
		(void)fprintf(stderr, "seed: %s: %s\n", argv[2], s.err.text);
	return st == PN_OK ? 0 : 1;
}
