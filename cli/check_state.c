/* The state directory: is it there, is it sound, does it follow the configuration? */
#include "check.h"

#include <errno.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum { FILL_WARNING = 80, FILL_ERROR = 95, FREE_WARNING_MB = 200, ALIASES_SHOWN = 20 };

/* -- files ---------------------------------------------------------------------------- */

static void
check_file(struct check *check, const char *name, const struct stat *folder)
{
	struct pn_str path =
	    pn_arena_printf(check->arena, "%s/%s/data.mdb", check->cli->config->store.path, name);
	struct stat st;

	if (stat(path.p, &st) != 0)
		return;
	if (st.st_mode & (S_IROTH | S_IWOTH))
		finding(check, LEVEL_WARNING, "state", pn_arena_printf(check->arena, "chmod o= %s", path.p),
		    "%s: everybody may read it, and it names who wrote to whom", path.p);
	if (st.st_gid != folder->st_gid || (st.st_uid != folder->st_uid && !(st.st_mode & S_IWGRP)))
		finding(check, LEVEL_ERROR, "state",
		    pn_arena_printf(check->arena,
			"chown --reference=%s %s/*/*; chmod 0660 %s/*/*",
			check->cli->config->store.path, check->cli->config->store.path,
			check->cli->config->store.path),
		    "%s: another user or group made it, so the daemons may not be able to write", path.p);
}

/* The first program that opens a damaged state moves it aside; nobody reads the log of that second. */
static void
check_damaged(struct check *check)
{
	struct pn_str path = pn_arena_printf(
	    check->arena, "%s/state/data.mdb.damaged", check->cli->config->store.path);
	struct stat st;

	if (lstat(path.p, &st) == 0)
		finding(check, LEVEL_WARNING, "state",
		    pn_arena_printf(check->arena, "look when it was and why, then delete %s", path.p),
		    "%s: a power cut damaged the state; it was moved aside, and what was learned and "
		    "counted until then is gone", path.p);
}

static bool
check_folder(struct check *check, struct stat *st)
{
	const char *path = check->cli->config->store.path;
	struct statvfs fs;

	if (stat(path, st) != 0 || !S_ISDIR(st->st_mode)) {
		finding(check, LEVEL_ERROR, "state", pn_arena_printf(check->arena,
		    "install -d -o postern -g postern -m 2770 %s", path),
		    "%s: %s", path, errno == 0 || S_ISREG(st->st_mode) ? "is no folder" : strerror(errno));
		return false;
	}
	if (st->st_mode & S_IWOTH)
		finding(check, LEVEL_ERROR, "state", pn_arena_printf(check->arena, "chmod o= %s", path),
		    "%s: everybody may write there", path);
	if (statvfs(path, &fs) == 0) {
		uint64_t free_mb = (uint64_t)fs.f_bavail * fs.f_frsize >> 20;

		if (free_mb < FREE_WARNING_MB)
			finding(check, LEVEL_WARNING, "state",
			    PN_STR("make room: when it is full, mail is told 451"), "%s: %llu MB are free",
			    path, (unsigned long long)free_mb);
	}
	return true;
}

/* -- contents ------------------------------------------------------------------------- */

static void
check_fill(struct check *check, const char *name, uint64_t used, uint64_t map, const char *key)
{
	uint64_t percent = map == 0 ? 0 : used / (map / 100 + 1);

	if (percent < FILL_WARNING)
		return;
	finding(check, percent < FILL_ERROR ? LEVEL_WARNING : LEVEL_ERROR, "state",
	    pn_arena_printf(check->arena, "raise %s", key), "%s: %llu %% of the map are in use", name,
	    (unsigned long long)percent);
}

static void
check_usage(struct check *check)
{
	const struct pn_store_options *options = &check->cli->config->store;
	struct pn_store_usage u;
	struct pn_error err = { "" };

	if (pn_store_usage(check->cli->store, &u, &err) != PN_OK) {
		finding(check, LEVEL_ERROR, "state", NO_REMEDY, "%s", err.text);
		return;
	}
	finding(check, LEVEL_OK, "state", NO_REMEDY,
	    "%s: %llu aliases, %llu threads, %llu windows, %llu bounces; %llu kB directory, %llu kB state",
	    options->path, (unsigned long long)u.aliases, (unsigned long long)u.threads,
	    (unsigned long long)u.windows, (unsigned long long)u.bounces,
	    (unsigned long long)(u.directory_bytes >> 10), (unsigned long long)(u.state_bytes >> 10));
	check_fill(check, "directory", u.directory_bytes, u.directory_map, "directory_map_size");
	check_fill(check, "state", u.state_bytes, u.state_map, "state_map_size");
}

static void
check_drift(struct check *check)
{
	struct pn_error err = { "" };
	struct drift d;

	if (cli_drift(check->cli, &d, &err) != PN_OK)
		finding(check, LEVEL_ERROR, "state", NO_REMEDY, "%s", err.text);
	else if (d.missing + d.changed + d.surplus > 0)
		finding(check, LEVEL_WARNING, "state",
		    PN_STR("reload postern-milter, or run: postern aliases apply"),
		    "the directory does not follow the configuration: %zu aliases are missing, %zu differ, "
		    "%zu are too many",
		    d.missing, d.changed, d.surplus);
}

/* -- aliases that cannot work (Odoo rules 4.3, 6.4) ----------------------------------- */

struct aliases {
	struct check *check;
	size_t wrong;
	bool synced_only;
};

