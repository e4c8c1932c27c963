/* relay_health - tells a state directory how a relay does, for the tests.
 *
 *     relay_health STATE RELAY down|limit|well [WORDS]
 */
#include <stdio.h>
#include <string.h>

#include "postern/clock.h"
#include "postern/quota.h"

static enum pn_status
tell(struct pn_store *store, struct pn_str relay, const char *event, struct pn_str words, struct pn_error *err)
{
	int64_t now = pn_clock_now_ms();
	enum pn_status st = PN_OK;

	if (strcmp(event, "down") == 0)
		for (int i = 0; i < PN_HEALTH_FAILURES && st == PN_OK; i++)
			st = pn_health_learn(store, relay, PN_HEALTH_NO_CONNECTION, words, now, NULL, err);
	else if (strcmp(event, "limit") == 0)
		st = pn_health_learn(store, relay, PN_HEALTH_LIMIT, words, now, NULL, err);
	else
		st = pn_health_set(store, relay, &(struct pn_health){ .failures = 0 }, err);
	return st;
}

int
main(int argc, char **argv)
{
	struct pn_store_options options = { .path = argc > 1 ? argv[1] : "" };
	struct pn_store *store = NULL;
	struct pn_error err = { "" };
	enum pn_status st;

	if (argc < 4)
		return 64;
	st = pn_store_open(&options, &store, &err);
	if (st == PN_OK)
		st = tell(store, pn_str_c(argv[2]), argv[3], argc > 4 ? pn_str_c(argv[4]) : PN_STR("no answer"), &err);
	pn_store_close(store);
	if (st != PN_OK)
		(void)fprintf(stderr, "relay_health: %s\n", err.text);
	return st == PN_OK ? 0 : 1;
}
