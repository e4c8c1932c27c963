/* Any bytes as a whole transaction: envelope, headers, body in pieces, through
 * the gate over a real store.
 *
 * Input: a line of switches, a line of recipients, then the message.  Whatever
 * comes in, the answer keeps its promises. */
#include <assert.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "postern/fields.h"
#include "postern/gate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define S PN_STR

enum { ARENA_LIMIT = 32 << 20, RCPTS_MAX = 24, RUNS_PER_STORE = 5000 };

static const struct pn_alias_row aliases[] = {
	{ S("a"), { .id = 1, .local = S("sales"), .full = S("sales@a.test"), .model = S("crm.lead") } },
	{ S("a"), { .id = 2, .local = S("group"), .full = S("group@a.test"), .model = S("crm.lead"),
	    .contact = PN_CONTACT_FOLLOWERS } },
	{ S("a"), { .id = 3, .local = S("any"), .full = S("any"), .model = S("helpdesk.ticket"),
	    .incoming_local = true } },
	{ S("a"), { .id = 4, .local = S("lead"), .full = S("lead@a.test"), .model = S("crm.lead"),
	    .force_thread_id = 7 } },
	{ S("b"), { .id = 1, .local = S("sales"), .full = S("sales@b.test"), .model = S("crm.lead") } },
	{ S("k"), { .id = 1, .local = S("sales"), .full = S("sales@k.test"), .model = S("x.model"),
	    .contact = PN_CONTACT_PARTNERS } },
};

struct world {
	struct pn_gateway gateways[3];
	struct pn_domain domains[3];
	struct pn_config config;
	struct pn_store *store;
	unsigned runs;
};

static void
configure(struct world *w)
{
	static const struct pn_str names[] = { S("a"), S("b"), S("k") };
	static const struct pn_str hosts[] = { S("a.test"), S("b.test"), S("k.test") };
	static const struct pn_str bounces[] = { S("bounce@a.test"), S("bounce@b.test"), S("bounce@k.test") };
	static const struct pn_str catchalls[] = { S("catchall@a.test"), S("catchall@b.test"),
	    S("catchall@k.test") };

	for (size_t i = 0; i < 3; i++) {
		w->gateways[i] = (struct pn_gateway){
			.name = names[i], .index = i, .domains = &w->domains[i], .domain_count = 1,
			    .stale_after = 3600,
			.loop_minutes = 10, .loop_threshold = 3,
			    .loop_automatic = (enum pn_loop_answer)(i + 1), .twin_lease = 60,
			.complete = i != 0, .unreadable_reject = i == 2,
		};
		w->domains[i] = (struct pn_domain){
			.name = hosts[i], .ascii = hosts[i], .bounce = bounces[i], .catchall = catchalls[i],
			.gateway = &w->gateways[i], .unknown = (enum pn_unknown_policy)i,
		};
	}
	w->gateways[0].target = PN_TARGET_DOMAIN;
	w->gateways[0].target_value = S("a.odoo.test");
	w->gateways[1].target = PN_TARGET_ADDRESS;
	w->gateways[1].target_value = S("in@b.odoo.test");
	w->gateways[2].target = PN_TARGET_KEEP;
	w->domains[0].human = S("boss@people.test");
	w->config = (struct pn_config){
		.hostname = S("mx.test"),
		.directory = { .gateways = w->gateways, .gateway_count = 3, .domains = w->domains,
		    .domain_count = 3,
		    .models = pn_models_odoo19 },
		.aliases = aliases, .alias_count = PN_COUNT(aliases),
	};
}

static int
unlink_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
	(void)st;
	(void)flag;
	(void)at;
	return remove(path);
}

/* Small enough for a sanitizer's shadow; thrown away before it is full. */
static void
open_store(struct world *w)
{
	struct pn_store_options options = { .directory_map_size = 64 << 20, .state_map_size = 256 << 20 };
	struct pn_retired old = { S("a"), S("old@a.test"), S("sales@a.test"), 1 };
	struct pn_gate gate = { .config = &w->config };
	struct pn_error err = { "" };
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/fuzz_gate.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" :
	    "/tmp");
	if (mkdtemp(path) == NULL)
		abort();
	options.path = path;
	if (pn_store_open(&options, &w->store, &err) != PN_OK) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	gate.store = w->store;
	if (pn_gate_apply(&gate, 1, NULL, &err) != PN_OK || pn_retired_put(w->store, &old, &err) != PN_OK)
		abort();
	/* an open environment needs no names: nothing is left behind, however a run ends */
	(void)nftw(path, unlink_one, 8, FTW_DEPTH | FTW_PHYS);
	w->runs = 0;
}

