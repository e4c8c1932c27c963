/* Does Postfix let the recipients of our domains through, and only those? */
#include "check.h"

enum { DOMAINS_MOST = 100 };

/* In the order in which Postfix asks: the first one that has the domain decides. */
static const struct class {
	const char *domains, *maps;
	bool alias_only;
} classes[] = {
	{ "mydestination", "local_recipient_maps", false },
	{ "virtual_alias_domains", "virtual_alias_maps", true },
	{ "virtual_mailbox_domains", "virtual_mailbox_maps", false },
	{ "relay_domains", "relay_recipient_maps", false },
};

/* NULL: none, or *unsure. */
static const struct class *
class_of(const struct check *check, struct pn_str domain, bool *unsure)
{
	*unsure = false;
	for (size_t i = 0; i < PN_COUNT(classes); i++)
		switch (postfix_list_has(
		    &check->postfix, postfix_get(&check->postfix, classes[i].domains), domain)) {
		case PN_YES:
			return &classes[i];
		case PN_UNKNOWN:
			*unsure = true;
			break;
		case PN_NO:
			break;
		}
	return NULL;
}

/* An empty map takes every address; so does one with an entry for the whole domain. */
static enum pn_known
takes_everything(const struct check *check, const struct class *class, struct pn_str domain)
{
	struct pn_str maps = postfix_get(&check->postfix, class->maps), value;

	if (maps.n == 0)
		return PN_YES;
	switch (postfix_lookup(&check->postfix, maps,
	    pn_arena_printf(check->arena, "@" PN_STR_FMT, PN_STR_ARG(domain)), &value)) {
	case PN_OK:
		return PN_YES;
	case PN_NOT_FOUND:
		return PN_NO;
	case PN_INVALID:
	case PN_TEMPFAIL:
	case PN_LIMIT:
		break;
	}
	return PN_UNKNOWN;
}

/* -- a domain that is all ours -------------------------------------------------------- */

static void
check_ours(struct check *check, const struct pn_domain *d)
{
	bool unsure;
	const struct class *class = class_of(check, d->ascii, &unsure);
	struct pn_str relay =
	    pn_arena_printf(check->arena, "add " PN_STR_FMT " to relay_domains", PN_STR_ARG(d->ascii));

	if (class == NULL && unsure)
		finding(check, LEVEL_WARNING, "postfix", relay,
		    PN_STR_FMT ": whether Postfix takes its mail cannot be seen from here",
		    PN_STR_ARG(d->ascii));
	else if (class == NULL)
		finding(check, LEVEL_ERROR, "postfix", relay,
		    PN_STR_FMT ": Postfix does not take its mail (\"Relay access denied\")",
		    PN_STR_ARG(d->ascii));
	else if (class->alias_only)
		finding(check, LEVEL_ERROR, "postfix",
		    pn_arena_printf(
			check->arena, "move " PN_STR_FMT " to relay_domains", PN_STR_ARG(d->ascii)),
		    PN_STR_FMT ": stands in %s, where Postfix refuses what it does not know itself",
		    PN_STR_ARG(d->ascii), class->domains);
	else if (takes_everything(check, class, d->ascii) == PN_NO)
		finding(check, LEVEL_ERROR, "postfix",
		    pn_arena_printf(check->arena,
			"empty %s, or add \"@" PN_STR_FMT
			" OK\" to it; with human mailboxes in the domain set unknown = pass",
			class->maps, PN_STR_ARG(d->ascii)),
		    PN_STR_FMT ": %s lets Postfix refuse addresses before Postern is asked",
		    PN_STR_ARG(d->ascii), class->maps);
	else
		finding(check, LEVEL_OK, "postfix", NO_REMEDY, PN_STR_FMT ": all its mail is let in (%s)",
		    PN_STR_ARG(d->ascii), class->domains);
}

