#include "keys_rotation.h"

#include <unistd.h>

static const char *const phase_names[] = { "", "publish", "wait", "retire" };

const char *
rotation_phase_name(enum phase phase)
{
	return phase_names[phase];
}

static const char *
state_path(const struct keys *k, struct pn_str domain)
{
	return pn_arena_printf(
	    k->arena, PN_STR_FMT "/" PN_STR_FMT "/rotation", PN_STR_ARG(k->directory), PN_STR_ARG(domain))
	    .p;
}

enum pn_status
rotation_write(const struct rotation *r, struct pn_error *err)
{
	struct pn_buf buf;
	enum pn_status st;

	pn_buf_init(&buf, 64 << 10);
	pn_buf_addf(&buf, "phase %s\nsince %llu\nttl %llu\n", phase_names[r->phase],
	    (unsigned long long)r->since, (unsigned long long)r->ttl);
	for (size_t i = 0; i < r->n; i++)
		pn_buf_addf(&buf, "pair " PN_STR_FMT " " PN_STR_FMT " %s %llu\n", PN_STR_ARG(r->pairs[i].old),
		    PN_STR_ARG(r->pairs[i].selector), pn_dkim_key_type_name(r->pairs[i].type),
		    (unsigned long long)r->pairs[i].bits);
	st = file_replace(state_path(r->k, r->k->domain), pn_buf_str(&buf), err);
	pn_buf_done(&buf);
	return st;
}

static bool
read_pair(struct rotation *r, struct pn_str rest)
{
	struct pair *p = &r->pairs[r->n];
	struct pn_str type, bits;

	if (r->n == PN_SIGNING_KEYS || !pn_str_split(&rest, ' ', &p->old)
	    || !pn_str_split(&rest, ' ', &p->selector) || !pn_str_split(&rest, ' ', &type)
	    || !pn_str_split(&rest, ' ', &bits) || !pn_str_to_u64(bits, PN_DKIM_RSA_MAX, &p->bits))
		return false;
	p->type = pn_str_eq(type, PN_STR("ed25519")) ? PN_DKIM_ED25519 : PN_DKIM_RSA;
	p->new = keys_name(r->k, p->selector);
	r->n++;
	return true;
}

static bool
read_line(struct rotation *r, struct pn_str line)
{
	struct pn_str word;

	(void)pn_str_split(&line, ' ', &word);
	if (pn_str_eq(word, PN_STR("pair")))
		return read_pair(r, line);
	if (pn_str_eq(word, PN_STR("since")))
		return pn_str_to_u64(line, INT64_MAX, &r->since);
	if (pn_str_eq(word, PN_STR("ttl")))
		return pn_str_to_u64(line, ROTATION_TTL_MAX, &r->ttl);
	for (size_t i = PHASE_PUBLISH; i < PN_COUNT(phase_names) && pn_str_eq(word, PN_STR("phase")); i++)
		if (pn_str_eq(line, pn_str_c(phase_names[i])))
			r->phase = (enum phase)i;
	return word.n == 0 || pn_str_eq(word, PN_STR("phase"));
}

enum pn_status
rotation_read(struct rotation *r, struct pn_error *err)
{
	const char *path = state_path(r->k, r->k->domain);
	struct pn_str text, line;
	enum pn_status st = file_read(path, r->k->arena, &text, err);

	while (st == PN_OK && pn_str_split(&text, '\n', &line))
		if (!read_line(r, line))
			st = PN_INVALID;
	if (st == PN_INVALID || (st == PN_OK && (r->phase == PHASE_NONE || r->n == 0)))
		return pn_fail(err, PN_INVALID, "%s: cannot be understood; remove it to begin anew", path);
	return st;
}

struct pn_str
keys_rotation(const struct keys *k, struct pn_str domain)
{
	struct keys one = *k;
	struct rotation r = { .k = &one };

	one.domain = domain;
	return rotation_read(&r, NULL) == PN_OK ? pn_str_c(phase_names[r.phase]) : PN_STR_EMPTY;
}

void
rotation_remove(const struct rotation *r)
{
	(void)unlink(state_path(r->k, r->k->domain));
}
