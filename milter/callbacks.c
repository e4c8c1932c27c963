/* Thin: collect, ask the core, act.  Verdicts are given at MAIL, RCPT and the
 * end of the message only; the other callbacks are negotiated without a reply,
 * and a verdict from them would be dropped by libmilter. */
#include "callbacks.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>

#include "actions.h"
#include "counters.h"
#include "line.h"
#include "postern/clock.h"
#include "postern/log.h"
#include "poke.h"

enum {
	/* without its macros all mail would look like sendmail(1)'s: SETSYMLIST */
	NEEDED_ACTIONS = SMFIF_ADDHDRS | SMFIF_CHGHDRS | SMFIF_ADDRCPT | SMFIF_ADDRCPT_PAR | SMFIF_DELRCPT
	    | SMFIF_CHGFROM | SMFIF_QUARANTINE | SMFIF_SETSYMLIST,
	WANTED_STEPS = SMFIP_NR_CONN | SMFIP_NR_HELO | SMFIP_NR_HDR | SMFIP_NR_EOH | SMFIP_NR_BODY | SMFIP_HDR_LEADSPC
	    | SMFIP_NOUNKNOWN | SMFIP_NODATA,
};

static atomic_long admitted;	/* sessions that may send mail */

/* -- helpers ------------------------------------------------------------------------------ */

/* What a callback without a verdict returns: NOREPLY where that was negotiated. */
static sfsistat
no_verdict(const struct session *s, unsigned long flag)
{
	return s != NULL && (s->steps & flag) ? SMFIS_NOREPLY : SMFIS_CONTINUE;
}

static bool
has_text(SMFICTX *ctx, const char *macro)
{
	const char *value = smfi_getsymval(ctx, (char *)(uintptr_t)macro);

	return value != NULL && value[0] != '\0';
}

static struct pn_str
macro_text(SMFICTX *ctx, const char *macro)
{
	return pn_str_c(smfi_getsymval(ctx, (char *)(uintptr_t)macro));
}

static void
read_client(struct session *s, const _SOCK_ADDR *address)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (address == NULL)
		return;
	if (address->sa_family == AF_INET) {
		memcpy(s->client, mapped, sizeof(mapped));
		memcpy(s->client + sizeof(mapped), &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
	} else if (address->sa_family == AF_INET6) {
		memcpy(s->client, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, sizeof(s->client));
	}
}

static void
read_connection(SMFICTX *ctx, struct session *s, const _SOCK_ADDR *address)
{
	struct snapshot *snapshot = snapshot_take();
	const struct pn_config *config = snapshot_gate(snapshot)->config;

	read_client(s, address);
	s->trusted_network = address != NULL
	    && pn_networks_have(config->outbound_networks, s->client);
	s->outbound_daemon = pn_strs_has(config->outbound_daemons, macro_text(ctx, "{daemon_name}"));
	s->relay_daemon = config->relay_daemons.n == 0
	    || pn_strs_has(config->relay_daemons, macro_text(ctx, "{daemon_name}"));
	snapshot_release(snapshot);
}

/* -- callbacks ------------------------------------------------------------------------------ */

/* Postfix empties the macro lists of every stage as soon as one is set: all
 * stages are set, to what is used.  Where nothing is, it sends no packet. */
static bool
ask_macros(SMFICTX *ctx)
{
	static const struct { int stage; const char *macros; } lists[] = {
		{ SMFIM_CONNECT, "{daemon_name}" },
		{ SMFIM_HELO, "" },
		{ SMFIM_ENVFROM, "{auth_authen} {mail_mailer}" },
		{ SMFIM_ENVRCPT, "{rcpt_addr} {rcpt_mailer} {rcpt_host}" },
		{ SMFIM_DATA, "" },
		{ SMFIM_EOH, "" },
		{ SMFIM_EOM, "i" },
	};

	for (size_t i = 0; i < PN_COUNT(lists); i++)
		if (smfi_setsymlist(ctx, lists[i].stage, (char *)(uintptr_t)lists[i].macros) != MI_SUCCESS)
			return false;
	return true;
}

static sfsistat
on_negotiate(SMFICTX *ctx, unsigned long f0, unsigned long f1, unsigned long f2, unsigned long f3,
    unsigned long *pf0, unsigned long *pf1, unsigned long *pf2, unsigned long *pf3)
{
	struct session *s = session_new();

	(void)f2;
	(void)f3;
	*pf0 = NEEDED_ACTIONS;
	*pf1 = WANTED_STEPS & f1;
	*pf2 = *pf3 = 0;
	if ((f0 & NEEDED_ACTIONS) != NEEDED_ACTIONS || !ask_macros(ctx)) {
		pn_log(PN_LOG_ERROR, "the mail server does not offer what is needed (actions %#lx, steps %#lx)", f0, f1);
		session_free(s);
		return SMFIS_REJECT;
	}
	s->steps = *pf1;
	if (smfi_setpriv(ctx, s) != MI_SUCCESS) {
		session_free(s);
		return SMFIS_REJECT;
	}
	return SMFIS_CONTINUE;
}

static sfsistat
on_connect(SMFICTX *ctx, char *name, _SOCK_ADDR *address)
{
	struct session *s = smfi_getpriv(ctx);

	(void)name;
	if (s == NULL)
		return SMFIS_TEMPFAIL;
	read_connection(ctx, s, address);
	return no_verdict(s, SMFIP_NR_CONN);
}

