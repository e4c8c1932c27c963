/* Milters to compare with: null_milter MODE SOCKET
 *
 *   redirect  gives one recipient for another at the end of the message, and
 *             nothing else: the least that a redirecting milter can cost
 *   eom       the same negotiation, does nothing
 *   all       every callback, every reply, does nothing
 *
 * redirect and eom negotiate as postern-milter does: replies at MAIL, RCPT and
 * the end of the message, headers and body sent without waiting for one; and
 * no macros at all. */
#include <libmilter/mfapi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define TARGET_DOMAIN "odoo.example"

enum {
	QUIET_STEPS = SMFIP_NR_CONN | SMFIP_NR_HDR | SMFIP_NR_EOH | SMFIP_NR_BODY | SMFIP_HDR_LEADSPC | SMFIP_NOHELO
	    | SMFIP_NOUNKNOWN | SMFIP_NODATA,
};

enum mode { REDIRECT, EOM, ALL };
static enum mode mode;

/* What is negotiated is the same for all sessions. */
static sfsistat
quiet(void)
{
	return mode == ALL ? SMFIS_CONTINUE : SMFIS_NOREPLY;
}

static char *
text(const char *literal)
{
	return (char *)(uintptr_t)literal;	/* libmilter does not write to it */
}

static sfsistat
on_negotiate(SMFICTX *ctx, unsigned long f0, unsigned long f1, unsigned long f2, unsigned long f3,
    unsigned long *pf0, unsigned long *pf1, unsigned long *pf2, unsigned long *pf3)
{
	static const int stages[] = { SMFIM_CONNECT, SMFIM_HELO, SMFIM_ENVFROM, SMFIM_ENVRCPT, SMFIM_DATA, SMFIM_EOH,
		SMFIM_EOM };

	(void)f2;
	(void)f3;
	*pf2 = *pf3 = 0;
	if (mode == ALL)
		return SMFIS_ALL_OPTS;
	*pf0 = f0 & (SMFIF_ADDRCPT | SMFIF_DELRCPT | SMFIF_SETSYMLIST);
	*pf1 = f1 & QUIET_STEPS;
	for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++)
		(void)smfi_setsymlist(ctx, stages[i], text(""));
	return *pf1 == QUIET_STEPS ? SMFIS_CONTINUE : SMFIS_REJECT;
}

static sfsistat
on_connect(SMFICTX *ctx, char *name, _SOCK_ADDR *address)
{
	(void)ctx;
	(void)name;
	(void)address;
	return quiet();
}

static sfsistat
on_text(SMFICTX *ctx, char *arg)
{
	(void)ctx;
	(void)arg;
	return SMFIS_CONTINUE;
}

static sfsistat
on_unknown(SMFICTX *ctx, const char *arg)
{
	(void)ctx;
	(void)arg;
	return SMFIS_CONTINUE;
}

static sfsistat
on_mail(SMFICTX *ctx, char **argv)
{
	(void)ctx;
	(void)argv;
	return SMFIS_CONTINUE;
}

/* The recipient is the session's memory, with its <>. */
static sfsistat
on_rcpt(SMFICTX *ctx, char **argv)
{
	if (mode == REDIRECT) {
		free(smfi_getpriv(ctx));
		(void)smfi_setpriv(ctx, strdup(argv[0]));
	}
	return SMFIS_CONTINUE;
}

static sfsistat
on_simple(SMFICTX *ctx)
{
	(void)ctx;
	return SMFIS_CONTINUE;
}

static sfsistat
on_header(SMFICTX *ctx, char *name, char *value)
{
	(void)ctx;
	(void)name;
	(void)value;
	return quiet();
}

static sfsistat
on_eoh(SMFICTX *ctx)
{
	(void)ctx;
	return quiet();
}

static sfsistat
on_body(SMFICTX *ctx, unsigned char *chunk, size_t n)
{
	(void)ctx;
	(void)chunk;
	(void)n;
	return quiet();
}

static sfsistat
on_eom(SMFICTX *ctx)
{
	char *rcpt = smfi_getpriv(ctx);
	char target[512];

	if (mode != REDIRECT || rcpt == NULL)
		return SMFIS_CONTINUE;
	(void)snprintf(target, sizeof(target), "%.*s@" TARGET_DOMAIN ">", (int)strcspn(rcpt, "@"), rcpt);
	if (smfi_addrcpt(ctx, target) != MI_SUCCESS || smfi_delrcpt(ctx, rcpt) != MI_SUCCESS)
		return SMFIS_TEMPFAIL;
	return SMFIS_CONTINUE;
}

static sfsistat
on_close(SMFICTX *ctx)
{
	free(smfi_getpriv(ctx));
	(void)smfi_setpriv(ctx, NULL);
	return SMFIS_CONTINUE;
}

static struct smfiDesc callbacks = {
	.xxfi_version = SMFI_VERSION,
	.xxfi_flags = SMFIF_ADDRCPT | SMFIF_DELRCPT | SMFIF_SETSYMLIST,
	.xxfi_connect = on_connect,
	.xxfi_envfrom = on_mail,
	.xxfi_envrcpt = on_rcpt,
	.xxfi_header = on_header,
	.xxfi_eoh = on_eoh,
	.xxfi_body = on_body,
	.xxfi_eom = on_eom,
	.xxfi_abort = on_simple,
	.xxfi_close = on_close,
	.xxfi_negotiate = on_negotiate,
};

int
main(int argc, char **argv)
{
	char address[512];

	if (argc != 3)
		return EX_USAGE;
	mode = strcmp(argv[1], "all") == 0 ? ALL : strcmp(argv[1], "eom") == 0 ? EOM : REDIRECT;
	if (mode == ALL) {
		callbacks.xxfi_helo = on_text;
		callbacks.xxfi_data = on_simple;
		callbacks.xxfi_unknown = on_unknown;
	}
	callbacks.xxfi_name = text("null");
	(void)snprintf(address, sizeof(address), "unix:%s", argv[2]);
	if (smfi_register(callbacks) != MI_SUCCESS || smfi_setconn(address) != MI_SUCCESS
	    || smfi_opensocket(1) != MI_SUCCESS)
		return EX_UNAVAILABLE;
	return smfi_main() == MI_SUCCESS ? EX_OK : EX_SOFTWARE;
}
