/* postern keys rotate - the next key of a domain: publish, wait, switch, retire.
 *
 * Each run does what can be done now and says what comes next.  Where it is stands in
 * a file beside the keys, which is written before anything it promises: a run that was
 * interrupted is continued by the next one.
 */
#include "keys_rotation.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postern/clock.h"

enum {
	BITS_LEAST = 2048,
	TTL_USUAL = 3600, /* where nobody saw that the record was missing */
	DAY = 86400,
};

/* -- saying it ---------------------------------------------------------------------------------------- */

static void
say(const struct rotation *r, const char *what, int64_t when, const char *next)
{
	struct keys *k = r->k;

	if (k->cli->json)
		return;
	(void)printf(PN_STR_FMT ": %s%s" PN_STR_FMT "\n", PN_STR_ARG(k->domain), what, when > 0 ? " " : "",
	    PN_STR_ARG(when > 0 ? time_shown(when, k->arena) : PN_STR_EMPTY));
	if (next != NULL)
		(void)printf("next: %s\n", next);
}

static void
print_state(const struct rotation *r, int64_t until)
{
	const char *none = r->n > 0 ? "done" : "none";
	json_t *list = json_array();

	for (size_t i = 0; i < r->n; i++) {
		const struct pn_key_entry *entry = keys_entry(r->k, r->pairs[i].new);
		const struct pn_dkim_key *key;

		if (entry != NULL && pn_key_ring_get(r->k->files.ring, entry->key, &key, NULL) == PN_OK)
			(void)json_array_append_new(list,
			    json_pack("{s:o, s:o}", "old", json_text(r->pairs[i].old), "new",
				keys_record_json(r->k, entry, key)));
	}
	json_print(json_pack("{s:o, s:s, s:o, s:o}", "domain", json_text(r->k->domain), "phase",
	    r->phase == PHASE_NONE ? none : rotation_phase_name(r->phase), "until", json_time(until), "keys",
	    list));
}

static int
end_run(const struct rotation *r, int64_t until, int code)
{
	if (r->k->cli->json)
		print_state(r, until);
	return code;
}

/* -- publish ------------------------------------------------------------------------------------------- */

static enum pn_status
add_pair(struct rotation *r, const struct pn_key_entry *entry, struct pn_str selector, struct pn_error *err)
{
	const struct pn_dkim_key *key;
	enum pn_status st = pn_key_ring_get(r->k->files.ring, entry->key, &key, err);
	struct pair *p = &r->pairs[r->n];

	if (st != PN_OK)
		return st;
	*p = (struct pair) { .old = entry->name,
		.new = keys_name(r->k, selector),
		.selector = selector,
		.type = pn_dkim_key_type(key),
		.bits = pn_dkim_key_bits(key) };
	if (p->type == PN_DKIM_RSA && p->bits < BITS_LEAST)
		p->bits = BITS_LEAST;
	r->n++;
	return PN_OK;
}

static bool
signs_here(const struct keys *k, const struct pn_key_entry *entry)
{
	return pn_str_eq_nocase(entry->domain, k->domain) && keys_signs(k, entry);
}

static bool
is_named(const struct keys *k, struct pn_str name)
{
	for (size_t i = 0; i < k->files.signing.n; i++)
		if (pn_str_eq(k->files.signing.v[i].key_name, name))
			return true;
	return false;
}

/* Every key that signs for the domain gets a follower of its kind. */
static enum pn_status
start(struct rotation *r, struct pn_error *err)
{
	struct keys *k = r->k;
	struct pn_strs_builder taken = { .arena = k->arena };
	enum pn_status st = PN_OK;

	if (k->selector.n > 0 && keys_has_selector(k, k->selector))
		return pn_fail(err, PN_INVALID, "there is a key with the selector " PN_STR_FMT " already",
		    PN_STR_ARG(k->selector));
	for (size_t i = 0; st == PN_OK && i < k->files.keys.n && r->n < PN_SIGNING_KEYS; i++) {
		const struct pn_key_entry *entry = &k->files.keys.v[i];

		if (!signs_here(k, entry))
			continue;
		if (!is_named(k, entry->name))
			return pn_fail(err, PN_INVALID,
			    "%s has %% in the place of " PN_STR_FMT "; write the name there to rotate it",
			    k->files.signing_path, PN_STR_ARG(entry->name));
		pn_strs_add(
		    &taken, r->n == 0 && k->selector.n > 0 ? k->selector : keys_free_selector(k, taken.list));
		st = add_pair(r, entry, taken.list.v[r->n], err);
	}
	if (st == PN_OK && r->n == 0)
		return pn_fail(err, PN_NOT_FOUND,
		    "no key signs for " PN_STR_FMT " yet; postern keys make makes one",
		    PN_STR_ARG(k->domain));
	r->phase = PHASE_PUBLISH;
	r->since = (uint64_t)pn_clock_now();
	return st == PN_OK ? rotation_write(r, err) : st;
}

