#include "postern/token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 + 64 };	/* a state directory, and a file of ours in it */

enum pn_status
pn_token_read(struct pn_str state_directory, struct pn_str relay, int64_t now, struct pn_arena *arena,
    struct pn_token *out, struct pn_error *err)
{
	struct pn_str name = pn_arena_printf(
	    arena, PN_STR_FMT "/tokens/" PN_STR_FMT, PN_STR_ARG(state_directory), PN_STR_ARG(relay));
	const char *path = pn_arena_cstr(arena, name);
	struct pn_str text, token, line;
	enum pn_status st = pn_config_secret(path, arena, &text, err);
	uint64_t expires;

	if (st == PN_NOT_FOUND)
		return pn_fail_in(err, st, "no token yet; is postern-broker running?");
	if (st != PN_OK)
		return st;
	token = text;
	if (!pn_str_split(&token, '\n', &line) || !pn_str_to_u64(line, INT64_MAX, &expires) || token.n == 0
	    || pn_str_find(token, '\n') != PN_STR_NONE)
		return pn_fail(
		    err, PN_INVALID, "%s: holds no token; remove it and restart postern-broker", path);
	if ((int64_t)expires <= now)
		return pn_fail(
		    err, PN_TEMPFAIL, "%s: the token has expired; is postern-broker running?", path);
	*out = (struct pn_token){ token, (int64_t)expires };
	return PN_OK;
}

static void
note_path(struct pn_str state_directory, struct pn_str relay, char path[PATH_SIZE])
{
	(void)snprintf(path, PATH_SIZE, PN_STR_FMT "/tokens/." PN_STR_FMT ".refused", PN_STR_ARG(state_directory),
	    PN_STR_ARG(relay));
}

enum pn_status
pn_token_note_refusal(struct pn_str state_directory, struct pn_str relay, struct pn_error *err)
{
	char path[PATH_SIZE];
	int fd;

	note_path(state_directory, relay, path);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 && errno != ENOENT)
		return pn_fail(err, PN_TEMPFAIL, "cannot write %s: %s", path, strerrordesc_np(errno));
	if (fd >= 0)
		(void)close(fd);
	return PN_OK;
}

bool
pn_token_take_refusal(struct pn_str state_directory, struct pn_str relay)
{
	char path[PATH_SIZE];

	note_path(state_directory, relay, path);
	return unlink(path) == 0;
}