static struct world *
the_world(void)
{
	static struct world world;	/* one per process: opening a store for each input would be the whole work */

	if (world.store == NULL) {
		configure(&world);
		open_store(&world);
	} else if (++world.runs > RUNS_PER_STORE) {
		pn_store_close(world.store);
		open_store(&world);
	}
	return &world;
}

/* -- promises ------------------------------------------------------------------------ */

static bool
one_line(struct pn_str s, bool folds)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\0' || s.p[i] == '\r')
			return false;
		if (s.p[i] == '\n' && (!folds || i + 1 >= s.n || s.p[i + 1] != '\t'))
			return false;
	}
	return true;
}

static void
check_edits(const struct pn_gate_mail *mail, const struct pn_closing *c)
{
	size_t deleted = 0, added = 0;
	bool deleting = false;

	for (size_t i = 0; i < c->edit_count; i++) {
		const struct pn_edit *e = &c->edits[i];

		assert(one_line(e->name, false) && one_line(e->args, false));
		switch (e->kind) {
		case PN_EDIT_ADD_RCPT:
			assert(!deleting && one_line(e->text, false) && pn_str_find(e->text,
			    '@') != PN_STR_NONE);
			added++;
			break;
		case PN_EDIT_DELETE_RCPT:
			deleting = true;
			deleted++;
			for (size_t j = 0; j < mail->rcpt_count; j++)
				if (pn_str_eq(mail->rcpts[j].raw, e->text))
					assert(mail->rcpts[j].who.answer == PN_RCPT_OURS);
			break;
		case PN_EDIT_INSERT_HEADER:
		case PN_EDIT_ADD_HEADER:
		case PN_EDIT_CHANGE_HEADER:
			assert(one_line(e->text, true) && e->text.n < 4096);
			break;
		case PN_EDIT_CHANGE_SENDER:
			assert(one_line(e->text, false));
			break;
		case PN_EDIT_DELETE_HEADER:
			assert(e->index > 0);
			break;
		case PN_EDIT_QUARANTINE:
			assert(c->action == PN_ACTION_HOLD);
			break;
		}
	}
	if (added > 0)
		return;
	/* somebody must be left */
	for (size_t j = 0; j < mail->rcpt_count; j++) {
		bool gone = false;

		for (size_t i = 0; i < c->edit_count && deleted > 0; i++)
			gone = gone || (c->edits[i].kind == PN_EDIT_DELETE_RCPT && pn_str_eq(c->edits[i].text,
			    mail->rcpts[j].raw));
		if (!gone)
			return;
	}
	assert(mail->rcpt_count == 0);
}

static void
check_part(const struct pn_gate_mail *mail, const struct pn_gate_result *r, const struct pn_gate_part *part)
{
	const struct pn_verdict *v = &part->verdict;

	assert(v->reason.n > 0 && v->gateway == part->gateway && one_line(v->reply.code == NULL ? S("")
	    : v->reply.text, false));
	assert(pn_rule_name(v->rule) != NULL);
	if (v->action == PN_ACTION_REFUSE || v->action == PN_ACTION_DEFER) {
		assert(mail->smtp && v->reply.code != NULL && v->reply.text.n > 0);
		assert(v->reply.code[0] == (v->action == PN_ACTION_DEFER ? '4' : '5'));
		assert(r->closing.action == PN_ACTION_REFUSE || r->closing.action == PN_ACTION_DEFER);
		/* what is not known leads to no refusal; a loop is counted whatever it is */
		if (part->has_decision && part->decision.outcome != PN_LOOP_DETECTED
		    && v->rule != PN_RULE_TWIN)
			assert((part->decision.doubts & PN_DOUBT_THREAD) == 0);
		if (v->rule == PN_RULE_NONE || v->rule == PN_RULE_ALIAS_SECURITY
		    || v->rule == PN_RULE_ALIAS_INVALID)
			assert((part->decision.doubts & PN_DOUBT_ALIAS) == 0);
	}
	if (v->action == PN_ACTION_DISCARD)
		assert(v->rule == PN_RULE_LOOP_HEADERS || v->rule == PN_RULE_DUPLICATE
		    || v->rule == PN_RULE_LOOP_NEW
		    || v->rule == PN_RULE_LOOP_UPDATE || v->rule == PN_RULE_STAMP);
	if (part->has_decision)
		for (size_t i = 0; i < part->decision.route_count; i++)
			assert(one_line(part->decision.routes[i].model, false));
}