static const char *
fault_of(const struct pn_alias *a, const struct pn_models *models, const char **remedy)
{
	const struct pn_model *model = pn_model_find(models, a->model);

	if (model != NULL && (!model->exists || (!model->message_new && a->force_thread_id == 0))) {
		*remedy = "give it a model that takes mail, or correct the model section";
		return "its model takes no mail";
	}
	if (a->contact == PN_CONTACT_FOLLOWERS && a->force_thread_id == 0
	    && (a->parent_model.n == 0 || a->parent_id == 0)) {
		*remedy = "set parent_model and parent_id, or another contact";
		return "it takes mail from followers, but of no record";
	}
	return NULL;
}

static void
judge(struct aliases *aliases, const struct pn_alias_row *row)
{
	struct check *check = aliases->check;
	const char *remedy, *fault = fault_of(&row->alias, &check->cli->config->directory.models, &remedy);

	if (fault == NULL || aliases->wrong++ >= ALIASES_SHOWN)
		return;
	finding(check, LEVEL_ERROR, "aliases", pn_str_c(remedy),
	    PN_STR_FMT " (" PN_STR_FMT ") of gateway " PN_STR_FMT
		       " is misconfigured: %s; its mail is told 451",
	    PN_STR_ARG(row->alias.full), PN_STR_ARG(row->alias.model), PN_STR_ARG(row->gateway), fault);
}

static bool
judge_synced(void *ctx, const struct pn_alias_row *row, enum pn_source source)
{
	struct aliases *aliases = ctx;

	if (source == PN_SOURCE_SYNC)
		judge(aliases, row);
	return true;
}

static void
check_aliases(struct check *check)
{
	const struct pn_config *config = check->cli->config;
	struct aliases aliases = { .check = check };
	struct pn_error err = { "" };

	for (size_t i = 0; i < config->alias_count; i++)
		judge(&aliases, &config->aliases[i]);
	if (check->cli->store != NULL
	    && pn_directory_each_alias(check->cli->store, PN_STR_EMPTY, judge_synced, &aliases, &err)
		!= PN_OK)
		finding(check, LEVEL_ERROR, "aliases", NO_REMEDY, "%s", err.text);
	if (aliases.wrong > ALIASES_SHOWN)
		finding(check, LEVEL_ERROR, "aliases", NO_REMEDY, "and %zu more are misconfigured",
		    aliases.wrong - ALIASES_SHOWN);
}

/* -- what was counted ----------------------------------------------------------------- */

static bool
check_counter(void *ctx, const struct pn_counter *counter)
{
	static const struct { struct pn_str name; const char *means, *remedy;
	} rows[] = {
		{ { "store_errors", 12 }, "times something could not be stored",
		    "look for \"not_stored\" in the log" },
		{ { "action_errors", 13 }, "changes were refused by Postfix",
		    "look for \"failed=changes\" in the log; raise milter_protocol to 6" },
		{ { "recipients_deferred", 19 }, "recipients were told to come back later",
		    "look for \"rcpt=defer\" in the log" },
	};
	struct check *check = ctx;

	for (size_t i = 0; i < PN_COUNT(rows); i++)
		if (pn_str_eq(counter->name, rows[i].name))
			finding(check, LEVEL_WARNING, "state", pn_str_c(rows[i].remedy), "%llu %s so far",
			    (unsigned long long)counter->value, rows[i].means);
	if (pn_str_starts(counter->name, PN_STR("verdict_"))
	    && (pn_str_ends(counter->name, PN_STR("_alias_invalid"))
		|| pn_str_ends(counter->name, PN_STR("_route_check"))))
		finding(check, LEVEL_WARNING, "aliases",
		    PN_STR("look for its rule in the log: it names the alias"),
		    "%llu mails met a misconfigured alias so far (" PN_STR_FMT ")",
		    (unsigned long long)counter->value, PN_STR_ARG(counter->name));
	if (pn_str_starts(counter->name, PN_STR("verdict_"))
	    && pn_str_ends(counter->name, PN_STR("_trouble")))
		finding(check, LEVEL_WARNING, "state", PN_STR("look for \"rule=trouble\" in the log"),
		    "%llu mails could not be decided in time so far", (unsigned long long)counter->value);
	return true;
}

static void
check_contents(struct check *check)
{
	struct pn_store_options options = check->cli->config->store;
	struct pn_error err = { "" };

	options.read_only = true;
	if (pn_store_open(&options, &check->cli->store, &err) != PN_OK) {
		finding(check, LEVEL_ERROR, "state",
		    PN_STR("run this as root or postern; else move the folder away and restart the daemons"),
		    "%s", err.text);
		return;
	}
	check_usage(check);
	check_drift(check);
	if (pn_counters_each(check->cli->store, check_counter, check, &err) != PN_OK)
		finding(check, LEVEL_ERROR, "state", NO_REMEDY, "%s", err.text);
}

void
check_state(struct check *check)
{
	struct stat st = { 0 };

	errno = 0;
	if (check_folder(check, &st)) {
		check_file(check, "directory", &st);
		check_file(check, "state", &st);
		check_damaged(check);
		if (cli_has_state(check->cli->config))
			check_contents(check);
		else
			finding(check, LEVEL_WARNING, "state", PN_STR("start postern-milter, which makes it"),
			    "%s: there is no state yet", check->cli->config->store.path);
	}
	check_aliases(check);
}