/* What was not redirected by mistake must neither leave nor be refused. */
static void
check_relay_transport(struct check *check)
{
	struct pn_str transport = postfix_get(&check->postfix, "relay_transport");

	if (pn_str_starts(transport, PN_STR("retry")) || pn_str_starts(transport, PN_STR("error")))
		finding(check, LEVEL_ERROR, "postfix",
		    PN_STR("relay_transport = lmtp:unix:postern/mail-was-not-redirected"),
		    "relay_transport = " PN_STR_FMT ": smtpd refuses every recipient in relay_domains",
		    PN_STR_ARG(transport));
	else if (pn_str_eq(transport, PN_STR("relay")))
		finding(check, LEVEL_WARNING, "postfix",
		    PN_STR("relay_transport = lmtp:unix:postern/mail-was-not-redirected"),
		    "relay_transport: mail in relay_domains that meets no milter by mistake is sent on to "
		    "the MX of its domain, which may be this host");
}

/* -- a domain with people in it ------------------------------------------------------- */

bool
check_is_own_map(const struct check *check, struct pn_str word, struct pn_str name)
{
	struct pn_str address = pn_str_from(word, 10);
	size_t colon = pn_str_find_last(address, ':');

	if (!pn_str_starts(word, PN_STR("socketmap:")) || colon == PN_STR_NONE
	    || !pn_str_eq(pn_str_from(address, colon + 1), name))
		return false;
	/* daemons may be chrooted; the relative name works in both */
	return check_is_own_socket(check, pn_str_head(address, colon), check->cli->config->map_socket, false);
}

static bool
has_own_map(const struct check *check, const char *name)
{
	struct pn_strs words = postfix_words(postfix_get(&check->postfix, name), check->arena);

	for (size_t i = 0; i < words.n; i++)
		if (check_is_own_map(check, words.v[i], PN_STR("recipient")))
			return true;
	return false;
}

static void
check_mixed(struct check *check, const struct pn_domain *d)
{
	bool unsure;
	const struct class *class = class_of(check, d->ascii, &unsure);

	if (class == NULL && !unsure)
		finding(check, LEVEL_ERROR, "postfix",
		    pn_arena_printf(check->arena,
			"add " PN_STR_FMT " where its mailboxes "
			"are: virtual_mailbox_domains or mydestination",
			PN_STR_ARG(d->ascii)),
		    PN_STR_FMT ": Postfix does not take its mail (\"Relay access denied\")",
		    PN_STR_ARG(d->ascii));
	else if (class != NULL && class->alias_only)
		finding(check, LEVEL_WARNING, "postfix",
		    PN_STR("a domain with mailboxes stands in virtual_mailbox_domains, "
			   "mydestination or relay_domains"),
		    PN_STR_FMT ": stands in %s and has no mailboxes of its own there", PN_STR_ARG(d->ascii),
		    class->domains);
	else if (class != NULL && takes_everything(check, class, d->ascii) == PN_YES)
		finding(check, LEVEL_WARNING, "postfix",
		    pn_arena_printf(check->arena, "list its people in %s", class->maps),
		    PN_STR_FMT ": Postfix takes every address, though some are nobody's (unknown = pass)",
		    PN_STR_ARG(d->ascii));
	else
		finding(check, LEVEL_OK, "postfix", NO_REMEDY,
		    PN_STR_FMT ": its people are known to Postfix (%s)", PN_STR_ARG(d->ascii),
		    class == NULL ? "a table that cannot be asked from here" : class->domains);
}

static struct pn_str
wanted_map(const struct check *check)
{
	struct pn_str queue = postfix_get(&check->postfix, "queue_directory");
	struct pn_str path = pn_str_from(check->cli->config->map_socket, 5);

	if (pn_str_starts(path, queue) && path.n > queue.n + 1)
		path = pn_str_from(path, queue.n + 1);
	return pn_arena_printf(check->arena,
	    "add socketmap:unix:" PN_STR_FMT ":recipient to virtual_alias_maps", PN_STR_ARG(path));
}