static sfsistat
on_helo(SMFICTX *ctx, char *name)
{
	struct session *s = smfi_getpriv(ctx);

	if (s != NULL)
		(void)snprintf(s->helo, sizeof(s->helo), "%s", name);
	return no_verdict(s, SMFIP_NR_HELO);
}

/* Those who are there keep their place until they hang up; sendmail(1) always has one. */
static bool
has_place(struct session *s)
{
	long most = (long)snapshot_gate(s->snapshot)->config->max_sessions;

	if (!s->admitted && atomic_fetch_add(&admitted, 1) >= most && s->mail.smtp)
		atomic_fetch_sub(&admitted, 1);
	else
		s->admitted = true;
	return s->admitted;
}

static sfsistat
on_mail(SMFICTX *ctx, char **argv)
{
	struct session *s = smfi_getpriv(ctx);
	sfsistat answer = SMFIS_CONTINUE;

	if (s == NULL)
		return SMFIS_TEMPFAIL;
	poke_enter();
	/* a conversation through sendmail(1) has no {mail_mailer} */
	session_begin(s, pn_str_c(argv[0]), has_text(ctx, "{mail_mailer}"), macro_text(ctx, "{auth_authen}"));
	if (!has_place(s)) {
		line_refused(s, "too many sessions");
		answer = action_trouble(ctx, "too many sessions, try again later");
		session_end(s);
	}
	poke_leave();
	return answer;
}

static sfsistat
on_rcpt(SMFICTX *ctx, char **argv)
{
	struct session *s = smfi_getpriv(ctx);
	struct next_hop hop = { PN_STR_EMPTY, PN_STR_EMPTY };
	struct pn_error err = { "" };
	enum session_rcpt answer;

	if (s == NULL || s->snapshot == NULL)
		return SMFIS_TEMPFAIL;
	poke_enter();
	if (s->mail.outbound)
		hop = (struct next_hop){ macro_text(ctx, "{rcpt_mailer}"), macro_text(ctx, "{rcpt_host}") };
	answer = session_rcpt(s, argv, macro_text(ctx, "{rcpt_addr}"), hop, &err);
	poke_leave();
	line_rcpt(s, pn_str_c(argv[0]), answer, &err);
	return action_rcpt(ctx, answer);
}

static sfsistat
on_header(SMFICTX *ctx, char *name, char *value)
{
	struct session *s = smfi_getpriv(ctx);

	if (s != NULL && s->snapshot != NULL)
		session_header(s, pn_str_c(name), pn_str_c(value));
	return no_verdict(s, SMFIP_NR_HDR);
}

static sfsistat
on_eoh(SMFICTX *ctx)
{
	struct session *s = smfi_getpriv(ctx);

	if (s != NULL && s->snapshot != NULL)
		session_end_of_headers(s);
	return no_verdict(s, SMFIP_NR_EOH);
}

static sfsistat
on_body(SMFICTX *ctx, unsigned char *chunk, size_t n)
{
	struct session *s = smfi_getpriv(ctx);

	if (s != NULL && s->snapshot != NULL)
		session_body(s, pn_str_n((const char *)chunk, n));
	return no_verdict(s, SMFIP_NR_BODY);
}

static sfsistat
on_eom(SMFICTX *ctx)
{
	struct session *s = smfi_getpriv(ctx);
	struct pn_gate_result result;
	sfsistat answer;

	if (s == NULL || s->snapshot == NULL)
		return SMFIS_TEMPFAIL;
	poke_enter();
	session_decide(s, macro_text(ctx, "i"), &result);
	answer = action_close(ctx, s, &result.closing);
	line_mail(s, &result, answer == SMFIS_TEMPFAIL && result.closing.action != PN_ACTION_DEFER);
	poke_leave();
	session_end(s);
	return answer;
}

static sfsistat
on_abort(SMFICTX *ctx)
{
	struct session *s = smfi_getpriv(ctx);

	if (s != NULL)
		session_end(s);
	return SMFIS_CONTINUE;
}

static sfsistat
on_close(SMFICTX *ctx)
{
	struct session *s = smfi_getpriv(ctx);

	/* a poke, or a peer that left before it negotiated */
	if (s == NULL)
		return SMFIS_CONTINUE;
	(void)smfi_setpriv(ctx, NULL);
	if (s->admitted)
		atomic_fetch_sub(&admitted, 1);
	session_free(s);
	return SMFIS_CONTINUE;
}

struct smfiDesc callbacks = {
	.xxfi_name = (char *)(uintptr_t)"postern",
	.xxfi_version = SMFI_VERSION,
	.xxfi_flags = NEEDED_ACTIONS,
	.xxfi_connect = on_connect,
	.xxfi_helo = on_helo,
	.xxfi_envfrom = on_mail,
	.xxfi_envrcpt = on_rcpt,
	.xxfi_header = on_header,
	.xxfi_eoh = on_eoh,
	.xxfi_body = on_body,
	.xxfi_eom = on_eom,
	.xxfi_abort = on_abort,
	.xxfi_close = on_close,
	.xxfi_negotiate = on_negotiate,
};
