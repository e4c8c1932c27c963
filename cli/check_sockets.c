/* The sockets: are they there, may Postfix use them, does somebody answer? */
#include "check.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "postern/netstring.h"

enum { PATIENCE_SECONDS = 5, GROUPS_MAX = 64, ANSWER_MAX = 4096 };

/* -- may the user postfix get there? -------------------------------------------------- */

struct visitor {
	uid_t uid;
	gid_t groups[GROUPS_MAX];
	int group_count;
};

static bool
find_visitor(const char *name, struct visitor *out)
{
	struct passwd entry, *found = NULL;
	char text[4096];

	if (getpwnam_r(name, &entry, text, sizeof(text), &found) != 0 || found == NULL)
		return false;
	out->uid = found->pw_uid;
	out->group_count = GROUPS_MAX;
	if (getgrouplist(name, found->pw_gid, out->groups, &out->group_count) < 0)
		out->group_count = GROUPS_MAX;
	return true;
}

/* bits: of S_IRWXO */
static bool
allowed(const struct visitor *who, const struct stat *st, mode_t bits)
{
	if (st->st_uid == who->uid)
		return (st->st_mode >> 6 & bits) == bits;
	for (int i = 0; i < who->group_count; i++)
		if (st->st_gid == who->groups[i])
			return (st->st_mode >> 3 & bits) == bits;
	return (st->st_mode & bits) == bits;
}

/* "" when the visitor may connect, else the folder or socket in the way. */
static struct pn_str
obstacle(struct check *check, const struct visitor *who, struct pn_str path)
{
	for (size_t i = 1; i <= path.n; i++) {
		bool whole = i == path.n;
		struct pn_str part = pn_str_head(path, i);
		struct stat st;

		if (!whole && path.p[i] != '/')
			continue;
		if (stat(pn_arena_cstr(check->arena, part), &st) != 0
		    || !allowed(who, &st, whole ? S_IROTH | S_IWOTH : S_IXOTH))
			return part;
	}
	return PN_STR_EMPTY;
}

/* -- does it answer? ------------------------------------------------------------------ */

static int
connect_to(const char *path)
{
	struct timeval patience = { .tv_sec = PATIENCE_SECONDS };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), saved;

	if (fd < 0)
		return -1;
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (const struct sockaddr *)(const void *)&address, sizeof(address)) == 0)
		return fd;
	saved = errno;
	(void)close(fd);
	errno = saved;
	return -1;
}

static bool
receive(int fd, unsigned char *p, size_t n)
{
	while (n > 0) {
		ssize_t got = recv(fd, p, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		p += got;
		n -= (size_t)got;
	}
	return true;
}

static bool
find_peer(int fd, uid_t *user)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
		return false;
	*user = peer.uid;
	return true;
}

/* Option negotiation of milter protocol 6, as Postfix 3.7 offers it. */
static const char *
ask_milter(struct check *check, int fd)
{
	static const unsigned char offer[] = { 0, 0, 0, 13, 'O', 0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0x1f, 0xff,
		0xff };
	static const unsigned char quit[] = { 0, 0, 0, 1, 'Q' };
	unsigned char answer[17];

	check->milter_runs = find_peer(fd, &check->milter_user);
	if (send(fd, offer, sizeof(offer), MSG_NOSIGNAL) != (ssize_t)sizeof(offer))
		return "does not listen to what it is sent";
	if (!receive(fd, answer, sizeof(answer)))
		return "does not answer";
	if (answer[4] != 'O')
		return "is no milter, or refuses the mail server's options";
	(void)send(fd, quit, sizeof(quit), MSG_NOSIGNAL);
	return NULL;
}

