/* auth_config.h - what the operator says about authentication.  Part of pn_config.
 */
#ifndef POSTERN_AUTH_CONFIG_H
#define POSTERN_AUTH_CONFIG_H

#include "postern/dmarc.h"
#include "postern/key_ring.h"
#include "postern/networks.h"
#include "postern/str_list.h"

enum pn_dmarc_use {
	PN_DMARC_OFF,			/* nothing is verified */
	PN_DMARC_MARK,			/* verified, told in Authentication-Results, and no more */
	PN_DMARC_ENFORCE,		/* p=reject refuses, p=quarantine as below */
};

enum pn_quarantine { PN_QUARANTINE_MARK, PN_QUARANTINE_HOLD, PN_QUARANTINE_REFUSE };

/* What a verdict that hangs on an answer the DNS did not give becomes. */
enum pn_auth_trouble { PN_AUTH_TROUBLE_HAND_OVER, PN_AUTH_TROUBLE_DEFER };

struct pn_auth_config {
	enum pn_dmarc_use use;
	enum pn_dmarc_mode mode;
	enum pn_quarantine quarantine;
	enum pn_auth_trouble trouble;
	struct pn_str authserv_id;
	struct pn_networks trusted_relays;	/* backup MX, a filtering service in front */
	struct pn_networks forwarders;		/* exempt from enforce */
	bool exempt_lists;			/* so is what a mailing list sends */
	/* earlier filters whose results are taken; where there are trusted_relays, from these only */
	struct pn_strs trust_authserv;
	struct pn_str public_suffix_list;	/* file; "" = Debian's */
	uint64_t dkim_min_bits;
	bool dkim_accept_testing;
	/* the DNS */
	struct pn_strs dns_servers;		/* none: from the root servers down */
	struct pn_str dns_trust_anchor;		/* "" = DNSSEC is not looked at */
	uint64_t dns_timeout;			/* seconds, one question */
	uint64_t dns_budget;			/* seconds, one mail */
	uint64_t dns_questions;			/* one mail */
};

/* Mail that leaves is signed with OpenDKIM's tables. */
struct pn_sign_config {
	struct pn_str key_table;
	struct pn_str signing_table;		/* "refile:PATH" or PATH; "" = nothing is signed */
	bool relaxed_header, relaxed_body;
	bool all;				/* with every key that matches, not only the first */
	bool check_published;			/* the DNS must have the other half */
	pn_key_ring_read *read_key;		/* pn_config_secret() */
	struct pn_str socket;			/* of postern-signer, which alone reads the keys; "" = who signs does */
};

#endif
