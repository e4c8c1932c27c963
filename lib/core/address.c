#include "postern/address.h"

#include "postern/address_list.h"
#include "postern/buf.h"

/* Pairs on their way into an array of the arena. */
struct collector {
	struct pn_arena *arena;
	struct pn_mailboxes found;
	size_t cap;
	bool headless;	/* an address without anything before its @ */
	bool all;	/* go on behind it */
};

static void
collect(struct collector *to, struct pn_str name, struct pn_str addr)
{
	to->found.v = pn_arena_grow(to->arena, to->found.v, to->found.n, &to->cap, to->found.n + 1,
	    sizeof(*to->found.v));
	to->found.v[to->found.n++] = (struct pn_mailbox){ name, addr };
}

static bool
collect_pair(void *ctx, struct pn_str name, struct pn_str addr)
{
	struct collector *to = ctx;

	if (pn_str_find(addr, '@') == PN_STR_NONE)
		return true;
	to->headless = to->headless || addr.p[0] == '@';
	if (to->headless && !to->all)
		return false;
	name = name.n == 0 ? PN_STR_EMPTY : pn_arena_dup(to->arena, name);
	collect(to, name, pn_arena_dup(to->arena, addr));
	return !pn_arena_exhausted(to->arena);
}

static bool
is_pattern_domain(char c)
{
	return pn_is_alnum(c) || c == '.' || c == '-';
}

static bool
is_pattern_local(char c)
{
	return is_pattern_domain(c) || c == '_' || c == '%' || c == '+';
}

/* [a-z0-9.-]+\.[a-z]{2,63} at the head of text, as much as possible: the length,
 * 0 where it does not match. */
static size_t
match_domain(struct pn_str text)
{
	size_t n = 0, end;

	while (n < text.n && is_pattern_domain(text.p[n]))
		n++;
	/* the last dot with two letters behind it and something in front */
	for (size_t dot = n; dot-- > 1;) {
		if (text.p[dot] != '.')
			continue;
		for (end = dot + 1; end < n && end <= dot + 63 && pn_is_alpha(text.p[end]);)
			end++;
		if (end - dot > 2)
			return end;
	}
	return 0;
}

/* Every match of [a-z0-9._%+-]+@[a-z0-9.-]+\.[a-z]{2,63}, any case. */
static void
scan(struct pn_str text, struct collector *to)
{
	size_t start = 0;	/* of the run of local characters at hand */

	for (size_t i = 0; i < text.n && !pn_arena_exhausted(to->arena); i++) {
		size_t domain = 0;

		if (is_pattern_local(text.p[i]))
			continue;
		if (text.p[i] == '@' && i > start)
			domain = match_domain(pn_str_from(text, i + 1));
		if (domain > 0) {
			collect(to, PN_STR_EMPTY, pn_str_n(text.p + start, i + 1 + domain - start));
			i += domain;
		}
		start = i + 1;
	}
}

/* An address with blanks in it, read once more with commas in their place. */
struct regroup {
	struct pn_arena *arena;
	struct pn_buf words;
	bool any;
	struct pn_str hit;	/* the last piece with an @ */
};

static bool
regroup_pair(void *ctx, struct pn_str name, struct pn_str addr)
{
	struct regroup *to = ctx;

	(void)name;
	if (pn_str_find(addr, '@') != PN_STR_NONE) {
		to->hit = pn_arena_dup(to->arena, addr);
	} else if (addr.n > 0) {
		if (to->any)
			pn_buf_add_char(&to->words, ' ');
		pn_buf_add(&to->words, addr);
		to->any = true;
	}
	return !pn_arena_exhausted(to->arena);
}

