#include "actions.h"

#include <stdio.h>

#include "counters.h"
#include "postern/log.h"

enum { REPLY_MAX = 480 };	/* bytes of text: libmilter takes 980 after doubling of % */

/* smfi_setreply() goes directly before the return: a stored reply of another
 * class would linger.  "%" is doubled, as the other end formats once more. */
static void
set_reply(SMFICTX *ctx, const char *code, const char *xcode, struct pn_str text)
{
	char rcode[4], ecode[12], out[2 * REPLY_MAX + 1];
	size_t n = 0;

	(void)snprintf(rcode, sizeof(rcode), "%s", code);
	(void)snprintf(ecode, sizeof(ecode), "%s", xcode);
	for (size_t i = 0; i < text.n && i < REPLY_MAX; i++) {
		char c = text.p[i];

		if (c < ' ' || c > '~')
			c = '?';
		if (c == '%')
			out[n++] = '%';
		out[n++] = c;
	}
	out[n] = '\0';
	if (smfi_setreply(ctx, rcode, ecode, out) != MI_SUCCESS)
		count(COUNT_ACTION_ERRORS, 1);
}

sfsistat
action_rcpt(SMFICTX *ctx, enum session_rcpt answer)
{
	switch (answer) {
	case RCPT_ACCEPTED:
		return SMFIS_CONTINUE;
	case RCPT_REFUSED:
		set_reply(ctx, "550", "5.1.1", PN_STR("no such address"));
		return SMFIS_REJECT;
	case RCPT_TROUBLE:
		set_reply(ctx, "451", "4.3.0", PN_STR("cannot say now whether this address exists, try again later"));
		return SMFIS_TEMPFAIL;
	case RCPT_LATER:
		set_reply(ctx, "452", "4.5.3", PN_STR("please send to this address in a transaction of its own"));
		return SMFIS_TEMPFAIL;
	case RCPT_TOO_MANY:
		set_reply(ctx, "452", "4.5.3", PN_STR("too many recipients"));
		return SMFIS_TEMPFAIL;
	}
	return SMFIS_TEMPFAIL;
}

sfsistat
action_trouble(SMFICTX *ctx, const char *text)
{
	set_reply(ctx, "451", "4.3.0", pn_str_c(text));
	return SMFIS_TEMPFAIL;
}

/* libmilter takes char *, and does not write to them. */
static char *
text_of(const struct session *s, struct pn_str text)
{
	return (char *)(uintptr_t)pn_arena_cstr(s->arena, text);
}

/* With HDR_LEADSPC a value brings its own blank. */
static char *
header_text(const struct session *s, struct pn_str text)
{
	struct pn_str value = pn_arena_printf(s->arena, "%s" PN_STR_FMT,
	    s->steps & SMFIP_HDR_LEADSPC ? " " : "", PN_STR_ARG(text));

	return (char *)(uintptr_t)value.p;
}

static int
make(SMFICTX *ctx, const struct session *s, const struct pn_edit *edit)
{
	switch (edit->kind) {
	case PN_EDIT_ADD_RCPT:
		if (edit->args.n > 0)
			return smfi_addrcpt_par(ctx, text_of(s, edit->text), text_of(s, edit->args));
		return smfi_addrcpt(ctx, text_of(s, edit->text));
	case PN_EDIT_DELETE_RCPT:
		return smfi_delrcpt(ctx, text_of(s, edit->text));
	case PN_EDIT_INSERT_HEADER:
		return smfi_insheader(ctx, 0, text_of(s, edit->name), header_text(s, edit->text));
	case PN_EDIT_ADD_HEADER:
		return smfi_addheader(ctx, text_of(s, edit->name), header_text(s, edit->text));
	case PN_EDIT_CHANGE_HEADER:
		return smfi_chgheader(ctx, text_of(s, edit->name), (int)edit->index, header_text(s, edit->text));
	case PN_EDIT_CHANGE_SENDER:
		return smfi_chgfrom(ctx, text_of(s, pn_arena_printf(s->arena, "<" PN_STR_FMT ">",
		    PN_STR_ARG(edit->text))), NULL);
	case PN_EDIT_DELETE_HEADER:
		return smfi_chgheader(ctx, text_of(s, edit->name), (int)edit->index, NULL);
	case PN_EDIT_QUARANTINE:
		return smfi_quarantine(ctx, text_of(s, edit->text));
	}
	return MI_FAILURE;
}

static bool
make_all(SMFICTX *ctx, const struct session *s, const struct pn_closing *closing)
{
	for (size_t i = 0; i < closing->edit_count; i++)
		if (make(ctx, s, &closing->edits[i]) != MI_SUCCESS) {
			count(COUNT_ACTION_ERRORS, 1);
			pn_log(PN_LOG_ERROR, "the mail server refused change %zu of %zu: is another milter library in between?",
			    i + 1, closing->edit_count);
			return false;
		}
	return true;
}

sfsistat
action_close(SMFICTX *ctx, const struct session *s, const struct pn_closing *closing)
{
	switch (closing->action) {
	case PN_ACTION_REFUSE:
		set_reply(ctx, closing->reply.code, closing->reply.xcode, closing->reply.text);
		return SMFIS_REJECT;
	case PN_ACTION_DEFER:
		set_reply(ctx, closing->reply.code, closing->reply.xcode, closing->reply.text);
		return SMFIS_TEMPFAIL;
	case PN_ACTION_DISCARD:
		return SMFIS_DISCARD;
	case PN_ACTION_ACCEPT:
	case PN_ACTION_HAND_OVER:
	case PN_ACTION_HOLD:
		break;
	}
	if (make_all(ctx, s, closing))
		return SMFIS_CONTINUE;
	/* half a redirection would deliver twice, or not at all */
	return action_trouble(ctx, "cannot change this mail now, try again later");
}