/* The next keys are there, and in the key table. */
static enum pn_status
make_keys(struct rotation *r, struct pn_error *err)
{
	struct keys *k = r->k;
	struct pn_str text = k->files.key_text;
	enum pn_status st = PN_OK;

	for (size_t i = 0; st == PN_OK && i < r->n; i++) {
		const struct pair *p = &r->pairs[i];

		if (access(keys_path(k, p->selector, p->type), F_OK) != 0)
			st = keys_make_file(k, p->selector, p->type, (unsigned)p->bits, err);
		if (keys_entry(k, p->new) == NULL)
			text = text_with_line(text, keys_table_line(k, p->selector, p->type), k->arena);
	}
	if (st == PN_OK && text.n != k->files.key_text.n) {
		st = file_replace(k->files.key_path, text, err);
		if (st == PN_OK && keys_reread(k) != EX_OK)
			st = pn_fail(err, PN_TEMPFAIL, "the tables cannot be read again");
	}
	return st;
}

/* How long others may remember that the record was not there. */
static void
note_ttl(struct rotation *r, const struct pair *p)
{
	struct pn_dns_answer answer = { .ttl = 0 };

	if (r->dns.query(r->dns.ctx, p->new, PN_DNS_TXT, r->k->arena, &answer, NULL) == PN_NOT_FOUND
	    && answer.ttl > r->ttl)
		r->ttl = answer.ttl < ROTATION_TTL_MAX ? answer.ttl : ROTATION_TTL_MAX;
}

/* Are all of them published?  Tells what is not. */
static enum pn_known
all_published(struct rotation *r)
{
	enum pn_known all = PN_YES;

	for (size_t i = 0; i < r->n; i++) {
		const struct pn_key_entry *entry = keys_entry(r->k, r->pairs[i].new);
		const struct pn_dkim_key *key = NULL;
		enum pn_known known = PN_NO;
		struct pn_error err = { "it is not in the key table" };

		if (entry != NULL && pn_key_ring_get(r->k->files.ring, entry->key, &key, &err) == PN_OK)
			known = pn_dkim_key_matches(
			    key, r->k->domain, r->pairs[i].selector, &r->dns, r->k->arena, &err);
		if (known == PN_YES)
			continue;
		(void)fprintf(stderr, "postern: " PN_STR_FMT ": %s\n", PN_STR_ARG(r->pairs[i].new), err.text);
		if (known == PN_NO && key != NULL && !r->k->cli->json)
			keys_print_record(r->k, entry, key);
		if (known == PN_NO)
			note_ttl(r, &r->pairs[i]);
		all = all == PN_NO ? PN_NO : known;
	}
	return all;
}

static int
not_published(struct rotation *r, enum pn_known known, struct pn_error *err)
{
	if (known == PN_UNKNOWN) {
		say(r, "the DNS cannot say whether the next key is published", 0, "run this again");
		return end_run(r, 0, EX_TEMPFAIL);
	}
	r->phase = PHASE_PUBLISH;
	if (rotation_write(r, err) != PN_OK)
		return cli_fail(PN_TEMPFAIL, "%s", err->text);
	say(r, "the next key is not published yet, and does not sign", 0,
	    "publish the record above, then run this again");
	return end_run(r, 0, EXIT_ANSWER_NO);
}

/* -- switch --------------------------------------------------------------------------------------------- */

static const struct pair *
pair_of(const struct rotation *r, struct pn_str name)
{
	for (size_t i = 0; i < r->n; i++)
		if (pn_str_eq(r->pairs[i].old, name))
			return &r->pairs[i];
	return NULL;
}

