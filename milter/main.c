/* postern-milter - decides about mail inside the SMTP session; see postern-milter(8). */
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "callbacks.h"
#include "housekeeping.h"
#include "poke.h"
#include "postern/log.h"
#include "stop.h"

enum {
	DATA_SIZE = 2 << 20,	/* one header in one packet: libmilter ends the session over its default of 64 kB */
	FILES_PER_SESSION = 4,
	FILES_OF_THE_RESOLVER = 4096,	/* one for each question under way */
};

static const struct pn_program program = {
	.name = "postern-milter",
	.synopsis = "[-c FILE] [-v]",
	.purpose = "Decides about mail for an application behind Postfix, inside the SMTP session.",
	.options = "  -c FILE    the configuration (" PN_CONFIG_DEFAULT_PATH ")\n"
	    "  -v         log more\n"
	    "  --help     this text\n"
	    "  --version  the version\n"
	    "It stays in the foreground.  SIGUSR1 reads the configuration again; SIGTERM and SIGHUP stop it.\n",
};

/* libmilter binds the socket itself: "unix:PATH" it knows, and fd:N by Debian's patch. */
static bool
bind_address(struct pn_str address)
{
	struct pn_arena *arena = pn_arena_new(SIZE_MAX);
	char *text = (char *)(uintptr_t)pn_arena_cstr(arena, address);
	mode_t mask = umask(0177);
	bool ok = smfi_setconn(text) == MI_SUCCESS && smfi_opensocket(0) == MI_SUCCESS;

	(void)umask(mask);
	if (!ok)
		pn_log(PN_LOG_ERROR, "milter_socket: cannot listen at %s", text);
	pn_arena_free(arena);
	return ok;
}

static int
open_socket(const struct pn_config *config, struct pn_socket *bound)
{
	struct pn_error err = { "" };
	bool inherited = pn_str_starts(config->milter_socket, PN_STR("fd:"));

	if (!inherited && pn_socket_prepare(bound, config->milter_socket, config->socket_group, &err) != PN_OK) {
		pn_log(PN_LOG_ERROR, "milter_socket: %s", err.text);
		return EX_UNAVAILABLE;
	}
	if (!bind_address(config->milter_socket))
		return EX_UNAVAILABLE;
	if (!inherited && pn_socket_finish(bound, config->socket_group, (unsigned)config->socket_mode, &err) != PN_OK) {
		pn_log(PN_LOG_ERROR, "milter_socket: %s", err.text);
		return EX_UNAVAILABLE;
	}
	return EX_OK;
}

static int
start(const struct pn_daemon_options *options, struct pn_socket *bound)
{
	struct snapshot *snapshot;
	const struct pn_config *config;
	int code = state_open(options->config, options->verbose);

	if (code != EX_OK)
		return code;
	snapshot = snapshot_take();
	config = snapshot_gate(snapshot)->config;
	(void)pn_raise_open_files(config->max_sessions * FILES_PER_SESSION + FILES_OF_THE_RESOLVER);
	if (smfi_register(callbacks) != MI_SUCCESS || smfi_setmaxdatasize(DATA_SIZE) == 0)
		code = EX_SOFTWARE;
	if (code == EX_OK)
		code = open_socket(config, bound);
	snapshot_release(snapshot);
	if (code == EX_OK && (!housekeeping_start() || (bound->path[0] != '\0' && !poke_start(bound->path))
	    || !stop_start(bound)))
		code = EX_OSERR;
	return code;
}

int
main(int argc, char **argv)
{
	struct pn_daemon_options options;
	struct pn_socket bound = { .lock = -1 };
	int code;

	if (!pn_daemon_options(&program, argc, argv, &options, &code))
		return code;
	pn_log_open(program.name, PN_LOG_STDERR, options.verbose ? PN_LOG_DEBUG : PN_LOG_INFO);
	housekeeping_block_signals();
	code = start(&options, &bound);
	if (code != EX_OK) {
		pn_socket_done(&bound);
		return code;
	}
	pn_log(PN_LOG_INFO, "started, version %s", PN_VERSION);
	pn_notify("READY=1");
	/* it also fails when it is told to stop before it waits for its first connection */
	if (smfi_main() != MI_SUCCESS && !stop_asked())
		code = EX_OSERR;
	stop(&bound, code);
}