/* One netstring for another. */
static const char *
ask_netstring(struct check *check, int fd, struct pn_str question, struct pn_str *answer)
{
	struct pn_netstring parser;
	struct pn_buf request;
	const char *fault = NULL;
	enum pn_status st = PN_NOT_FOUND;

	pn_buf_init(&request, ANSWER_MAX);
	pn_netstring_init(&parser, ANSWER_MAX);
	pn_netstring_add(&request, question);
	if (send(fd, request.p, request.n, MSG_NOSIGNAL) != (ssize_t)request.n)
		fault = "does not listen to what it is sent";
	while (fault == NULL && st == PN_NOT_FOUND) {
		unsigned char byte;
		struct pn_str in = { (const char *)&byte, 1 };

		if (!receive(fd, &byte, 1))
			fault = "does not answer";
		else
			st = pn_netstring_push(&parser, &in, answer);
	}
	if (fault == NULL && st != PN_OK)
		fault = "does not speak the protocol";
	else if (fault == NULL)
		*answer = pn_arena_dup(check->arena, *answer);
	pn_netstring_done(&parser);
	pn_buf_done(&request);
	return fault;
}

/* The first catchall is an address that every daemon with this configuration knows. */
static const char *
ask_map(struct check *check, int fd)
{
	const struct pn_directory *directory = &check->cli->config->directory;
	struct pn_str question = pn_arena_printf(check->arena, "recipient " PN_STR_FMT,
	    PN_STR_ARG(directory->domain_count > 0 ? directory->domains[0].catchall : PN_STR("postmaster")));
	struct pn_str answer = PN_STR_EMPTY;
	const char *fault = ask_netstring(check, fd, question, &answer);

	check->policy_runs = find_peer(fd, &check->policy_user);
	if (fault == NULL && pn_str_starts(answer, PN_STR("NOTFOUND")) && directory->domain_count > 0)
		fault = "does not know the catchall address: it runs with another configuration; reload it";
	else if (fault == NULL
	    && (pn_str_starts(answer, PN_STR("TEMP")) || pn_str_starts(answer, PN_STR("PERM"))))
		fault = "cannot answer now; its log says why";
	return fault;
}

/* The first key that is of one domain; without one, what is no question. */
static const char *
ask_signer(struct check *check, int fd)
{
	struct pn_key_table keys = check_keys(check);
	struct pn_str question = PN_STR("public"), answer = PN_STR_EMPTY;
	const char *fault;

	for (size_t i = 0; i < keys.n && question.n == 6; i++)
		if (!pn_str_eq(keys.v[i].domain, PN_STR("%")))
			question = pn_arena_printf(check->arena, "public " PN_STR_FMT " " PN_STR_FMT " " PN_STR_FMT,
			    PN_STR_ARG(keys.v[i].name), PN_STR_ARG(keys.v[i].domain), PN_STR_ARG(keys.v[i].selector));
	fault = ask_netstring(check, fd, question, &answer);
	if (fault == NULL && pn_str_starts(answer, PN_STR("NOTFOUND")))
		fault = "does not know the first key of sign_key_table: reload it";
	else if (fault == NULL && !pn_str_starts(answer, question.n == 6 ? PN_STR("PERM") : PN_STR("OK")))
		fault = "cannot answer now; its log says why";
	return fault;
}

/* A policy request that is none of ours: DUNNO. */
static const char *
ask_policy(struct check *check, int fd)
{
	static const char request[] = "request=smtpd_access_policy\npolicy_context=\n\n";
	static const char answer[] = "action=DUNNO\n\n";
	unsigned char got[sizeof(answer) - 1];

	(void)check;
	if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(request) - 1)
		return "does not listen to what it is sent";
	if (!receive(fd, got, sizeof(got)))
		return "does not answer";
	return memcmp(got, answer, sizeof(got)) == 0 ? NULL : "does not speak the policy protocol";
}

/* -- one socket ----------------------------------------------------------------------- */

struct wanted {
	const char *key;		/* of the configuration */
	const char *program;
	struct pn_str address;
	bool needed;
	bool by_postfix;		/* it is Postfix that comes */
	const char *(*ask)(struct check *check, int fd);
};

