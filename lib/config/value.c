#include <assert.h>
#include <inttypes.h>

#include "keys.h"
#include "syntax.h"

/* Enums are written as the integer they are stored in. */
_Static_assert(sizeof(enum pn_contact) == sizeof(unsigned), "an enum is an unsigned");

struct unit {
	char letter;
	uint64_t factor;
};

static const struct unit size_units[] = { { 'G', (uint64_t)1 << 30 }, { 'M', 1 << 20 }, { 'k', 1 << 10 } };
static const struct unit time_units[] = { { 'w', 604800 }, { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 },
	{ 's', 1 } };

struct units {
	const struct unit *v;
	size_t n;
};

static struct units
units_of(enum pn_key_type type)
{
	if (type == PN_KEY_SIZE)
		return (struct units){ size_units, PN_COUNT(size_units) };
	if (type == PN_KEY_TIME)
		return (struct units){ time_units, PN_COUNT(time_units) };
	return (struct units){ NULL, 0 };
}

void
pn_key_format(struct pn_buf *out, enum pn_key_type type, uint64_t value)
{
	struct units units = units_of(type);

	if (type == PN_KEY_MODE) {
		pn_buf_addf(out, "%04" PRIo64, value);
		return;
	}
	for (size_t i = 0; i < units.n && value > 0; i++)
		if (value % units.v[i].factor == 0) {
			pn_buf_addf(out, "%" PRIu64 "%c", value / units.v[i].factor, units.v[i].letter);
			return;
		}
	pn_buf_addf(out, "%" PRIu64, value);
}

/* "5m", "64K": digits and at most one letter. */
static bool
parse_number(struct pn_str s, enum pn_key_type type, uint64_t *out)
{
	struct units units = units_of(type);
	uint64_t factor = 1, n;

	for (size_t i = 0; i < units.n && s.n > 0; i++) {
		char letter = units.v[i].letter, last = s.p[s.n - 1];

		if (last == letter || (type == PN_KEY_SIZE && pn_to_lower(last) == pn_to_lower(letter))) {
			factor = units.v[i].factor;
			s.n--;
			break;
		}
	}
	return pn_str_to_u64(s, UINT64_MAX, &n) && !__builtin_mul_overflow(n, factor, out);
}

static bool
parse_mode(struct pn_str s, uint64_t *out)
{
	*out = 0;
	if (s.n < 3 || s.n > 4)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '7')
			return false;
		*out = *out * 8 + (uint64_t)(s.p[i] - '0');
	}
	return true;
}

static const char *
number_form(enum pn_key_type type)
{
	if (type == PN_KEY_SIZE)
		return "bytes, or with k, M or G behind it";
	if (type == PN_KEY_TIME)
		return "seconds, or with s, m, h, d or w behind it";
	return type == PN_KEY_MODE ? "octal digits like 0660" : "digits";
}

static enum pn_status
set_number(const struct pn_key *key, struct pn_str value, void *field, struct pn_arena *arena,
    struct pn_error *err)
{
	struct pn_buf range;
	uint64_t n;
	bool ok = key->type == PN_KEY_MODE ? parse_mode(value, &n) : parse_number(value, key->type, &n);

	if (!ok)
		return pn_fail(err, PN_INVALID, "%s is not a number; write %s", pn_show(value, arena),
		    number_form(key->type));
	if (n >= key->min && n <= key->max) {
		memcpy(field, &n, sizeof(n));
		return PN_OK;
	}
	pn_buf_init(&range, 100);
	pn_key_format(&range, key->type, key->min);
	pn_buf_add_c(&range, " to ");
	pn_key_format(&range, key->type, key->max);
	(void)pn_fail(err, PN_INVALID, "%s is out of range; it must be %s", pn_show(value, arena),
	    pn_buf_c(&range));
	pn_buf_done(&range);
	return PN_INVALID;
}

static enum pn_status
set_bool(struct pn_str value, bool *field, struct pn_arena *arena, struct pn_error *err)
{
	static const char *const yes[] = { "yes", "true", "on" }, *const no[] = { "no", "false", "off" };

	for (size_t i = 0; i < PN_COUNT(yes); i++) {
		bool is_yes = pn_str_eq_nocase(value, pn_str_c(yes[i]));

		if (is_yes || pn_str_eq_nocase(value, pn_str_c(no[i]))) {
			*field = is_yes;
			return PN_OK;
		}
	}
	return pn_fail(err, PN_INVALID, "%s is neither; write yes or no", pn_show(value, arena));
}