/* "Jane Doe jane@a.example" is no address to Python, but one to Odoo. */
static void
split_name_off(struct pn_mailbox *box, struct pn_arena *arena)
{
	struct regroup to = { .arena = arena };
	struct pn_buf commas;

	if (box->name.n > 0 || pn_str_find(box->addr, ' ') == PN_STR_NONE)
		return;
	pn_buf_init(&commas, box->addr.n);
	pn_buf_add(&commas, box->addr);
	for (size_t i = 0; i < commas.n; i++)
		if (commas.p[i] == ' ')
			commas.p[i] = ',';
	pn_buf_init(&to.words, 4 * box->addr.n);
	pn_address_list_each(pn_buf_str(&commas), regroup_pair, &to);
	if (to.hit.n > 0)
		*box = (struct pn_mailbox){ pn_arena_dup(arena, pn_buf_str(&to.words)), to.hit };
	pn_buf_done(&to.words);
	pn_buf_done(&commas);
}

/* Letters, digits, "-", "_" and "+", single dots between them, and one @: what most
 * addresses are, and no reader of lists takes apart. */
static bool
is_plain(struct pn_str text)
{
	size_t ats = 0;
	bool inside = false;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		bool word = pn_is_alnum(c) || c == '-' || c == '_' || c == '+';

		if (!word && (!inside || (c != '.' && c != '@')))
			return false;
		ats += c == '@';
		inside = word;
	}
	return inside && ats == 1;
}

enum pn_status
pn_address_split(struct pn_str text, struct pn_arena *arena, struct pn_mailboxes *out)
{
	struct collector to = { .arena = arena };

	if (is_plain(text))
		collect(&to, PN_STR_EMPTY, pn_arena_dup(arena, text));
	else
		pn_address_list_each(text, collect_pair, &to);
	if (to.headless) {
		to.found.n = 0;
		scan(text, &to);
		to.all = true;
		if (to.found.n == 0)
			pn_address_list_each(text, collect_pair, &to);
	}
	for (size_t i = 0; i < to.found.n && !pn_arena_exhausted(arena); i++)
		split_name_off(&to.found.v[i], arena);
	if (pn_arena_exhausted(arena))
		return PN_LIMIT;
	*out = to.found;
	return PN_OK;
}

/* Around the last @; without one there is no local part. */
static void
cut_at_last(struct pn_str addr, struct pn_str *local, struct pn_str *domain)
{
	size_t at = pn_str_find_last(addr, '@');

	*local = at == PN_STR_NONE ? PN_STR_EMPTY : pn_str_head(addr, at);
	*domain = at == PN_STR_NONE ? addr : pn_str_from(addr, at + 1);
}

struct pn_str
pn_address_lower(struct pn_str addr, struct pn_arena *arena)
{
	struct pn_str local, domain;

	if (pn_str_is_ascii(addr))
		return pn_arena_lower(arena, addr);
	cut_at_last(addr, &local, &domain);
	if (pn_str_is_ascii(local))
		local = pn_arena_lower(arena, local);
	domain = pn_text_lower(domain, arena);
	if (local.n == 0 && pn_str_find(addr, '@') == PN_STR_NONE)
		return domain;
	return pn_arena_join(arena, (struct pn_str[]){ local, PN_STR("@"), domain }, 3);
}

enum pn_status
pn_address_normalize(struct pn_str text, bool strict, struct pn_arena *arena, struct pn_str *out)
{
	struct pn_mailboxes found;
	enum pn_status status = pn_address_split(text, arena, &found);

	if (status != PN_OK)
		return status;
	if (found.n == 0 || (strict && found.n != 1))
		return PN_NOT_FOUND;
	*out = pn_address_lower(found.v[0].addr, arena);
	return PN_OK;
}

struct pn_str
pn_address_local(struct pn_str addr)
{
	return pn_str_head(addr, pn_str_find(addr, '@'));
}

struct pn_str
pn_address_after_local(struct pn_str addr)
{
	size_t at = pn_str_find(addr, '@');

	return at == PN_STR_NONE ? PN_STR_EMPTY : pn_str_from(addr, at + 1);
}

enum pn_status
pn_address_domain(struct pn_str text, struct pn_arena *arena, struct pn_str *out)
{
	struct pn_str addr;
	enum pn_status status = pn_address_normalize(text, true, arena, &addr);

	if (status == PN_OK)
		*out = pn_address_local(pn_address_after_local(addr));
	return status;
}

