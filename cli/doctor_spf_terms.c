#include "doctor_spf_terms.h"

enum { HOSTS_MAX = 10, SIMILAR_MAX = 64 };

/* -- words of a record ------------------------------------------------------------------------ */

bool
doctor_spf_next_word(struct pn_str *rest, struct pn_str *word)
{
	do
		if (!pn_str_split(rest, ' ', word))
			return false;
	while (word->n == 0);
	return true;
}

bool
doctor_spf_is_record(struct pn_str text)
{
	return pn_str_starts_nocase(text, PN_STR("v=spf1")) && (text.n == 6 || text.p[6] == ' ');
}

bool
doctor_spf_is_similar(struct pn_str text)
{
	char compact[SIMILAR_MAX];
	struct pn_str begin;
	size_t n = 0;

	for (size_t i = 0; i < text.n && i < SIMILAR_MAX; i++)
		if (!pn_is_space(text.p[i]) && text.p[i] != '"' && text.p[i] != '\'')
			compact[n++] = pn_to_lower(text.p[i]);
	begin = pn_str_n(compact, n);
	return !doctor_spf_is_record(text)
	    && (pn_str_starts(begin, PN_STR("v=spf")) || pn_str_starts(begin, PN_STR("spf1"))
		|| pn_str_contains(begin, PN_STR("v=spf1")));
}

char
doctor_spf_all_of(struct pn_str word)
{
	char qualifier = word.n > 0 && strchr("+-~?", word.p[0]) != NULL ? word.p[0] : '\0';

	return pn_str_eq_nocase(pn_str_from(word, qualifier != '\0'), PN_STR("all"))
	    ? (qualifier != '\0' ? qualifier : '+')
	    : '\0';
}

/* A term of that name?  *target is what it asks for, "" where that is the domain itself. */
static bool
is_term(struct pn_str word, const char *name, struct pn_str *target)
{
	char separator = strcmp(name, "redirect") == 0 ? '=' : ':';
	struct pn_str qualifier = pn_str_head(word, 1);

	if (qualifier.n == 1 && pn_str_contains(PN_STR("+-~?"), qualifier))
		word = pn_str_from(word, 1);
	if (!pn_str_starts_nocase(word, pn_str_c(name)))
		return false;
	word = pn_str_from(word, strlen(name));
	*target = PN_STR_EMPTY;
	if (word.n == 0 || word.p[0] == '/')
		return true;
	*target = pn_str_from(word, 1);
	*target = pn_str_head(*target, pn_str_find(*target, '/'));
	return word.p[0] == separator;
}

bool
doctor_spf_has_term(struct pn_strs terms, const char *name)
{
	struct pn_str target;

	for (size_t i = 0; i < terms.n; i++)
		if (is_term(terms.v[i], name, &target))
			return true;
	return false;
}

char
doctor_spf_ending_of(struct pn_str record)
{
	struct pn_str word, rest = pn_str_from(record, 6);
	char ending = '\0';

	while (doctor_spf_next_word(&rest, &word))
		if (doctor_spf_all_of(word) != '\0')
			return doctor_spf_all_of(word);
		else if (pn_str_starts_nocase(word, PN_STR("redirect=")))
			ending = 'r';
	return ending;
}

/* -- terms that do no good -------------------------------------------------------------------------- */

static bool
has_no_address(struct doctor *d, struct pn_str name)
{
	struct pn_strs addresses;

	return doctor_host_addresses(d, name, &addresses, NULL) == PN_NOT_FOUND;
}

/* An exists: asks for A, whoever the client is. */
static bool
does_not_exist(struct doctor *d, struct pn_str name)
{
	struct pn_dns_answer answer;

	return doctor_ask(d, name, PN_DNS_A, &answer, NULL) == PN_NOT_FOUND;
}

static bool
has_no_mail_host(struct doctor *d, struct pn_str name)
{
	struct pn_dns_answer answer;
	enum pn_status st = doctor_ask(d, name, PN_DNS_MX, &answer, NULL);

	for (size_t i = 0; st == PN_OK && i < answer.records.n; i++)
		if (i >= HOSTS_MAX || !has_no_address(d, answer.records.v[i]))
			return false;
	return st != PN_TEMPFAIL;
}

static bool
has_no_record(struct doctor *d, struct pn_str name)
{
	struct pn_dns_answer answer;
	enum pn_status st = doctor_ask(d, name, PN_DNS_TXT, &answer, NULL);

	for (size_t i = 0; st == PN_OK && i < answer.records.n; i++)
		if (doctor_spf_is_record(answer.records.v[i]))
			return false;
	return st != PN_TEMPFAIL;
}

static const struct {
	const char *name;
	bool (*is_useless)(struct doctor *d, struct pn_str target);
	const char *why;
} useless_terms[] = {
	{ "a", has_no_address, "no address at that name: it lets nobody in, and counts as void" },
	{ "mx", has_no_mail_host, "no mail host at that name: it lets nobody in, and counts as void" },
	{ "exists", does_not_exist, "no address at that name: it lets nobody in, and counts as void" },
	{ "include", has_no_record, "no SPF record at that name: receivers cannot use what includes it" },
	{ "redirect", has_no_record, "no SPF record at that name: receivers cannot use what leads there" },
};

const char *
doctor_spf_fault_of(struct doctor *d, struct pn_str domain, struct pn_str word)
{
	struct pn_str target;

	for (size_t i = 0; i < PN_COUNT(useless_terms); i++) {
		if (!is_term(word, useless_terms[i].name, &target))
			continue;
		if (pn_str_find(target, ':') != PN_STR_NONE || pn_str_contains(target, PN_STR("redirect=")))
			return "no name is like that: is a blank missing in it?";
		/* what a name with macros stands for depends on the mail */
		if (pn_str_find(target, '%') != PN_STR_NONE)
			return NULL;
		if (target.n == 0)
			target = domain;
		return useless_terms[i].is_useless(d, target) ? useless_terms[i].why : NULL;
	}
	return NULL;
}