static enum pn_status
set_choice(const struct pn_key *key, struct pn_str value, void *field, struct pn_arena *arena,
    struct pn_error *err)
{
	struct pn_str rest = pn_str_c(key->words), word;

	for (unsigned i = 0; pn_str_split(&rest, ' ', &word); i++)
		if (pn_str_eq(value, word)) {
			memcpy(field, &i, sizeof(i));
			return PN_OK;
		}
	return pn_fail(err, PN_INVALID, "%s is not known; write one of: %s", pn_show(value, arena),
	    key->words);
}

static enum pn_status
set_text(const struct pn_key *key, struct pn_str value, struct pn_str *field, struct pn_error *err)
{
	if (value.n < key->min)
		return pn_fail(err, PN_INVALID, "is empty; it needs a value");
	if (value.n > key->max)
		return pn_fail(err, PN_INVALID, "has %zu bytes; at most %" PRIu64 " are allowed", value.n,
		    key->max);
	*field = value;
	return PN_OK;
}

/* What was allocated for n entries: appending one by one stays linear. */
static size_t
room(size_t n)
{
	size_t cap = 8;

	while (cap < n)
		cap *= 2;
	return cap;
}

static enum pn_status
set_list(const struct pn_key *key, struct pn_strs values, bool append, struct pn_strs *field,
    struct pn_arena *arena, struct pn_error *err)
{
	struct pn_strs all = append ? *field : (struct pn_strs){ NULL, 0 };
	size_t n = all.n + values.n;

	if (n > key->max)
		return pn_fail(err, PN_INVALID, "has %zu entries; at most %" PRIu64 " are allowed", n,
		    key->max);
	if (all.n == 0 || n > room(all.n)) {
		struct pn_str *v = PN_ARENA_ARRAY(arena, struct pn_str, room(n));

		if (all.n > 0)
			memcpy(v, all.v, all.n * sizeof(*v));
		all.v = v;
	}
	for (size_t i = 0; i < values.n; i++)
		all.v[all.n++] = values.v[i];
	*field = all;
	return PN_OK;
}

enum pn_status
pn_key_set(const struct pn_key *key, struct pn_strs values, bool in_braces, bool append, void *draft,
    struct pn_arena *arena, struct pn_error *err)
{
	void *field = (char *)draft + key->offset;

	if (key->type == PN_KEY_LIST)
		return set_list(key, values, append, field, arena, err);
	if (in_braces || values.n != 1)
		return pn_fail(err, PN_INVALID, "takes one value, not a list; remove the braces");
	if (append)
		return pn_fail(err, PN_INVALID, "takes one value; write = instead of +=");
	switch (key->type) {
	case PN_KEY_TEXT:
		return set_text(key, values.v[0], field, err);
	case PN_KEY_BOOL:
		return set_bool(values.v[0], field, arena, err);
	case PN_KEY_CHOICE:
		return set_choice(key, values.v[0], field, arena, err);
	case PN_KEY_NUMBER:
	case PN_KEY_SIZE:
	case PN_KEY_TIME:
	case PN_KEY_MODE:
		return set_number(key, values.v[0], field, arena, err);
	case PN_KEY_LIST:
		break;
	}
	return PN_INVALID;
}

void
pn_keys_defaults(const struct pn_key_table *table, void *draft, struct pn_arena *arena)
{
	struct pn_config_report report;
	struct pn_conf_tree tree;
	struct pn_buf text;

	/* by the same code as a file: a default that is none does not pass the tests */
	pn_buf_init(&text, 64 * 1024);
	for (size_t i = 0; i < table->n; i++)
		if (table->v[i].standard != NULL)
			pn_buf_addf(&text, "%s = %s\n", table->v[i].name, table->v[i].standard);
	pn_config_report_init(&report);
	pn_conf_tree_init(&tree, arena);
	pn_conf_read(&tree, pn_arena_dup(arena, pn_buf_str(&text)), "default", arena, &report);
	for (size_t i = 0; i < tree.sections[0].key_count; i++) {
		const struct pn_conf_key *k = &tree.sections[0].keys[i];
		enum pn_status st = pn_key_set(pn_key_find(table, k->name), k->values, k->list, false, draft,
		    arena, NULL);

		assert(st == PN_OK);
	}
	assert(report.errors == 0);
	pn_config_report_done(&report);
	pn_buf_done(&text);
}
