#include "postern/str.h"

bool
pn_str_eq_nocase(struct pn_str a, struct pn_str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (pn_to_lower(a.p[i]) != pn_to_lower(b.p[i]))
			return false;
	return true;
}

bool
pn_str_starts(struct pn_str s, struct pn_str prefix)
{
	return pn_str_eq(pn_str_head(s, prefix.n), prefix);
}

bool
pn_str_starts_nocase(struct pn_str s, struct pn_str prefix)
{
	return pn_str_eq_nocase(pn_str_head(s, prefix.n), prefix);
}

bool
pn_str_ends(struct pn_str s, struct pn_str suffix)
{
	return s.n >= suffix.n && pn_str_eq(pn_str_from(s, s.n - suffix.n), suffix);
}

bool
pn_str_contains(struct pn_str s, struct pn_str needle)
{
	return pn_str_find_str(s, needle) != PN_STR_NONE;
}

bool
pn_str_is_ascii(struct pn_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 128)
			return false;
	return true;
}

int
pn_str_cmp(struct pn_str a, struct pn_str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int order = n == 0 ? 0 : memcmp(a.p, b.p, n);

	return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

size_t
pn_str_find(struct pn_str s, char c)
{
	const char *hit = s.n == 0 ? NULL : memchr(s.p, c, s.n);

	return hit == NULL ? PN_STR_NONE : (size_t)(hit - s.p);
}

size_t
pn_str_find_last(struct pn_str s, char c)
{
	const char *hit = s.n == 0 ? NULL : memrchr(s.p, c, s.n);

	return hit == NULL ? PN_STR_NONE : (size_t)(hit - s.p);
}

size_t
pn_str_find_str(struct pn_str s, struct pn_str needle)
{
	const char *hit = needle.n > s.n ? NULL : memmem(s.p, s.n, needle.p, needle.n);

	return hit == NULL ? PN_STR_NONE : (size_t)(hit - s.p);
}

struct pn_str
pn_str_trim(struct pn_str s)
{
	while (s.n > 0 && pn_is_space(s.p[0]))
		s = pn_str_from(s, 1);
	while (s.n > 0 && pn_is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

bool
pn_str_split(struct pn_str *rest, char c, struct pn_str *field)
{
	size_t at;

	if (rest->p == NULL)
		return false;
	at = pn_str_find(*rest, c);
	*field = pn_str_head(*rest, at);
	*rest = at == PN_STR_NONE ? pn_str_n(NULL, 0) : pn_str_from(*rest, at + 1);
	return true;
}

bool
pn_str_to_u64(struct pn_str s, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		uint64_t digit = (uint64_t)(s.p[i] - '0');

		if (!pn_is_digit(s.p[i]) || value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	if (value > max)
		return false;
	*out = value;
	return true;
}