static void
check(const struct pn_gate_mail *mail, const struct pn_gate_result *r)
{
	const struct pn_closing *c = &r->closing;

	for (size_t i = 0; i < r->part_count; i++)
		check_part(mail, r, &r->parts[i]);
	switch (c->action) {
	case PN_ACTION_REFUSE:
	case PN_ACTION_DEFER:
		assert(mail->smtp && c->edit_count == 0 && c->reply.code != NULL);
		break;
	case PN_ACTION_DISCARD:
		assert(c->edit_count == 0);
		for (size_t i = 0; i < mail->rcpt_count; i++)
			assert(mail->rcpts[i].who.answer == PN_RCPT_OURS
			    && mail->rcpts[i].who.kind != PN_RCPT_ROLE);
		break;
	case PN_ACTION_ACCEPT:
	case PN_ACTION_HOLD:
		check_edits(mail, c);
		break;
	case PN_ACTION_HAND_OVER:
		assert(false);
	}
}

/* -- the transaction -------------------------------------------------------------------- */

static bool
sendable(struct pn_str word)
{
	/* what Postfix would never pass on as RCPT TO */
	for (size_t i = 0; i < word.n; i++)
		if ((unsigned char)word.p[i] < ' ' || word.p[i] == 0x7f)
			return false;
	return word.n > 0 && word.n < 1000;
}

static size_t
envelope(const struct pn_gate *gate, struct pn_str line, int64_t now, struct pn_arena *arena,
    struct pn_envelope_rcpt *out)
{
	static const struct pn_str notifies[] = { S(""), S("NEVER"), S("SUCCESS"), S("FAILURE,DELAY"),
	    S("x") };
	struct pn_str word;
	size_t n = 0;

	while (n < RCPTS_MAX && pn_str_split(&line, ' ', &word)) {
		struct pn_error err = { "" };

		if (!sendable(word))
			continue;
		out[n] = (struct pn_envelope_rcpt){ .raw = word,
		    .notify = notifies[word.n % PN_COUNT(notifies)],
		    .orcpt = S("") };
		if (pn_gate_recipient(gate, word, now, arena, &out[n].who, &err) != PN_OK)
			out[n].who = (struct pn_rcpt){ .answer = PN_RCPT_PASS };
		n += out[n].who.answer != PN_RCPT_REJECT;
	}
	return n;
}

static struct pn_mime_result
walk(struct pn_fields fields, struct pn_str body, size_t chunk, struct pn_arena *arena)
{
	struct pn_mime *mime = pn_mime_new();
	struct pn_mime_result result;

	for (size_t i = 0; i < fields.n; i++)
		pn_mime_header(mime, fields.v[i].name, fields.v[i].raw);
	pn_mime_end_of_headers(mime);
	for (; body.n > 0; body = pn_str_from(body, chunk))
		pn_mime_body(mime, pn_str_head(body, chunk));
	pn_mime_end(mime, arena, &result);
	pn_mime_free(mime);
	return result;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world *w = the_world();
	struct pn_gate gate = { .config = &w->config, .store = w->store };
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_str rest = pn_str_n((const char *)data, size), switches, line, body;
	struct pn_envelope_rcpt rcpts[RCPTS_MAX];
	struct pn_gate_mail mail = { .rcpts = rcpts };
	struct pn_gate_result result;
	unsigned char bits;

	if (pn_str_split(&rest, '\n', &switches) && pn_str_split(&rest, '\n', &line) && rest.n > 0) {
		bits = switches.n > 0 ? (unsigned char)switches.p[0] : 0;
		mail.smtp = !(bits & 1);
		mail.outbound = bits & 2;
		mail.authenticated = bits & 4;
		mail.null_sender = bits & 8;
		mail.dry_run = (bits & 48) == 48;
		w->config.mixed = bits & 64 ? PN_MIXED_SEPARATE : PN_MIXED_HAND_OVER;
		mail.now_ms = 1700000000000 + (switches.n > 1 ? (unsigned char)switches.p[1] * 10000 : 0);
		mail.rcpt_count = envelope(&gate, line, mail.now_ms / 1000, arena, rcpts);
		if (pn_fields_split(rest, arena, &mail.fields, &body) == PN_OK) {
			mail.mime = walk(mail.fields, body, 1 + size % 40, arena);
			pn_gate_decide(&gate, &mail, arena, &result);
			check(&mail, &result);
		}
	}
	pn_arena_free(arena);
	return 0;
}
