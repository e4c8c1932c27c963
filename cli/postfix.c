#include "postfix.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "child.h"

enum { LINES_MAX = 20000, FIELDS_BEFORE_COMMAND = 7, LIST_FILE_MAX = 1 << 20, NESTED_MAX = 4 };

/* -- reading -------------------------------------------------------------------------- */

static enum pn_status
ask(struct postfix *pf, const char *option, struct pn_str *out, struct pn_error *err)
{
	const char *argv[] = { "postconf", option, pf->config != NULL ? "-c" : NULL, pf->config, NULL };
	struct child_output output;
	enum pn_status st = child_run(pf->cli, argv, &output, err);

	if (st != PN_OK)
		return st;
	if (output.code != 0)
		return pn_fail(err, PN_INVALID, "postconf %s: " PN_STR_FMT, option,
		    PN_STR_ARG(pn_str_trim(pn_str_head(output.err, 300))));
	*out = output.out;
	if (pf->complaints.n == 0)
		pf->complaints = output.err;
	return PN_OK;
}

/* Lines of "name = value". */
static void
read_settings(struct pn_str text, struct postfix_settings *settings, struct pn_arena *arena)
{
	struct pn_str line;

	while (text.n > 0 && pn_str_split(&text, '\n', &line) && settings->n < LINES_MAX) {
		size_t equals = pn_str_find(line, '=');

		if (equals == PN_STR_NONE)
			continue;
		settings->v = pn_arena_grow(arena, settings->v, settings->n, &settings->cap, settings->n + 1,
		    sizeof(*settings->v));
		settings->v[settings->n++] = (struct postfix_setting){ pn_str_trim(pn_str_head(line, equals)),
			pn_str_trim(pn_str_from(line, equals + 1)) };
	}
}

static struct pn_str
next_word(struct pn_str *rest)
{
	struct pn_str word;
	size_t n = 0;

	*rest = pn_str_trim(*rest);
	while (n < rest->n && !pn_is_space(rest->p[n]))
		n++;
	word = pn_str_head(*rest, n);
	*rest = pn_str_from(*rest, n);
	return word;
}

/* name type private unprivileged chroot wakeup process_limit command */
static void
read_services(struct postfix *pf, struct pn_str text)
{
	bool old = pn_str_starts(postfix_get(pf, "compatibility_level"), PN_STR("0"));
	struct pn_arena *arena = pf->cli->arena;
	struct pn_str line;

	while (text.n > 0 && pn_str_split(&text, '\n', &line) && pf->service_count < LINES_MAX) {
		struct pn_str field[FIELDS_BEFORE_COMMAND + 1];
		struct postfix_service *service;

		for (size_t i = 0; i <= FIELDS_BEFORE_COMMAND; i++)
			field[i] = next_word(&line);
		if (field[FIELDS_BEFORE_COMMAND].n == 0)
			continue;
		pf->services = pn_arena_grow(arena, pf->services, pf->service_count, &pf->service_cap,
		    pf->service_count + 1, sizeof(*pf->services));
		service = &pf->services[pf->service_count++];
		*service = (struct postfix_service){ field[0], field[1], field[FIELDS_BEFORE_COMMAND],
			pn_str_eq(field[4], PN_STR("y")) || (old && pn_str_eq(field[4], PN_STR("-"))) };
	}
}

enum pn_status
postfix_read(struct postfix *pf, struct cli *cli, const char *config, struct pn_error *err)
{
	struct pn_str all = PN_STR_EMPTY, set = PN_STR_EMPTY, services = PN_STR_EMPTY, own = PN_STR_EMPTY;
	enum pn_status st;

	*pf = (struct postfix){ .cli = cli, .config = config };
	st = ask(pf, "-n", &set, err);
	if (st == PN_OK)
		st = ask(pf, "-x", &all, err);
	if (st == PN_OK)
		st = ask(pf, "-M", &services, err);
	if (st == PN_OK)
		st = ask(pf, "-xP", &own, err);
	if (st != PN_OK)
		return st;
	read_settings(set, &pf->set, cli->arena);
	read_settings(all, &pf->main, cli->arena);
	read_settings(own, &pf->own, cli->arena);
	read_services(pf, services);
	return PN_OK;
}

