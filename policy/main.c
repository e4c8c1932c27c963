/* postern-policy - what Postfix asks instead of its own tables. */
#include <errno.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include <event2/util.h>

#include "postern/daemon.h"
#include "postern/log.h"
#include "server.h"

enum {
	OWN_FILES = 64,		/* descriptors besides connections */
	PORTS_MAX = 3,
};

static const struct pn_program program = {
	.name = "postern-policy",
	.synopsis = "[-c FILE] [-v]",
	.purpose = "Answers Postfix's questions: recipients, relays, their passwords and TLS levels.",
	.options =
	    "  -c FILE    the configuration (" PN_CONFIG_DEFAULT_PATH ")\n"
	    "  -v         log every question\n"
	    "  --help     this text\n"
	    "  --version  the version\n"
	    "It stays in the foreground.  SIGUSR1 (or SIGHUP) reads the configuration again; SIGTERM stops it.\n",
};

static int
exit_code(enum pn_status st)
{
	switch (st) {
	case PN_OK:
		return EX_OK;
	case PN_NOT_FOUND:
	case PN_INVALID:
		return EX_CONFIG;
	case PN_TEMPFAIL:
	case PN_LIMIT:
		break;
	}
	return EX_UNAVAILABLE;
}

static void
started(void)
{
	pn_log(PN_LOG_INFO, "started version=" PN_VERSION);
	pn_notify("READY=1");
}

/* The sockets that the configuration names; they come first: a second instance
 * must not touch the state. */
struct doors {
	struct server_port ports[PORTS_MAX];
	struct pn_socket bound[PORTS_MAX];
	size_t n;
};

/* "127.0.0.1:PORT" or "[::1]:PORT"; the configuration allows nothing else. */
static enum pn_status
listen_loopback(struct pn_str address, int *fd, struct pn_error *err)
{
	struct sockaddr_storage to;
	int size = sizeof(to), on = 1;
	char text[64];

	(void)snprintf(text, sizeof(text), PN_STR_FMT, PN_STR_ARG(pn_str_head(address, sizeof(text) - 1)));
	if (evutil_parse_sockaddr_port(text, (struct sockaddr *)&to, &size) != 0)
		return pn_fail(err, PN_INVALID, "policy_tcp: %s is no address with a port", text);
	*fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*fd >= 0 && setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0
	    && bind(*fd, (struct sockaddr *)&to, (socklen_t)size) == 0 && listen(*fd, SOMAXCONN) == 0)
		return PN_OK;
	(void)pn_fail(err, PN_TEMPFAIL, "cannot listen on %s: %s", text, strerror(errno));
	if (*fd >= 0)
		(void)close(*fd);
	return PN_TEMPFAIL;
}

static enum pn_status
open_door(struct doors *doors, const struct pn_config *config, struct pn_str address,
    const struct protocol *protocol, struct pn_error *err)
{
	struct server_port *port = &doors->ports[doors->n];
	enum pn_status st;

	if (address.n == 0)
		return PN_OK;
	port->protocol = protocol;
	doors->bound[doors->n] = (struct pn_socket){ .lock = -1 };
	if (pn_str_starts(address, PN_STR("unix:")) || pn_str_starts(address, PN_STR("fd:")))
		st = pn_socket_listen(&doors->bound[doors->n], address, config->socket_group,
		    (unsigned)config->socket_mode, &port->fd, err);
	else
		st = listen_loopback(address, &port->fd, err);
	if (st == PN_OK)
		doors->n++;
	return st;
}

/* Passwords are never spoken of over TCP: that is the policy protocol only. */
static enum pn_status
open_doors(struct doors *doors, const struct pn_config *config, struct pn_error *err)
{
	enum pn_status st = open_door(doors, config, config->map_socket, &protocol_socketmap, err);

	if (st == PN_OK)
		st = open_door(doors, config, config->policy_socket, &protocol_policy, err);
	if (st == PN_OK)
		st = open_door(doors, config, config->policy_tcp, &protocol_policy, err);
	return st;
}

static void
close_doors(struct doors *doors)
{
	for (size_t i = 0; i < doors->n; i++)
		pn_socket_done(&doors->bound[i]);
}

static int
run(struct pn_config *config, const struct pn_daemon_options *options)
{
	struct pn_error err = { "" };
	struct service service;
	struct doors doors = { .n = 0 };
	enum pn_status st;

	server_hold_signals();
	pn_daemon_keep_secrets();
	st = open_doors(&doors, config, &err);
	if (st != PN_OK) {
		pn_log(PN_LOG_ERROR, "%s", err.text);
		close_doors(&doors);
		pn_config_free(config);
		return exit_code(st);
	}
	service_init(&service, options->config, config, options->verbose);
	st = server_run(&service, doors.ports, doors.n, &server_default_limits, started, &err);
	close_doors(&doors);
	service_done(&service);
	if (st != PN_OK) {
		pn_log(PN_LOG_ERROR, "%s", err.text);
		return EX_OSERR;
	}
	pn_log(PN_LOG_INFO, "stopped");
	return EX_OK;
}

int
main(int argc, char **argv)
{
	uint64_t files = server_default_limits.max + OWN_FILES;
	struct pn_daemon_options options;
	struct pn_config *config;
	int code;

	if (!pn_daemon_options(&program, argc, argv, &options, &code))
		return code;
	config = pn_daemon_config(&program, options.config);
	if (config == NULL)
		return EX_CONFIG;
	pn_log_open(program.name, config->log_syslog ? PN_LOG_SYSLOG : PN_LOG_STDERR, PN_LOG_INFO);
	if (pn_raise_open_files(files) < files)
		pn_log(PN_LOG_WARN, "too few open files are allowed for %zu connections",
		    server_default_limits.max);
	return run(config, &options);
}