static enum pn_status
switch_lines(struct rotation *r, struct pn_error *err)
{
	struct keys *k = r->k;
	struct line_edit *edits = PN_ARENA_ARRAY(k->arena, struct line_edit, k->files.signing.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < k->files.signing.n; i++) {
		const struct pn_signing_entry *entry = &k->files.signing.v[i];
		const struct pair *p = pair_of(r, entry->key_name);

		if (p != NULL)
			edits[n++] = (struct line_edit) { entry->line,
				keys_signing_line(k, entry->author, p->new, entry->identity) };
	}
	return n == 0 ? PN_OK
		      : file_replace(
			  k->files.signing_path, text_edited(k->files.signing_text, edits, n, k->arena), err);
}

static int
switch_over(struct rotation *r, struct pn_error *err)
{
	enum pn_known known = all_published(r);

	if (known != PN_YES)
		return not_published(r, known, err);
	if (switch_lines(r, err) != PN_OK)
		return cli_fail(PN_TEMPFAIL, "%s", err->text);
	r->phase = PHASE_RETIRE;
	r->since = (uint64_t)pn_clock_now();
	if (rotation_write(r, err) != PN_OK)
		return cli_fail(PN_TEMPFAIL, "%s", err->text);
	say(r, "the next key has taken the place of the old one", 0,
	    pn_arena_printf(r->k->arena,
		"%s: the old key signs until then; leave its record where it is, for mail that is still on "
		"its way, and run this again later",
		keys_reload(r->k))
		.p);
	return end_run(r, (int64_t)(r->since + r->k->keep_days * DAY), EX_OK);
}

static int
wait_for_ttl(struct rotation *r, struct pn_error *err)
{
	int64_t until = (int64_t)r->since + (int64_t)(r->ttl > 0 ? r->ttl : TTL_USUAL);

	if (pn_clock_now() >= until)
		return switch_over(r, err);
	say(r, "the next key is published; others may not see it before", until,
	    "run this again then, to switch to it");
	return end_run(r, until, EX_OK);
}

static int
publish(struct rotation *r, struct pn_error *err)
{
	enum pn_known known;
	enum pn_status st = make_keys(r, err);

	if (st != PN_OK)
		return cli_fail(st, "%s", err->text);
	known = all_published(r);
	if (known != PN_YES)
		return not_published(r, known, err);
	r->phase = PHASE_WAIT;
	r->since = (uint64_t)pn_clock_now();
	if (rotation_write(r, err) != PN_OK)
		return cli_fail(PN_TEMPFAIL, "%s", err->text);
	return wait_for_ttl(r, err);
}

/* -- retire ---------------------------------------------------------------------------------------------- */

static bool
is_ours_alone(const struct keys *k, const struct pn_key_entry *entry)
{
	for (size_t i = 0; i < k->files.keys.n; i++)
		if (&k->files.keys.v[i] != entry && pn_str_eq(k->files.keys.v[i].key, entry->key))
			return false;
	return pn_str_starts(entry->key,
	    pn_arena_printf(
		k->arena, PN_STR_FMT "/" PN_STR_FMT "/", PN_STR_ARG(k->directory), PN_STR_ARG(k->domain)));
}

static void
remove_key(const struct keys *k, const struct pn_key_entry *entry)
{
	const char *path = pn_arena_cstr(k->arena, entry->key);

	if (!is_ours_alone(k, entry))
		(void)fprintf(stderr, "postern: the private key of " PN_STR_FMT " is left where it is\n",
		    PN_STR_ARG(entry->name));
	else if (unlink(path) != 0 && errno != ENOENT)
		(void)fprintf(stderr, "postern: %s: %s\n", path, strerrordesc_np(errno));
}

/* The old keys that are still there, none of which may sign again. */
static enum pn_status
find_old(const struct rotation *r, const struct pn_key_entry *old[PN_SIGNING_KEYS], size_t *n,
    struct pn_error *err)
{
	const struct keys *k = r->k;

	*n = 0;
	for (size_t i = 0; i < r->n; i++) {
		const struct pn_key_entry *entry = keys_entry(k, r->pairs[i].old);

		if (entry == NULL)
			continue;
		if (is_named(k, entry->name))
			return pn_fail(err, PN_INVALID, "%s names " PN_STR_FMT " again; it is not removed",
			    k->files.signing_path, PN_STR_ARG(entry->name));
		old[(*n)++] = entry;
	}
	return PN_OK;
}

/* The line first: a daemon that reads a table wants the keys that it names. */
static enum pn_status
remove_old(struct rotation *r, const struct pn_key_entry *const *old, size_t n, struct pn_error *err)
{
	struct keys *k = r->k;
	struct line_edit edits[PN_SIGNING_KEYS];
	enum pn_status st = PN_OK;

	for (size_t i = 0; i < n; i++)
		edits[i] = (struct line_edit) { old[i]->line, PN_STR_EMPTY };
	if (n > 0)
		st = file_replace(k->files.key_path, text_edited(k->files.key_text, edits, n, k->arena), err);
	for (size_t i = 0; st == PN_OK && i < n; i++)
		remove_key(k, old[i]);
	return st;
}

