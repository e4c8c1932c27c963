/* Configuration and state, as every command needs them. */
#include "cli.h"

#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postern/clock.h"
#include "postern/idn.h"

enum { SCRATCH_DEPTH = 8 };

/* -- loading -------------------------------------------------------------------------- */

int
cli_load(struct cli *cli)
{
	struct pn_config_report report;
	enum pn_status st;

	if (cli->config != NULL)
		return EX_OK;
	pn_config_report_init(&report);
	progress_begin(cli, "reading the configuration");
	st = pn_config_load(cli->config_path, &cli->config, &report);
	progress_done(cli);
	if (st != PN_OK || cli->verbose)
		(void)fputs(pn_buf_c(&report.text), stderr);
	pn_config_report_done(&report);
	if (st == PN_OK)
		return EX_OK;
	(void)fprintf(stderr, "postern: %s cannot be used; mend what is said above\n", cli->config_path);
	return EX_CONFIG;
}

bool
cli_has_state(const struct pn_config *config)
{
	char path[4096];
	struct stat st;

	if (snprintf(path, sizeof(path), "%s/directory/data.mdb", config->store.path) >= (int)sizeof(path))
		return true;
	/* what cannot be looked at is there: opening it says why not */
	return stat(path, &st) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

static int
open_store(struct cli *cli, const struct pn_store_options *options)
{
	struct pn_error err = { "" };
	enum pn_status st = pn_store_open(options, &cli->store, &err);

	return st == PN_OK ? EX_OK : cli_fail(st, "%s", err.text);
}

int
cli_open(struct cli *cli)
{
	int code = cli_load(cli);

	return code == EX_OK ? open_store(cli, &cli->config->store) : code;
}

static bool
make_scratch(struct cli *cli)
{
	const char *folder = secure_getenv("TMPDIR");
	int n = snprintf(
	    cli->scratch, sizeof(cli->scratch), "%s/postern-XXXXXX", folder != NULL ? folder : "/tmp");

	if (n < (int)sizeof(cli->scratch) && mkdtemp(cli->scratch) != NULL)
		return true;
	cli->scratch[0] = '\0';
	return false;
}

/* A state of what the configuration says, in a folder that is removed again. */
static int
make_up_state(struct cli *cli)
{
	struct pn_store_options options = cli->config->store;
	struct pn_gate gate = { .config = cli->config };
	struct pn_error err = { "" };
	enum pn_status st;
	int code;

	if (!make_scratch(cli))
		return cli_fail(PN_TEMPFAIL, "no folder can be made for temporary files: %s; set TMPDIR",
		    strerror(errno));
	options.path = cli->scratch;
	options.directory_map_size = ((uint64_t)64 << 20) + cli->config->alias_count * 4096;
	options.state_map_size = 16 << 20;
	code = open_store(cli, &options);
	if (code != EX_OK)
		return code;
	gate.store = cli->store;
	progress_begin(cli, "making up a directory");
	st = pn_gate_apply(&gate, pn_clock_now(), NULL, &err);
	progress_done(cli);
	return st == PN_OK ? EX_OK : cli_fail(st, "%s", err.text);
}

int
cli_look(struct cli *cli)
{
	struct pn_store_options options;
	int code = cli_load(cli);

	if (code != EX_OK)
		return code;
	if (!cli_has_state(cli->config)) {
		(void)fprintf(stderr,
		    "postern: there is no state in " PN_STR_FMT " yet: this is what the configuration "
		    "alone says\n",
		    PN_STR_ARG(cli->config->state_directory));
		return make_up_state(cli);
	}
	options = cli->config->store;
	options.read_only = true;
	return open_store(cli, &options);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *place)
{
	(void)st;
	(void)type;
	(void)place;
	(void)remove(path);
	return 0;
}

void
cli_done(struct cli *cli)
{
	pn_store_close(cli->store);
	cli->store = NULL;
	if (cli->scratch[0] != '\0')
		(void)nftw(cli->scratch, remove_one, SCRATCH_DEPTH, FTW_DEPTH | FTW_PHYS);
	cli->scratch[0] = '\0';
	pn_config_free(cli->config);
	cli->config = NULL;
}

/* -- gateways ------------------------------------------------------------------------- */

static struct pn_str
gateway_names(const struct pn_directory *directory, struct pn_arena *arena)
{
	struct pn_strs_builder names = { .arena = arena };

	for (size_t i = 0; i < directory->gateway_count && i < 20; i++)
		pn_strs_add(&names, directory->gateways[i].name);
	return pn_strs_join(names.list, PN_STR(", "), arena);
}

int
cli_gateway(const struct cli *cli, struct pn_str name, const struct pn_gateway **out)
{
	const struct pn_directory *directory = &cli->config->directory;

	*out = name.n == 0 ? NULL : pn_directory_gateway(directory, name);
	if (name.n == 0 || *out != NULL)
		return EX_OK;
	return cli_misuse(cli, "no gateway \"" PN_STR_FMT "\"; there are: " PN_STR_FMT, PN_STR_ARG(name),
	    PN_STR_ARG(gateway_names(directory, cli->arena)));
}

int
cli_gateway_of(struct cli *cli, struct pn_str address, const struct pn_gateway **out)
{
	size_t at = pn_str_find_last(address, '@');
	const struct pn_domain *domain = NULL;
	struct pn_str ascii;

	if (at == PN_STR_NONE || at == 0)
		return cli_misuse(
		    cli, "\"" PN_STR_FMT "\" is no address; write local@domain", PN_STR_ARG(address));
	if (pn_domain_to_ascii(pn_str_from(address, at + 1), cli->arena, &ascii) == PN_OK)
		domain = pn_directory_domain(&cli->config->directory, ascii);
	if (domain == NULL)
		return cli_misuse(cli,
		    "the domain of \"" PN_STR_FMT "\" is not configured; name a gateway with --gateway",
		    PN_STR_ARG(address));
	*out = domain->gateway;
	return EX_OK;
}

static void
add_target(struct pn_strs_builder *list, struct pn_str target)
{
	size_t at = pn_str_find_last(target, '@');
	struct pn_str ascii;

	if (target.n > 0
	    && pn_domain_to_ascii(
		   at == PN_STR_NONE ? target : pn_str_from(target, at + 1), list->arena, &ascii)
		== PN_OK)
		pn_strs_add(list, ascii);
}

struct pn_strs
cli_target_domains(const struct pn_config *config, struct pn_arena *arena)
{
	struct pn_strs_builder list = { .arena = arena };

	for (size_t i = 0; i < config->directory.gateway_count; i++) {
		const struct pn_gateway *gateway = &config->directory.gateways[i];

		if (gateway->target == PN_TARGET_KEEP)
			continue;
		add_target(&list, gateway->target_value);
		add_target(&list, gateway->bounce_target);
	}
	return pn_strs_unique(list.list, arena);
}

/* -- configuration and directory ------------------------------------------------------ */

static int
by_key(const void *a, const void *b)
{
	const struct pn_alias_row *x = *(const struct pn_alias_row *const *)a;
	const struct pn_alias_row *y = *(const struct pn_alias_row *const *)b;
	int order = pn_str_cmp(x->gateway, y->gateway);

	return order != 0 ? order : pn_str_cmp(x->alias.full, y->alias.full);
}

static bool
same_alias(const struct pn_alias *a, const struct pn_alias *b)
{
	return a->id == b->id && pn_str_eq(a->local, b->local) && pn_str_eq(a->model, b->model)
	    && a->contact == b->contact && a->incoming_local == b->incoming_local
	    && a->require_dmarc == b->require_dmarc
	    && a->force_thread_id == b->force_thread_id && pn_str_eq(a->parent_model, b->parent_model)
	    && a->parent_id == b->parent_id;
}

struct comparison {
	struct cli *cli;
	const struct pn_alias_row **rows;
	struct drift drift;
	size_t found;
};

static bool
compare_row(void *ctx, const struct pn_alias_row *row, enum pn_source source)
{
	struct comparison *c = ctx;
	const struct pn_alias_row **hit;

	if (source != PN_SOURCE_CONFIG)
		return true;
	hit = bsearch(&row, c->rows, c->cli->config->alias_count, sizeof(*c->rows), by_key);
	if (hit == NULL) {
		c->drift.surplus++;
		return true;
	}
	c->found++;
	c->drift.changed += !same_alias(&row->alias, &(*hit)->alias);
	return true;
}

enum pn_status
cli_drift(struct cli *cli, struct drift *out, struct pn_error *err)
{
	size_t n = cli->config->alias_count;
	struct comparison c = { .cli = cli,
		.rows = PN_ARENA_ARRAY(cli->arena, const struct pn_alias_row *, n + 1) };
	enum pn_status st;

	progress_begin(cli, "comparing the aliases");
	for (size_t i = 0; i < n; i++)
		c.rows[i] = &cli->config->aliases[i];
	qsort(c.rows, n, sizeof(*c.rows), by_key);
	st = pn_directory_each_alias(cli->store, PN_STR_EMPTY, compare_row, &c, err);
	progress_done(cli);
	c.drift.missing = n - c.found;
	if (st == PN_OK)
		*out = c.drift;
	return st;
}
