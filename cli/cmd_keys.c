/* postern keys - which subcommand, with which options. */
#include "keys.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "postern/idn.h"

enum { PATH_SIZE = 4096 };

/* What may become part of a path and of a name in the DNS. */
static bool
is_name(struct pn_str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!pn_is_alnum(name.p[i]) && name.p[i] != '-' && name.p[i] != '_' && name.p[i] != '.')
			return false;
	return pn_dns_name(name, &name);
}

static const struct verb {
	const char *name;
	size_t least; /* operands */
	bool writes;
	int (*run)(struct keys *k);
} verbs[] = {
	{ "make", 1, true, keys_make },
	{ "generate", 1, true, keys_make },
	{ "show", 1, false, keys_show },
	{ "check", 0, false, keys_check },
	{ "rotate", 1, true, keys_rotate },
	{ "list", 0, false, keys_list },
};

static const struct verb *
find_verb(struct pn_str name)
{
	for (size_t i = 0; i < PN_COUNT(verbs); i++)
		if (pn_str_eq(name, pn_str_c(verbs[i].name)))
			return &verbs[i];
	return NULL;
}

static int
read_operands(struct keys *k, const struct verb *verb)
{
	const struct pn_strs args = k->cli->args;

	if (args.n < verb->least + 1)
		return cli_misuse(k->cli, "keys %s needs a domain", verb->name);
	if (args.n > 1
	    && (pn_domain_to_ascii(args.v[1], k->arena, &k->domain) != PN_OK || !is_name(k->domain)))
		return cli_misuse(
		    k->cli, "\"" PN_STR_FMT "\" is no domain", PN_STR_ARG(text_shown(args.v[1], k->arena)));
	if (k->selector.n > 0 && !is_name(k->selector))
		return cli_misuse(k->cli, "\"" PN_STR_FMT "\" is no selector",
		    PN_STR_ARG(text_shown(k->selector, k->arena)));
	if (!pn_str_eq(k->type, PN_STR("rsa")) && !pn_str_eq(k->type, PN_STR("ed25519"))
	    && !pn_str_eq(k->type, PN_STR("both")))
		return cli_misuse(k->cli, "--type is rsa, ed25519 or both");
	if (k->bits < PN_DKIM_RSA_MIN || k->bits > PN_DKIM_RSA_MAX)
		return cli_misuse(k->cli, "--bits takes %d to %d", PN_DKIM_RSA_MIN, PN_DKIM_RSA_MAX);
	if (k->keep_days > 3650)
		return cli_misuse(k->cli, "--keep takes days, at most 3650");
	if (k->after_days > 3650)
		return cli_misuse(k->cli, "--after takes days, at most 3650");
	if (k->after_days > 0 && k->only_continue)
		return cli_misuse(k->cli, "--continue begins no rotation, --after does; one of the two");
	if (k->directory.n == 0 || k->directory.p[0] != '/' || k->directory.n > PATH_SIZE / 2)
		return cli_misuse(k->cli, "--directory takes an absolute path");
	return EX_OK;
}

/* One change at a time.  --print changes no table, so it needs none. */
static int
begin_writing(struct keys *k)
{
	const char *top = pn_arena_cstr(k->arena, k->directory);
	const char *folder = pn_arena_printf(k->arena, "%s/" PN_STR_FMT, top, PN_STR_ARG(k->domain)).p;
	struct pn_error err = { "" };

	if (!k->print && (k->files.key_path[0] == '\0' || k->files.signing_path[0] == '\0'))
		return cli_misuse(k->cli,
		    "sign_key_table and sign_table are not configured; set them, or use make --print");
	if (keys_make_folder(k, top, &err) != PN_OK || keys_make_folder(k, folder, &err) != PN_OK)
		return cli_fail(PN_TEMPFAIL, "%s", err.text);
	k->lock = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (k->lock < 0 || flock(k->lock, LOCK_EX | LOCK_NB) != 0)
		return cli_fail(PN_TEMPFAIL, PN_STR_FMT ": %s", PN_STR_ARG(k->directory),
		    errno == EWOULDBLOCK ? "another postern keys is at work" : strerrordesc_np(errno));
	return EX_OK;
}

static int
run(struct keys *k, const struct verb *verb)
{
	int code = key_files_open(k->cli, &k->files);

	if (code != EX_OK)
		return code;
	if (verb->writes)
		code = begin_writing(k);
	/* what was read before the lock may have changed */
	if (code == EX_OK && verb->writes)
		code = keys_reread(k);
	if (code == EX_OK)
		code = verb->run(k);
	key_files_close(&k->files);
	if (k->lock >= 0)
		(void)close(k->lock);
	return code;
}

int
cmd_keys(struct cli *cli)
{
	struct keys k = { .cli = cli,
		.arena = cli->arena,
		.directory = PN_STR("/etc/postern/keys"),
		.type = PN_STR("rsa"),
		.selector = PN_STR_EMPTY,
		.server = PN_STR_EMPTY,
		.domain = PN_STR_EMPTY,
		.bits = 2048,
		.keep_days = 7,
		.lock = -1 };
	const struct option_row options[] = {
		{ .name = "--selector", .text = &k.selector },
		{ .name = "--type", .text = &k.type },
		{ .name = "--bits", .number = &k.bits },
		{ .name = "--directory", .text = &k.directory },
		{ .name = "--print", .flag = &k.print },
		{ .name = "--dns", .text = &k.server },
		{ .name = "--keep", .number = &k.keep_days },
		{ .name = "--continue", .flag = &k.only_continue },
		{ .name = "--after", .number = &k.after_days },
	};
	int code = options_take(cli, options, PN_COUNT(options), 1, 2);
	const struct verb *verb;

	if (code != EX_OK)
		return code;
	verb = find_verb(cli->args.v[0]);
	if (verb == NULL)
		return cli_misuse(
		    cli, "keys " PN_STR_FMT "?", PN_STR_ARG(text_shown(cli->args.v[0], cli->arena)));
	code = read_operands(&k, verb);
	if (code == EX_OK)
		code = cli_load(cli);
	return code == EX_OK ? run(&k, verb) : code;
}