static int
retire(struct rotation *r, struct pn_error *err)
{
	const char *reload = keys_reload(r->k);
	int64_t until = (int64_t)(r->since + r->k->keep_days * DAY);
	const struct pn_key_entry *old[PN_SIGNING_KEYS];
	size_t n;
	enum pn_status st;

	if (pn_clock_now() < until) {
		say(r, "the old record may go after", until,
		    pn_arena_printf(r->k->arena,
			"run this again then; if it was not done since " PN_STR_FMT
			", %s: the old key signs until then",
			PN_STR_ARG(time_shown((int64_t)r->since, r->k->arena)), reload)
			.p);
		return end_run(r, until, EX_OK);
	}
	st = find_old(r, old, &n, err);
	for (size_t i = 0; st == PN_OK && i < n && !r->k->cli->json; i++)
		(void)printf("take this out of the DNS, after the reload: " PN_STR_FMT
			     "._domainkey." PN_STR_FMT "\n",
		    PN_STR_ARG(old[i]->selector), PN_STR_ARG(old[i]->domain));
	if (st == PN_OK)
		st = remove_old(r, old, n, err);
	if (st != PN_OK)
		return cli_fail(st, "%s", err->text);
	rotation_remove(r);
	r->phase = PHASE_NONE;
	say(r, "the old key is removed", 0, reload);
	return end_run(r, 0, EX_OK);
}

/* -- the command -------------------------------------------------------------------------------------- */

/* When the oldest key that signs has the age at which a rotation begins; 0: whatever its age. */
static enum pn_status
find_due(const struct keys *k, int64_t *due, struct pn_error *err)
{
	int64_t oldest = 0;

	for (size_t i = 0; i < k->files.keys.n && k->after_days > 0; i++) {
		const struct pn_key_entry *entry = &k->files.keys.v[i];
		struct stat file;

		if (!signs_here(k, entry))
			continue;
		if (!pn_key_is_path(entry->key))
			return pn_fail(err, PN_INVALID,
			    PN_STR_FMT " is in the table itself, so its age is not known",
			    PN_STR_ARG(entry->name));
		if (stat(pn_arena_cstr(k->arena, entry->key), &file) != 0)
			return pn_fail(err, PN_TEMPFAIL, PN_STR_FMT ": %s", PN_STR_ARG(entry->key),
			    strerrordesc_np(errno));
		if (oldest == 0 || file.st_mtime < oldest)
			oldest = file.st_mtime;
	}
	*due = oldest > 0 ? oldest + (int64_t)k->after_days * DAY : 0;
	return PN_OK;
}

/* Where no rotation is under way.  What runs every day must not begin one whenever the last is done. */
static int
begin(struct rotation *r, struct pn_error *err)
{
	int64_t due = 0;
	enum pn_status st = find_due(r->k, &due, err);

	if (st == PN_OK && (r->k->only_continue || pn_clock_now() < due)) {
		say(r, due > 0 ? "nothing to do before" : "nothing to do", due, NULL);
		return end_run(r, due, EX_OK);
	}
	if (st == PN_OK)
		st = start(r, err);
	return st == PN_OK ? publish(r, err) : cli_fail(st, "%s", err->text);
}

static int
go_on(struct rotation *r)
{
	struct pn_error err = { "" };
	enum pn_status st = rotation_read(r, &err);

	if (st == PN_NOT_FOUND)
		return begin(r, &err);
	if (st != PN_OK)
		return cli_fail(st, "%s", err.text);
	switch (r->phase) {
	case PHASE_NONE:
	case PHASE_PUBLISH: return publish(r, &err);
	case PHASE_WAIT: return wait_for_ttl(r, &err);
	case PHASE_RETIRE: break;
	}
	return retire(r, &err);
}

int
keys_rotate(struct keys *k)
{
	struct rotation r = { .k = k };
	struct pn_resolver *resolver;
	int code = dns_open(k->cli, k->server, &resolver);

	if (code != EX_OK)
		return code;
	r.dns = pn_resolver_port(resolver);
	code = go_on(&r);
	pn_resolver_close(resolver);
	return code;
}
