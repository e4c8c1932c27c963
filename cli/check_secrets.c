/* The passwords, tokens and certificates of the relays, and what Postfix logs in with. */
#include "check.h"

#include <errno.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "postern/clock.h"
#include "postern/token.h"

/* -- secrets, as postern-policy reads them --------------------------------------------- */

static enum pn_status
read_secret(const struct check *check, const void *about, struct pn_error *err)
{
	const struct pn_relay *relay = about;
	struct pn_token token;
	struct pn_str secret;
	enum pn_status st;

	if (relay->login == PN_LOGIN_OAUTH)
		return pn_token_read(check->cli->config->state_directory, relay->name, pn_clock_now(),
		    check->arena, &token, err);
	st = pn_config_secret(pn_arena_cstr(check->arena, relay->password_file), check->arena, &secret, err);
	if (st == PN_OK)
		explicit_bzero((void *)(uintptr_t)secret.p, secret.n);
	return st;
}

static bool
become(uid_t user)
{
	struct passwd entry, *found = NULL;
	char text[4096];

	if (geteuid() != 0 || user == 0)
		return true;
	return getpwuid_r(user, &entry, text, sizeof(text), &found) == 0 && found != NULL
	    && initgroups(found->pw_name, found->pw_gid) == 0 && setgid(found->pw_gid) == 0
	    && setuid(user) == 0;
}

enum pn_status
check_as_user(const struct check *check, uid_t user, check_act *act, const void *about, struct pn_error *err)
{
	enum pn_status st = PN_TEMPFAIL;
	int ends[2], status = 0;
	ssize_t n;
	pid_t pid;

	if (pipe(ends) != 0)
		return pn_fail(err, PN_TEMPFAIL, "pipe: %s", strerrordesc_np(errno));
	pid = fork();
	if (pid == 0) {
		struct pn_error fault = { "" };

		st = become(user) ? act(check, about, &fault)
				  : pn_fail(&fault, PN_TEMPFAIL, "cannot try as user %u", (unsigned)user);
		(void)!write(ends[1], fault.text, sizeof(fault.text));
		_exit((int)st);
	}
	(void)close(ends[1]);
	n = read(ends[0], err->text, sizeof(err->text));
	(void)close(ends[0]);
	if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && n == sizeof(err->text))
		return (enum pn_status)WEXITSTATUS(status);
	return pn_fail(err, PN_TEMPFAIL, "cannot try");
}

static void
check_secret(struct check *check, const struct pn_relay *relay)
{
	bool oauth = relay->login == PN_LOGIN_OAUTH;
	struct pn_error err = { "" };
	enum pn_status st;

	if (relay->user.n == 0 || relay->login == PN_LOGIN_CERTIFICATE)
		return;
	st = check->policy_runs ? check_as_user(check, check->policy_user, read_secret, relay, &err)
				: read_secret(check, relay, &err);
	if (st != PN_OK)
		finding(check, LEVEL_ERROR, "relays",
		    oauth ? PN_STR("start postern-broker; its log says what is missing")
			  : PN_STR("until it is mended, mail for this relay waits"),
		    "relay " PN_STR_FMT ": its %s cannot be had: %s", PN_STR_ARG(relay->name),
		    oauth ? "token" : "password", err.text);
}

/* -- certificates ------------------------------------------------------------------------- */

static void
check_files(struct check *check, const struct pn_relay *relay)
{
	const struct {
		const char *key;
		struct pn_str path;
	} files[] = { { "ca_file", relay->ca_file }, { "certificate_file", relay->certificate_file },
		{ "key_file", relay->key_file } };

	for (size_t i = 0; i < PN_COUNT(files); i++)
		if (files[i].path.n > 0 && access(pn_arena_cstr(check->arena, files[i].path), R_OK) != 0)
			finding(check, LEVEL_ERROR, "relays", PN_STR("Postfix reads it as root"),
			    "relay " PN_STR_FMT ": %s: " PN_STR_FMT ": %s", PN_STR_ARG(relay->name),
			    files[i].key, PN_STR_ARG(files[i].path), strerrordesc_np(errno));
}

/* -- what Postfix logs in with ------------------------------------------------------------- */

static bool
has_plugin(const char *name, struct pn_arena *arena)
{
	static const char *const folders[] = { "/usr/lib/sasl2", "/usr/lib/*/sasl2", "/usr/lib64/sasl2",
		"/usr/local/lib/sasl2" };
	bool found = false;

	for (size_t i = 0; i < PN_COUNT(folders) && !found; i++) {
		glob_t hits;

		found = glob(pn_arena_printf(arena, "%s/lib%s.so*", folders[i], name).p, 0, NULL, &hits) == 0;
		globfree(&hits);
	}
	return found;
}

static void
check_plugins(struct check *check, enum pn_login login)
{
	const struct pn_relays relays = check->cli->config->relays;
	const char *plugin = login == PN_LOGIN_OAUTH ? "postern_oauth" : "plain";

	for (size_t i = 0; i < relays.n; i++) {
		const struct pn_relay *r = &relays.v[i];

		if (!r->active || r->user.n == 0 || r->login != login || has_plugin(plugin, check->arena))
			continue;
		finding(check, LEVEL_ERROR, "relays",
		    login == PN_LOGIN_OAUTH ? PN_STR("make install puts it there; see docs/oauth.md")
					    : PN_STR("apt install libsasl2-modules"),
		    "relay " PN_STR_FMT ": Cyrus SASL has no plugin %s, so Postfix cannot log in",
		    PN_STR_ARG(r->name), plugin);
		return;
	}
}

void
check_secrets(struct check *check)
{
	const struct pn_relays relays = check->cli->config->relays;

	check_signing(check);
	for (size_t i = 0; i < relays.n; i++)
		if (relays.v[i].active) {
			check_secret(check, &relays.v[i]);
			check_files(check, &relays.v[i]);
		}
	check_plugins(check, PN_LOGIN_PASSWORD);
	check_plugins(check, PN_LOGIN_OAUTH);
}