static void
check_map(struct check *check)
{
	if (!has_own_map(check, "virtual_alias_maps"))
		finding(check, LEVEL_ERROR, "postfix", wanted_map(check),
		    "virtual_alias_maps: Postfix refuses aliases in domains with unknown = pass, as it has "
		    "no mailbox for them");
	else
		finding(
		    check, LEVEL_OK, "postfix", NO_REMEDY, "virtual_alias_maps: asks Postern for aliases");
	if (has_own_map(check, "virtual_alias_domains"))
		finding(check, LEVEL_WARNING, "postfix", PN_STR("virtual_alias_domains ="),
		    "virtual_alias_domains: its default asks Postern about every domain there is");
}

/* -- a domain that stays on this host ------------------------------------------------- */

static void
check_keep(struct check *check, const struct pn_domain *d)
{
	const struct postfix *pf = &check->postfix;
	struct pn_str value, path = postfix_get(pf, "relay_transport");

	if (postfix_list_has(pf, postfix_get(pf, "relay_domains"), d->ascii) != PN_YES
	    || !pn_str_eq(path, PN_STR("relay")))
		return;
	if (postfix_lookup(pf, postfix_get(pf, "transport_maps"), d->ascii, &value) == PN_NOT_FOUND)
		finding(check, LEVEL_WARNING, "postfix",
		    pn_arena_printf(check->arena,
			"add a line for " PN_STR_FMT " to transport_maps, or set relay_transport",
			PN_STR_ARG(d->ascii)),
		    PN_STR_FMT ": target = keep, but mail in relay_domains goes to the MX of its domain, "
			       "which may be this host",
		    PN_STR_ARG(d->ascii));
}

/* Where the bounce address of a gateway leads, only the milter knows. */
static void
check_bounces(struct check *check)
{
	struct pn_str filtered = postfix_get(&check->postfix, "internal_mail_filter_classes");

	if (!pn_strs_has(postfix_words(filtered, check->arena), PN_STR("bounce")))
		finding(check, LEVEL_ERROR, "postfix", PN_STR("internal_mail_filter_classes = bounce"),
		    "internal_mail_filter_classes = " PN_STR_FMT
		    ": this host's notice of what bounced does not reach Odoo", PN_STR_ARG(filtered));
}

/* Postfix would try a recipient where its domain goes, and that is not where Postern sends it. */
static void
check_verification(struct check *check)
{
	static const char *const lists[] = { "smtpd_relay_restrictions", "smtpd_recipient_restrictions" };

	for (size_t i = 0; i < PN_COUNT(lists); i++)
		if (pn_strs_has(postfix_words(postfix_get(&check->postfix, lists[i]), check->arena),
		    PN_STR("reject_unverified_recipient")))
			finding(check, LEVEL_WARNING, "postfix",
			    PN_STR("let the domains of Postern pass before it (check_recipient_access), or take it out"),
			    "%s: reject_unverified_recipient puts off mail for every alias: Postfix finds no "
			    "mailbox for it", lists[i]);
}

void
check_domains(struct check *check)
{
	const struct pn_directory *directory = &check->cli->config->directory;
	bool mixed = false, redirected = false, away = false;

	for (size_t i = 0; i < directory->domain_count && i < DOMAINS_MOST; i++) {
		const struct pn_domain *d = &directory->domains[i];

		if (d->unknown == PN_UNKNOWN_PASS)
			check_mixed(check, d);
		else
			check_ours(check, d);
		if (d->gateway->target == PN_TARGET_KEEP)
			check_keep(check, d);
		mixed = mixed || d->unknown == PN_UNKNOWN_PASS;
		redirected =
		    redirected || (d->unknown != PN_UNKNOWN_PASS && d->gateway->target != PN_TARGET_KEEP);
		away = away || d->gateway->target != PN_TARGET_KEEP;
	}
	if (directory->domain_count > DOMAINS_MOST)
		finding(check, LEVEL_OK, "postfix", NO_REMEDY, "%zu more domains were not looked up",
		    directory->domain_count - DOMAINS_MOST);
	if (redirected)
		check_relay_transport(check);
	if (mixed)
		check_map(check);
	if (away) {
		check_bounces(check);
		check_verification(check);
	}
}
