#include "counters.h"

#include <stdatomic.h>
#include <stdio.h>

enum { ACTIONS = PN_ACTION_HOLD + 1, RULES = PN_RULE_TROUBLE + 1, NAME_SIZE = 64 };

static const char *const names[COUNT_LAST] = {
	[COUNT_MAILS] = "mails",
	[COUNT_OUTBOUND] = "outbound_mails",
	[COUNT_LEARNED] = "threads_learned",
	[COUNT_RCPT_OURS] = "recipients_ours",
	[COUNT_RCPT_REFUSED] = "recipients_refused",
	[COUNT_RCPT_TROUBLE] = "recipients_deferred",
	[COUNT_STORE_ERRORS] = "store_errors",
	[COUNT_MISCONFIGURED] = "alias_misconfigured",
	[COUNT_ACTION_ERRORS] = "action_errors",
};

static atomic_ulong counts[COUNT_LAST];
static atomic_ulong verdicts[ACTIONS][RULES];

void
count(enum counter which, unsigned long n)
{
	atomic_fetch_add(&counts[which], n);
}

void
count_verdict(const struct pn_verdict *verdict)
{
	atomic_fetch_add(&verdicts[verdict->action][verdict->rule], 1);
}

struct flush {
	struct pn_counter rows[COUNT_LAST + ACTIONS * RULES];
	atomic_ulong *from[COUNT_LAST + ACTIONS * RULES];
	char texts[COUNT_LAST + ACTIONS * RULES][NAME_SIZE];
	size_t n;
};

static void
add(struct flush *f, atomic_ulong *from, const char *prefix, const char *name)
{
	unsigned long value = atomic_exchange(from, 0);
	int n;

	if (value == 0)
		return;
	n = snprintf(f->texts[f->n], NAME_SIZE, "%s%s", prefix, name);
	f->rows[f->n] = (struct pn_counter){ pn_str_n(f->texts[f->n], (size_t)n), value };
	f->from[f->n] = from;
	f->n++;
}

enum pn_status
counters_flush(struct pn_store *store, struct pn_error *err)
{
	struct flush f = { .n = 0 };
	enum pn_status st = PN_OK;

	for (size_t i = 0; i < COUNT_LAST; i++)
		add(&f, &counts[i], "", names[i]);
	for (size_t a = 0; a < ACTIONS; a++)
		for (size_t r = 0; r < RULES; r++) {
			char prefix[NAME_SIZE];

			(void)snprintf(prefix, sizeof(prefix), "verdict_%s_", pn_action_name((enum pn_action)a));
			add(&f, &verdicts[a][r], prefix, pn_rule_name((enum pn_rule)r));
		}
	if (f.n > 0)
		st = pn_counters_add(store, f.rows, f.n, err);
	for (size_t i = 0; i < f.n && st != PN_OK; i++)
		atomic_fetch_add(f.from[i], f.rows[i].value);	/* the next time, then */
	return st;
}