static void
check_reach(struct check *check, const struct wanted *w, const char *path)
{
	struct visitor postfix;
	struct pn_str where;

	if (!find_visitor("postfix", &postfix))
		return;
	where = obstacle(check, &postfix, pn_str_c(path));
	if (where.n > 0)
		finding(check, LEVEL_ERROR, "sockets",
		    pn_arena_printf(check->arena,
			"set socket_group = postfix and "
			"socket_mode = 0660, and let the group enter the folder; then restart %s",
			w->program),
		    "%s: the user postfix may not use " PN_STR_FMT, w->key, PN_STR_ARG(where));
}

static void
check_answer(struct check *check, const struct wanted *w, const char *path)
{
	const char *fault;
	int fd;

	progress(check->cli, w->key, 0);
	fd = connect_to(path);
	if (fd < 0) {
		bool denied = errno == EACCES || errno == EPERM;

		finding(check, denied ? LEVEL_WARNING : LEVEL_ERROR, "sockets",
		    pn_arena_printf(
			check->arena, denied ? "run this as root; %s was not asked" : "start %s", w->program),
		    "%s: %s: %s", w->key, path, strerror(errno));
		return;
	}
	fault = w->ask(check, fd);
	(void)close(fd);
	if (fault == NULL)
		finding(
		    check, LEVEL_OK, "sockets", NO_REMEDY, "%s: %s answers at %s", w->key, w->program, path);
	else
		finding(check, LEVEL_ERROR, "sockets",
		    pn_arena_printf(check->arena, "look at the log of %s", w->program), "%s: %s %s", w->key,
		    path, fault);
}

static void
check_socket(struct check *check, const struct wanted *w)
{
	char path[PN_SOCKET_PATH_SIZE];
	struct pn_error err = { "" };
	struct stat st;

	if (pn_socket_path(w->address, path, &err) != PN_OK) {
		finding(check, LEVEL_ERROR, "sockets", NO_REMEDY, "%s: %s", w->key, err.text);
		return;
	}
	if (stat(path, &st) != 0 && errno == ENOENT) {
		finding(check, w->needed ? LEVEL_ERROR : LEVEL_OK, "sockets",
		    w->needed ? pn_arena_printf(check->arena, "start %s", w->program) : NO_REMEDY,
		    "%s: nobody listens at %s%s", w->key, path, w->needed ? "" : ", and no domain needs it");
		return;
	}
	if (stat(path, &st) == 0 && !S_ISSOCK(st.st_mode)) {
		finding(check, LEVEL_ERROR, "sockets",
		    pn_arena_printf(check->arena, "remove it and start %s", w->program),
		    "%s: %s is no socket", w->key, path);
		return;
	}
	if (w->by_postfix)
		check_reach(check, w, path);
	check_answer(check, w, path);
}

void
check_sockets(struct check *check)
{
	const struct pn_config *config = check->cli->config;
	bool mixed = false, relays = false;

	for (size_t i = 0; i < config->directory.domain_count; i++)
		mixed = mixed || config->directory.domains[i].unknown == PN_UNKNOWN_PASS;
	for (size_t i = 0; i < config->relays.n; i++)
		relays = relays || config->relays.v[i].active;
	check_socket(check,
	    &(struct wanted) { "milter_socket", "postern-milter", config->milter_socket, true, true, ask_milter });
	check_socket(check, &(struct wanted) { "map_socket", "postern-policy", config->map_socket,
	    mixed || relays, true, ask_map });
	if (relays && config->policy_socket.n > 0)
		check_socket(check, &(struct wanted) { "policy_socket", "postern-policy",
		    config->policy_socket, true, true, ask_policy });
	if (config->sign.socket.n > 0)
		check_socket(check, &(struct wanted) { "signer_socket", "postern-signer", config->sign.socket,
		    config->sign.signing_table.n > 0, false, ask_signer });
}
