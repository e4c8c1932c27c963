#include "postern/dmarc.h"

/* The tags that are known, in the order of the array that takes their values. */
enum tag { TAG_P, TAG_SP, TAG_NP, TAG_ADKIM, TAG_ASPF, TAG_PCT, TAG_PSD, TAG_T, TAG_RUA, TAG_RUF, TAGS };

static const struct {
	struct pn_str name;
	bool psl, tree;		/* where it means something */
} tags[TAGS] = {
	[TAG_P] = { { "p", 1 }, true, true },
	[TAG_SP] = { { "sp", 2 }, true, true },
	[TAG_NP] = { { "np", 2 }, false, true },
	[TAG_ADKIM] = { { "adkim", 5 }, true, true },
	[TAG_ASPF] = { { "aspf", 4 }, true, true },
	[TAG_PCT] = { { "pct", 3 }, true, false },
	[TAG_PSD] = { { "psd", 3 }, false, true },
	[TAG_T] = { { "t", 1 }, false, true },
	[TAG_RUA] = { { "rua", 3 }, true, true },
	[TAG_RUF] = { { "ruf", 3 }, true, true },
};

struct value {
	struct pn_str text;
	unsigned times;
};

static struct pn_str
trim(struct pn_str s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = pn_str_from(s, 1);
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* "name = value"; false: no tag at all. */
static bool
split_tag(struct pn_str piece, struct pn_str *name, struct pn_str *value)
{
	size_t equals = pn_str_find(piece, '=');

	if (equals == PN_STR_NONE)
		return false;
	*name = trim(pn_str_head(piece, equals));
	*value = trim(pn_str_from(piece, equals + 1));
	return true;
}

/* "v=DMARC1" is the first tag, byte for byte but for blanks around the "=". */
static bool
is_version(struct pn_str piece)
{
	struct pn_str name, value;

	return piece.n > 0 && pn_to_lower(piece.p[0]) == 'v' && split_tag(piece, &name, &value) && name.n == 1
	    && pn_str_eq(value, PN_STR("DMARC1"));
}

static void
collect(struct pn_str rest, enum pn_dmarc_mode mode, struct value *values, size_t *faults)
{
	struct pn_str piece, name, value;

	while (pn_str_split(&rest, ';', &piece)) {
		if (!split_tag(piece, &name, &value)) {
			*faults += trim(piece).n > 0;
			continue;
		}
		for (size_t i = 0; i < TAGS; i++)
			if (pn_str_eq_nocase(name, tags[i].name)
			    && (mode == PN_DMARC_PSL ? tags[i].psl : tags[i].tree))
				values[i] = (struct value){ value, values[i].times + 1 };
	}
}

/* Which word (of n) the tag has; n when it is absent, *bad when it is none of them or occurs twice. */
static size_t
word(struct value value, const char *const *words, size_t n, bool *bad)
{
	if (value.times == 0)
		return n;
	for (size_t i = 0; i < n && value.times == 1; i++)
		if (pn_str_eq_nocase(value.text, pn_str_c(words[i])))
			return i;
	*bad = true;
	return n;
}

static enum pn_dmarc_policy
policy(struct value value, bool *bad)
{
	static const char *const words[] = { "none", "quarantine", "reject" };
	size_t at = word(value, words, 3, bad);

	return at == 3 ? PN_DMARC_UNSET : (enum pn_dmarc_policy)(PN_DMARC_NONE + at);
}

/* One of the letters; the first one is the default. */
static char
letter(struct value value, const char *letters, size_t *faults)
{
	char c = value.text.n == 1 ? pn_to_lower(value.text.p[0]) : '\0';

	if (value.times == 1 && c != '\0' && strchr(letters, c) != NULL)
		return c;
	*faults += value.times > 0;
	return letters[0];
}

/* "scheme:rest" (RFC 3986); a mailto has something on both sides of an @. */
static bool
is_uri(struct pn_str uri)
{
	size_t colon = pn_str_find(uri, ':'), at;
	struct pn_str rest = pn_str_from(uri, colon == PN_STR_NONE ? uri.n : colon + 1);

	if (rest.n == 0 || colon == 0 || !pn_is_alpha(uri.p[0]))
		return false;
	for (size_t i = 0; i < uri.n; i++)
		if (uri.p[i] <= ' ' || uri.p[i] >= 0x7f)
			return false;
	if (!pn_str_eq_nocase(pn_str_head(uri, colon), PN_STR("mailto")))
		return true;
	at = pn_str_find(rest, '@');
	return at != PN_STR_NONE && at > 0 && at + 1 < rest.n;
}

static bool
has_uri(struct pn_str list)
{
	struct pn_str uri;

	while (pn_str_split(&list, ',', &uri))
		if (is_uri(trim(uri)))
			return true;
	return false;
}

static uint8_t
percent(struct value value, size_t *faults)
{
	uint64_t number;

	if (value.times == 0 || (value.times == 1 && pn_str_to_u64(value.text, 100, &number)))
		return value.times == 0 ? 100 : (uint8_t)number;
	(*faults)++;
	return 100;
}

static struct pn_str
list(struct value value, size_t *faults)
{
	*faults += value.times > 1;
	return value.times == 1 ? value.text : PN_STR_EMPTY;
}

/* What a receiver does (RFC 7489 section 6.6.3, RFC 9989 sections 4.7 and 4.10.1). */
static void
take_policies(const struct value *values, enum pn_dmarc_mode mode, struct pn_dmarc_record *record)
{
	bool bad = false;

	record->p = policy(values[TAG_P], &bad);
	record->sp = policy(values[TAG_SP], &bad);
	record->np = policy(values[TAG_NP], &bad);
	record->faults += bad;
	if (record->p == PN_DMARC_UNSET && !bad && mode == PN_DMARC_TREE)
		record->p = PN_DMARC_NONE;
	record->usable = true;
	if (!bad && record->p != PN_DMARC_UNSET)
		return;
	record->usable = has_uri(record->rua);
	record->p = PN_DMARC_NONE;
	record->sp = record->np = PN_DMARC_UNSET;
}

enum pn_status
pn_dmarc_record_parse(struct pn_str text, enum pn_dmarc_mode mode, struct pn_dmarc_record *out)
{
	struct pn_dmarc_record record = { 0 };
	struct value values[TAGS] = { { PN_STR_EMPTY, 0 } };
	struct pn_str first, rest = text;

	if (!pn_str_split(&rest, ';', &first) || !is_version(first))
		return PN_NOT_FOUND;
	collect(rest, mode, values, &record.faults);
	record.strict_dkim = letter(values[TAG_ADKIM], "rs", &record.faults) == 's';
	record.strict_spf = letter(values[TAG_ASPF], "rs", &record.faults) == 's';
	record.testing = letter(values[TAG_T], "ny", &record.faults) == 'y';
	record.psd = letter(values[TAG_PSD], "uyn", &record.faults);
	record.pct = percent(values[TAG_PCT], &record.faults);
	record.rua = list(values[TAG_RUA], &record.faults);
	record.ruf = list(values[TAG_RUF], &record.faults);
	take_policies(values, mode, &record);
	*out = record;
	return PN_OK;
}