/* -- asking --------------------------------------------------------------------------- */

static const struct postfix_setting *
find(const struct postfix_settings *settings, struct pn_str name)
{
	for (size_t i = 0; i < settings->n; i++)
		if (pn_str_eq(settings->v[i].name, name))
			return &settings->v[i];
	return NULL;
}

struct pn_str
postfix_get(const struct postfix *pf, const char *name)
{
	const struct postfix_setting *found = find(&pf->main, pn_str_c(name));

	return found == NULL ? PN_STR_EMPTY : found->value;
}

bool
postfix_is_set(const struct postfix *pf, const char *name)
{
	return find(&pf->set, pn_str_c(name)) != NULL;
}

struct pn_str
postfix_service_get(
    const struct postfix *pf, const struct postfix_service *service, const char *name, bool *own)
{
	struct pn_str key = pn_arena_printf(pf->cli->arena, PN_STR_FMT "/" PN_STR_FMT "/%s",
	    PN_STR_ARG(service->name), PN_STR_ARG(service->type), name);
	const struct postfix_setting *found = find(&pf->own, key);

	if (own != NULL)
		*own = found != NULL;
	return found != NULL ? found->value : postfix_get(pf, name);
}

const struct postfix_service *
postfix_service(const struct postfix *pf, struct pn_str name)
{
	for (size_t i = 0; i < pf->service_count; i++)
		if (pn_str_eq(pf->services[i].name, name))
			return &pf->services[i];
	return NULL;
}

/* -- words ---------------------------------------------------------------------------- */

struct pn_strs
postfix_words(struct pn_str value, struct pn_arena *arena)
{
	struct pn_strs_builder words = { .arena = arena };
	size_t from = 0, depth = 0;

	for (size_t i = 0; i <= value.n; i++) {
		char c = i < value.n ? value.p[i] : ',';

		if (c == '{')
			depth++;
		else if (c == '}' && depth > 0)
			depth--;
		/* what is left open at the end is a word, too */
		if ((depth > 0 && i < value.n) || (c != ',' && !pn_is_space(c)))
			continue;
		if (i > from)
			pn_strs_add(&words, pn_str_n(value.p + from, i - from));
		from = i + 1;
	}
	return words.list;
}

struct pn_str
postfix_unbraced(struct pn_str word)
{
	if (word.n >= 2 && word.p[0] == '{' && word.p[word.n - 1] == '}')
		return pn_str_trim(pn_str_n(word.p + 1, word.n - 2));
	return word;
}

/* -- tables and lists ----------------------------------------------------------------- */

/* A relative socket means the queue directory to a daemon and something else to
 * postmap(1); a network service may let us wait. */
static bool
can_ask(struct pn_str table)
{
	return !pn_str_starts(table, PN_STR("socketmap:")) && !pn_str_starts(table, PN_STR("tcp:"));
}

static enum pn_status
ask_table(const struct postfix *pf, struct pn_str table, struct pn_str key, struct pn_str *value)
{
	struct pn_arena *arena = pf->cli->arena;
	const char *argv[7] = { "postmap" };
	size_t n = 1;
	struct child_output output;
	struct pn_error err;

	if (pf->config != NULL) {
		argv[n++] = "-c";
		argv[n++] = pf->config;
	}
	argv[n++] = "-q";
	argv[n++] = pn_arena_cstr(arena, key);
	argv[n++] = pn_arena_cstr(arena, table);
	if (!can_ask(table) || child_run(pf->cli, argv, &output, &err) != PN_OK)
		return PN_TEMPFAIL;
	if (output.code != 0)
		return pn_str_trim(output.err).n > 0 ? PN_TEMPFAIL : PN_NOT_FOUND;
	*value = pn_str_trim(output.out);
	return PN_OK;
}

