/* Where a mail comes from: a client of ours, or through one from outside. */
#include "postern/gate.h"

/* The next word outside of comments; "" at the end. */
static struct pn_str
next_word(struct pn_str *text)
{
	size_t depth = 0, n = 0;

	while (text->n > 0 && (depth > 0 || pn_is_space(text->p[0]) || text->p[0] == '(')) {
		depth += text->p[0] == '(';
		depth -= text->p[0] == ')' && depth > 0;
		*text = pn_str_from(*text, 1);
	}
	while (n < text->n && !pn_is_space(text->p[n]) && text->p[n] != '(')
		n++;
	*text = pn_str_from(*text, n);
	return pn_str_n(text->p - n, n);
}

/* From outside: a Received field that another host has written, "... by HOST ...".
 * The name before it is the client's own words. */
static bool
came_from_outside(struct pn_str host, const struct pn_field *field)
{
	struct pn_str text = field->raw, word;
	bool by = false;

	if (!pn_str_eq_nocase(field->name, PN_STR("Received")))
		return false;
	for (size_t n = 0; !by && (word = next_word(&text)).n > 0; n++)
		by = n != 1 && pn_str_eq_nocase(word, PN_STR("by"));
	word = next_word(&text);
	return host.n == 0 || !pn_str_eq_nocase(word, host);
}

bool
pn_gate_is_outbound(const struct pn_config *config, const struct pn_gate_mail *mail)
{
	if (!mail->outbound)
		return false;
	for (size_t i = 0; i < mail->fields.n; i++)
		if (pn_str_eq_nocase(mail->fields.v[i].name, PN_STR("X-Postern-Stamp"))
		    || (!mail->authenticated && came_from_outside(config->hostname, &mail->fields.v[i])))
			return false;
	return true;
}