static struct pn_str
base64(struct pn_str text, struct pn_arena *arena)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *p = pn_arena_alloc(arena, (text.n + 2) / 3 * 4 + 1);
	size_t used = 0;

	for (size_t i = 0; i < text.n; i += 3) {
		uint32_t word = 0;

		for (size_t k = 0; k < 3; k++)
			word = word << 8 | (i + k < text.n ? (unsigned char)text.p[i + k] : 0u);
		for (size_t k = 0; k < 4; k++)
			p[used++] = i + k > text.n ? '=' : digits[word >> (18 - 6 * k) & 63];
	}
	return pn_str_n(p, used);
}

static struct pn_str
quoted(struct pn_str name, struct pn_arena *arena)
{
	char *p = pn_arena_alloc_array(arena, name.n + 1, 2);
	size_t used = 0;

	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '"' || name.p[i] == '\\')
			p[used++] = '\\';
		p[used++] = name.p[i];
	}
	return pn_str_n(p, used);
}

enum pn_status
pn_address_format(struct pn_mailbox box, bool ascii, struct pn_arena *arena, struct pn_str *out)
{
	struct pn_str local, domain, before = PN_STR("\""), name, between = PN_STR("\" <");

	cut_at_last(box.addr, &local, &domain);
	if (ascii && !pn_str_is_ascii(domain) && pn_domain_encode(domain, arena, &domain) != PN_OK)
		return PN_INVALID;
	if (box.name.n == 0 && !ascii && pn_str_find_last(box.addr, '@') != PN_STR_NONE) {
		*out = box.addr;
		return PN_OK;
	}
	if (box.name.n == 0) {
		*out = pn_arena_join(arena, (struct pn_str[]){ local, PN_STR("@"), domain }, 3);
		return PN_OK;
	}
	if (ascii && !pn_str_is_ascii(box.name)) {
		before = PN_STR("=?utf-8?b?");
		name = base64(box.name, arena);
		between = PN_STR("?= <");
	} else
		name = quoted(box.name, arena);
	*out = pn_arena_join(arena,
	    (struct pn_str[]){ before, name, between, local, PN_STR("@"), domain, PN_STR(">") }, 7);
	return PN_OK;
}

enum pn_status
pn_address_split_and_format(struct pn_str text, struct pn_arena *arena, struct pn_strs *out)
{
	struct pn_mailboxes found;
	struct pn_strs list;
	enum pn_status status = pn_address_split(text, arena, &found);

	if (status != PN_OK)
		return status;
	list.n = found.n;
	list.v = PN_ARENA_ARRAY(arena, struct pn_str, found.n);
	for (size_t i = 0; i < found.n && status == PN_OK; i++) {
		found.v[i].addr = pn_address_lower(found.v[i].addr, arena);
		status = pn_address_format(found.v[i], false, arena, &list.v[i]);
		if (pn_arena_exhausted(arena))
			return PN_LIMIT;
	}
	if (status == PN_OK)
		*out = list;
	return status;
}

struct first {
	struct pn_arena *arena;
	struct pn_mailbox box;
	bool any;
};

static bool
first_pair(void *ctx, struct pn_str name, struct pn_str addr)
{
	struct first *to = ctx;

	to->box = (struct pn_mailbox){ pn_arena_dup(to->arena, name), pn_arena_dup(to->arena, addr) };
	to->any = true;
	return false;
}

enum pn_status
pn_address_encapsulate(struct pn_str old, struct pn_str wrapper, struct pn_arena *arena, struct pn_str *out)
{
	struct first inner = { .arena = arena }, outer = { .arena = arena };
	struct pn_str name;

	pn_address_list_each(old, first_pair, &inner);
	if (!inner.any) {
		*out = old;
		return PN_OK;
	}
	pn_address_list_each(wrapper, first_pair, &outer);
	if (!outer.any)
		return PN_NOT_FOUND;
	name = inner.box.name.n > 0 ? inner.box.name : pn_address_local(inner.box.addr);
	return pn_address_format((struct pn_mailbox){ name, outer.box.addr }, false, arena, out);
}

