#include "housekeeping.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "counters.h"
#include "postern/clock.h"
#include "postern/log.h"
#include "postern/program.h"
#include "shared.h"

enum {
	SWEEP_STEP = 200,	/* entries removed in one transaction: a millisecond or two */
	SWEEP_STEPS = 20,	/* transactions a second at most */
};

static void
reload_signals(sigset_t *set)
{
	(void)sigemptyset(set);
	(void)sigaddset(set, SIGUSR1);
	(void)sigaddset(set, SIGUSR2);
}

void
housekeeping_block_signals(void)
{
	sigset_t set;

	reload_signals(&set);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	/* libmilter does this too, once it runs */
	(void)signal(SIGPIPE, SIG_IGN);
}

static void *
wait_for_reload(void *ignored)
{
	sigset_t set;
	int signal;

	reload_signals(&set);
	for (;;) {
		if (sigwait(&set, &signal) != 0 || signal != SIGUSR1)
			continue;
		pn_notify("RELOADING=1");
		state_reload();
		pn_notify("READY=1");
	}
	return ignored;
}

/* The same trouble is logged when it begins, not every second. */
static void
report(enum pn_status st, const struct pn_error *err, bool *in_trouble)
{
	if (st != PN_OK && !*in_trouble)
		pn_log(PN_LOG_ERROR, "%s", err->text);
	else if (st == PN_OK && *in_trouble)
		pn_log(PN_LOG_WARN, "the state directory works again");
	*in_trouble = st != PN_OK;
}

static enum pn_status
tidy(struct pn_store *store, struct pn_error *err)
{
	enum pn_status st = counters_flush(store, err);
	size_t removed = SWEEP_STEP;

	for (int i = 0; st == PN_OK && i < SWEEP_STEPS && removed == SWEEP_STEP; i++)
		st = pn_store_sweep(store, pn_clock_now(), SWEEP_STEP, &removed, err);
	return st == PN_OK ? pn_store_sync(store, err) : st;
}

/* The state's file as it was at the start. */
struct place {
	char *folder;
	struct stat file;
};

static bool
look(const char *folder, struct stat *out)
{
	char *path = NULL;
	bool there;

	if (asprintf(&path, "%s/state/data.mdb", folder) < 0)
		pn_out_of_memory();
	there = stat(path, out) == 0;
	free(path);
	return there;
}

/* What is open goes on working, but no other program sees it, nor this one after a restart. */
static void
report_removal(struct place *place)
{
	struct stat now;

	if (place->folder == NULL || (look(place->folder, &now) && now.st_ino == place->file.st_ino
	    && now.st_dev == place->file.st_dev))
		return;
	pn_log(PN_LOG_ERROR, "the state directory %s was removed or replaced: restart this program", place->folder);
	free(place->folder);
	place->folder = NULL;
}

static void *
keep_house(void *ignored)
{
	struct place *place = ignored;
	bool in_trouble = false;

	for (;;) {
		struct pn_error err = { "" };

		(void)sleep(1);
		report_removal(place);
		report(tidy(state_store(), &err), &err, &in_trouble);
	}
	return ignored;
}

/* Lives as long as the process. */
static struct place *
remember_place(void)
{
	struct place *place = calloc(1, sizeof(*place));
	struct snapshot *snapshot = snapshot_take();
	struct pn_str folder = snapshot_gate(snapshot)->config->state_directory;

	if (place == NULL || asprintf(&place->folder, PN_STR_FMT, PN_STR_ARG(folder)) < 0)
		pn_out_of_memory();
	snapshot_release(snapshot);
	(void)look(place->folder, &place->file);
	return place;
}

bool
housekeeping_start(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, wait_for_reload, NULL) != 0)
		return false;
	(void)pthread_detach(thread);
	if (pthread_create(&thread, NULL, keep_house, remember_place()) != 0)
		return false;
	(void)pthread_detach(thread);
	return true;
}
