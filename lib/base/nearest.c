#include "postern/nearest.h"

enum { WORD_MAX = 40, BEGINNING = 3 };

/* How many letters must be added, removed or changed: Levenshtein's distance. */
static unsigned
distance(struct pn_str a, struct pn_str b)
{
	unsigned row[WORD_MAX + 1];

	for (size_t j = 0; j <= b.n; j++)
		row[j] = (unsigned)j;
	for (size_t i = 0; i < a.n; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i + 1;
		for (size_t j = 0; j < b.n; j++) {
			unsigned change = diagonal + (pn_to_lower(a.p[i]) != pn_to_lower(b.p[j]));
			unsigned least = row[j] < row[j + 1] ? row[j] : row[j + 1];

			diagonal = row[j + 1];
			row[j + 1] = change < least + 1 ? change : least + 1;
		}
	}
	return row[b.n];
}

const char *
pn_nearest(struct pn_str name, const char *const *words, size_t n)
{
	unsigned best = (unsigned)(name.n / 4) + 2;
	const char *nearest = NULL;

	if (name.n == 0 || name.n > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		struct pn_str word = pn_str_c(words[i]);
		unsigned d = best;

		if (name.n >= BEGINNING && pn_str_starts_nocase(word, name))
			d = 0;
		else if (word.n <= WORD_MAX)
			d = distance(name, word);
		if (d < best) {
			best = d;
			nearest = words[i];
		}
	}
	return nearest;
}
