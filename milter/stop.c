#include "stop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "counters.h"
#include "poke.h"
#include "postern/log.h"
#include "shared.h"

enum {
	LOOK_MS = 20,
	CALLBACKS_MS = 5000,
	REPLY_MS = 10,		/* between a callback's end and its answer on the wire */
};

/* Not in mfapi.h; where a libmilter hides it, smfi_main() must return. */
extern int mi_stop(void) __attribute__((weak));

bool
stop_asked(void)
{
	return mi_stop != NULL && mi_stop() != 0;
}

static void
pause_ms(long ms)
{
	struct timespec t = { 0, ms * 1000000 };

	(void)nanosleep(&t, NULL);
}

_Noreturn void
stop(struct pn_socket *bound, int code)
{
	static atomic_flag begun = ATOMIC_FLAG_INIT;
	struct pn_error err = { "" };

	while (atomic_flag_test_and_set(&begun))
		(void)pause();
	pn_notify("STOPPING=1");
	for (int ms = 0; ms < CALLBACKS_MS && poke_running() > 0; ms += REPLY_MS)
		pause_ms(REPLY_MS);
	pause_ms(REPLY_MS);
	if (counters_flush(state_store(), &err) != PN_OK || pn_store_sync(state_store(), &err) != PN_OK)
		pn_log(PN_LOG_ERROR, "%s", err.text);
	pn_log(PN_LOG_INFO, "stopped");
	pn_socket_done(bound);
	/* nothing is freed: other threads may still look at it */
	_exit(code);
}

static void *
watch(void *bound)
{
	while (!stop_asked())
		pause_ms(LOOK_MS);
	stop(bound, EX_OK);
}

bool
stop_start(struct pn_socket *bound)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, watch, bound) != 0)
		return false;
	(void)pthread_detach(thread);
	return true;
}