/* The length of a run without characters of `stop`. */
static size_t
run_without(struct pn_str text, struct pn_str stop)
{
	size_t n = 0;

	while (n < text.n && memchr(stop.p, text.p[n], stop.n) == NULL)
		n++;
	return n;
}

/* Every match of ([^" ,<@]+@[^>" ,]+). */
enum pn_status
pn_address_extract_smtp(struct pn_str text, struct pn_arena *arena, struct pn_strs *out)
{
	struct pn_strs list = { NULL, 0 };
	size_t cap = 0;

	while (text.n > 0) {
		size_t local = run_without(text, PN_STR("\" ,<@")), domain;
		struct pn_mailbox box = { .name = PN_STR_EMPTY };
		struct pn_str found;

		if (local == 0 || local == text.n || text.p[local] != '@') {
			text = pn_str_from(text, local + 1);
			continue;
		}
		domain = run_without(pn_str_from(text, local + 1), PN_STR(">\" ,"));
		box.addr = pn_str_head(text, local + 1 + domain);
		text = pn_str_from(text, local + 1 + domain);
		if (domain == 0 || pn_address_format(box, true, arena, &found) != PN_OK)
			continue;
		list.v = pn_arena_grow(arena, list.v, list.n, &cap, list.n + 1, sizeof(*list.v));
		list.v[list.n++] = found;
		if (pn_arena_exhausted(arena))
			return PN_LIMIT;
	}
	*out = list;
	return PN_OK;
}

bool
pn_from_filter_next(struct pn_str *rest, struct pn_str *entry)
{
	while (pn_str_split(rest, ',', entry)) {
		*entry = pn_text_strip(*entry);
		if (entry->n > 0)
			return true;
	}
	return false;
}

/* "" is a comparable value too: Odoo compares "no address" with "no address". */
static enum pn_status
normal_or_none(struct pn_str text, struct pn_arena *arena, struct pn_str *out)
{
	enum pn_status status = pn_address_normalize(text, true, arena, out);

	if (status == PN_NOT_FOUND)
		*out = PN_STR_EMPTY;
	return status == PN_NOT_FOUND ? PN_OK : status;
}

enum pn_status
pn_from_filter_match(struct pn_str from, struct pn_str filter, struct pn_arena *arena, bool *out)
{
	struct pn_str normal, domain = PN_STR_EMPTY, entry;
	bool match = filter.n == 0;
	enum pn_status status;

	if (match) {
		*out = true;
		return PN_OK;
	}
	if ((status = normal_or_none(from, arena, &normal)) != PN_OK)
		return status;
	if ((status = pn_address_domain(normal, arena, &domain)) == PN_LIMIT)
		return status;
	while (!match && pn_from_filter_next(&filter, &entry)) {
		struct pn_str value;

		if (pn_str_find(entry, '@') == PN_STR_NONE) {
			match = pn_str_eq(pn_text_lower(entry, arena), domain);
			continue;
		}
		if ((status = normal_or_none(entry, arena, &value)) != PN_OK)
			return status;
		match = pn_str_eq(value, normal);
	}
	*out = match;
	return PN_OK;
}

enum pn_status
pn_allowed_domains_sanitize(struct pn_str text, struct pn_arena *arena, struct pn_str *out)
{
	struct pn_str entry;
	struct pn_buf list;

	pn_buf_init(&list, 2 * text.n + 1);
	while (pn_from_filter_next(&text, &entry)) {
		if (list.n > 0)
			pn_buf_add_char(&list, ',');
		pn_buf_add(&list, pn_text_lower(entry, arena));
	}
	if (list.n > 0)
		*out = pn_arena_dup(arena, pn_buf_str(&list));
	text.n = list.n;
	pn_buf_done(&list);
	return text.n > 0 ? PN_OK : PN_INVALID;
}