enum pn_status
postfix_lookup(const struct postfix *pf, struct pn_str maps, struct pn_str key, struct pn_str *value)
{
	struct pn_strs tables = postfix_words(maps, pf->cli->arena);
	enum pn_status st, answer = PN_NOT_FOUND;

	for (size_t i = 0; i < tables.n; i++) {
		st = ask_table(pf, tables.v[i], key, value);
		if (st == PN_OK)
			return st;
		if (st == PN_TEMPFAIL)
			answer = st;
	}
	return answer;
}

static struct pn_str
read_list_file(struct pn_str path, struct pn_arena *arena)
{
	FILE *file = fopen(pn_arena_cstr(arena, path), "re");
	char *p = pn_arena_alloc(arena, LIST_FILE_MAX);
	size_t n;

	if (file == NULL)
		return PN_STR_EMPTY;
	n = fread(p, 1, LIST_FILE_MAX, file);
	(void)fclose(file);
	return pn_str_n(p, n);
}

/* Postfix takes a domain for its subdomains, too, in these lists. */
static bool
is_or_has(struct pn_str item, struct pn_str domain)
{
	if (pn_str_eq_nocase(item, domain))
		return true;
	return domain.n > item.n + 1 && domain.p[domain.n - item.n - 1] == '.'
	    && pn_str_eq_nocase(pn_str_from(domain, domain.n - item.n), item);
}

static enum pn_known
list_has(const struct postfix *pf, struct pn_str list, struct pn_str domain, int depth)
{
	struct pn_strs items = postfix_words(list, pf->cli->arena);
	enum pn_known answer = PN_NO;

	for (size_t i = 0; i < items.n; i++) {
		struct pn_str item = items.v[i], ignored;
		enum pn_known here = PN_NO;

		if (pn_str_starts(item, PN_STR("/")) && depth < NESTED_MAX)
			here = list_has(pf, read_list_file(item, pf->cli->arena), domain, depth + 1);
		else if (pn_str_find(item, ':') != PN_STR_NONE)
			switch (ask_table(pf, item, domain, &ignored)) {
			case PN_OK:
				here = PN_YES;
				break;
			case PN_NOT_FOUND:
				break;
			case PN_INVALID:
			case PN_TEMPFAIL:
			case PN_LIMIT:
				here = PN_UNKNOWN;
			}
		else
			here = pn_known(is_or_has(item, domain));
		if (here == PN_YES)
			return PN_YES;
		if (here == PN_UNKNOWN)
			answer = PN_UNKNOWN;
	}
	return answer;
}

enum pn_known
postfix_list_has(const struct postfix *pf, struct pn_str list, struct pn_str domain)
{
	return list_has(pf, list, domain, 0);
}

/* -- sockets -------------------------------------------------------------------------- */

struct pn_str
postfix_socket_path(const struct postfix *pf, struct pn_str address, bool chroot)
{
	struct pn_str queue = postfix_get(pf, "queue_directory");
	size_t colon = pn_str_find(address, ':');
	struct pn_str path = pn_str_from(address, colon == PN_STR_NONE ? address.n : colon + 1);

	if (!pn_str_starts(address, PN_STR("unix:")) && !pn_str_starts(address, PN_STR("local:")))
		return PN_STR_EMPTY;
	if (pn_str_starts(path, PN_STR("/")) && !chroot)
		return path;
	return pn_arena_printf(pf->cli->arena, PN_STR_FMT "%s" PN_STR_FMT, PN_STR_ARG(queue),
	    pn_str_starts(path, PN_STR("/")) ? "" : "/", PN_STR_ARG(path));
}

bool
postfix_same_file(struct pn_str a, struct pn_str b, struct pn_arena *arena)
{
	struct stat x, y;

	if (a.n == 0 || b.n == 0)
		return false;
	if (pn_str_eq(a, b))
		return true;
	return stat(pn_arena_cstr(arena, a), &x) == 0 && stat(pn_arena_cstr(arena, b), &y) == 0
	    && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}
