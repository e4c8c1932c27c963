#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "postern/buf.h"
#include "postern/mime.h"

#define LIMIT ((size_t)64 << 20)

struct fixture {
	struct pn_mime *mime;
	struct pn_arena *arena;
};

static int
set_up(void **state)
{
	static struct fixture fixture;

	fixture.mime = pn_mime_new();
	fixture.arena = pn_arena_new(LIMIT);
	*state = &fixture;
	return 0;
}

/* A test that failed may have left half a message behind. */
static int
start(void **state)
{
	struct fixture *f = *state;

	pn_mime_reset(f->mime);
	pn_arena_reset(f->arena);
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	pn_mime_free(f->mime);
	pn_arena_free(f->arena);
	return 0;
}

static struct pn_mime_result
read_in_chunks(struct fixture *f, struct pn_str mail, size_t chunk)
{
	struct pn_mime_result result;

	pn_mime_reset(f->mime);
	for (; mail.n > 0; mail = pn_str_from(mail, chunk))
		pn_mime_raw(f->mime, pn_str_head(mail, chunk));
	pn_mime_end(f->mime, f->arena, &result);
	return result;
}

/* "report" etc. with CRLF for every "\n". */
static struct pn_str
with_eols(struct fixture *f, const char *text, const char *eol)
{
	struct pn_buf buf;
	struct pn_str out;

	pn_buf_init(&buf, LIMIT);
	for (; *text != '\0'; text++)
		if (*text == '\n')
			pn_buf_add_c(&buf, eol);
		else
			pn_buf_add_char(&buf, *text);
	assert_false(pn_buf_failed(&buf));
	out = pn_arena_dup(f->arena, pn_buf_str(&buf));
	pn_buf_done(&buf);
	return out;
}

static const char *const eols[] = { "\r\n", "\n", "\r" };
static const size_t chunks[] = { LIMIT, 1, 2, 7 };

/* -- can it be read? --------------------------------------------------------- */

#define MIXED "Content-Type: multipart/mixed; boundary=b\n\n"
#define DIGEST "Content-Type: multipart/digest; boundary=b\n\n"
#define FONT "Content-Type: font/woff\n\nx\n"

static const struct {
	const char *name;
	const char *mail;
	enum pn_known as_mail;
	enum pn_known as_bounce;
} readable[] = {
	{ "empty message", "", PN_NO, PN_NO },
	{ "headers only", "Subject: x\n", PN_NO, PN_NO },
	{ "plain text", "Subject: x\n\nhello\n", PN_NO, PN_NO },
	{ "known charset", "Content-Type: text/plain; charset=ISO_8859-15\n\nx\n", PN_NO, PN_NO },
	{ "unknown charset", "Content-Type: text/plain; charset=bogus\n\nx\n", PN_YES, PN_YES },
	{ "unknown charset, no text", "Content-Type: text/plain; charset=bogus\n\n", PN_NO, PN_NO },
	{ "unknown charset, base64 of nothing",
	  "Content-Type: text/plain; charset=bogus\nContent-Transfer-Encoding: base64\n\n==\n \n",
	  PN_NO, PN_NO },
	{ "unknown charset, base64 of something",
	  "Content-Type: text/plain; charset=bogus\nContent-Transfer-Encoding: base64\n\neA==\n",
	  PN_YES, PN_YES },
	{ "unknown charset, only soft breaks",
	  "Content-Type: text/plain; charset=bogus\nContent-Transfer-Encoding: quoted-printable\n\n=\n=\n",
	  PN_NO, PN_NO },
	{ "codec that is not for text", "Content-Type: text/plain; charset=hex\n\n00\n", PN_YES, PN_YES },
	{ "codec that always fails", "Content-Type: text/plain; charset=undefined\n\n00\n", PN_YES, PN_YES },
	{ "codec that may fail",
	  "Content-Type: text/plain; charset=punycode\n\nx\n", PN_UNKNOWN, PN_UNKNOWN },
	{ "charset of Odoo's own", "Content-Type: text/plain; charset=windows-874\n\nx\n", PN_NO, PN_NO },
	{ "iso-8859-8-i", "Content-Type: text/plain; charset=ISO-8859-8-I\n\nx\n", PN_NO, PN_NO },
	{ "iso-8859-8-x", "Content-Type: text/plain; charset=ISO-8859-8-X\n\nx\n", PN_YES, PN_YES },
	{ "whatever follows", "Content-Type: text/plain; charset=\"iso8859-8 ei\"\n\nx\n", PN_NO, PN_NO },
	{ "unknown-8bit", "Content-Type: text/plain; charset=unknown-8bit\n\nx\n", PN_YES, PN_YES },
	{ "utf8mb4", "Content-Type: text/plain; charset=utf8mb4\n\nx\n", PN_YES, PN_YES },
	{ "dots in an alias", "Content-Type: text/plain; charset=iso.8859.1\n\nx\n", PN_NO, PN_NO },
	{ "dots in a module's name", "Content-Type: text/plain; charset=UTF.8\n\nx\n", PN_YES, PN_YES },
	{ "bare charset at the top", "Content-Type: text/plain; charset\n\nx\n", PN_YES, PN_YES },
	{ "bare charset in a part",
	  MIXED "--b\nContent-Type: text/plain; charset\n\nx\n--b--\n", PN_YES, PN_YES },
	{ "empty charset", "Content-Type: text/plain; charset=\n\nx\n", PN_NO, PN_NO },
	{ "charset by RFC 2231",
	  "Content-Type: text/plain; charset*=us-ascii'en'bogus\n\nx\n", PN_YES, PN_YES },
	{ "odd main type", "Content-Type: font/woff\n\nx\n", PN_YES, PN_YES },
	{ "main type in quotes",
	  "Content-Type: \"multipart/mixed\"; boundary=b\n\n--b\n\nx\n--b--\n", PN_YES, PN_YES },
	{ "blank before the slash",
	  "Content-Type: multipart /mixed; boundary=b\n\n--b\n\nx\n--b--\n", PN_YES, PN_YES },
	{ "no slash", "Content-Type: nonsense\n\nx\n", PN_NO, PN_NO },
	{ "binary/octet-stream", "Content-Type: binary/octet-stream\n\nx\n", PN_NO, PN_NO },
	{ "*/*", "Content-Type: */*\n\nx\n", PN_NO, PN_NO },
	{ "the first Content-Type counts",
	  "Content-Type: text/plain\nContent-Type: font/woff\n\nx\n", PN_NO, PN_NO },
	{ "header Python cannot parse", "Content-Type: text/plain; name*0*\n\nx\n", PN_YES, PN_YES },
	{ "font before the text", MIXED "--b\n" FONT "--b\n\nhello\n--b--\n", PN_YES, PN_YES },
	{ "font behind the text", MIXED "--b\n\nhello\n--b\n" FONT "--b--\n", PN_YES, PN_NO },
	{ "font behind an attached text",
	  MIXED "--b\nContent-Disposition: attachment\n\nhello\n--b\n" FONT "--b--\n", PN_YES, PN_YES },
	{ "font behind a text with a name",
	  MIXED "--b\nContent-Type: text/plain; name=a.txt\n\nhello\n--b\n" FONT "--b--\n", PN_YES, PN_YES },
	{ "font behind blank html",
	  MIXED "--b\nContent-Type: text/html\n\n \t\n--b\n" FONT "--b--\n", PN_YES, PN_YES },
	{ "font behind html",
	  MIXED "--b\nContent-Type: text/html\n\n<p>\n--b\n" FONT "--b--\n", PN_YES, PN_NO },
	{ "font behind perhaps blank html",
	  MIXED "--b\nContent-Type: text/html\n\n\xc2\xa0\n--b\n" FONT "--b--\n", PN_YES, PN_UNKNOWN },
	{ "font in an attached mail",
	  MIXED "--b\nContent-Type: message/rfc822\n\n" FONT "--b--\n", PN_YES, PN_YES },
	{ "font behind the end", MIXED "--b\n\nhello\n--b--\n--b\n" FONT, PN_NO, PN_NO },
	{ "no boundary", "Content-Type: multipart/mixed\n\n--b\n" FONT, PN_NO, PN_NO },
	{ "boundary never seen", MIXED "--c\n" FONT, PN_NO, PN_NO },
	{ "closed before it began", MIXED "--b--\n--b\n" FONT, PN_NO, PN_NO },
	{ "empty boundary",
	  "Content-Type: multipart/mixed; boundary=\"\"\n\n--\n" FONT "----\n", PN_YES, PN_YES },
	{ "boundary in pointed brackets",
	  "Content-Type: multipart/mixed; boundary=\"<b>\"\n\n--b\n" FONT, PN_YES, PN_YES },
	{ "boundary beyond ASCII",
	  "Content-Type: multipart/mixed; boundary=\"\xc3\xa9\"\n\n--\xc3\xa9\n" FONT, PN_NO, PN_NO },
	{ "boundary that starts like it", MIXED "--bb\n" FONT, PN_NO, PN_NO },
	{ "blanks behind the boundary", MIXED "--b \t\n" FONT, PN_YES, PN_YES },
	{ "blank before the boundary", MIXED " --b\n" FONT, PN_NO, PN_NO },
	{ "a closing boundary among several is one", MIXED "--b\n--b--\n" FONT "--b--\n", PN_YES, PN_YES },
	{ "no end", MIXED "--b\n" FONT, PN_YES, PN_YES },
	{ "no header line in a part",
	  MIXED "--b\nnonsense\nContent-Type: font/woff\n\nx\n--b--\n", PN_NO, PN_NO },
	{ "part without a blank line",
	  MIXED "--b\nContent-Type: font/woff\nnonsense\n--b--\n", PN_YES, PN_YES },
	{ "outer boundary within an inner part",
	  MIXED "--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nx\n--b\n" FONT "--b--\n",
	  PN_YES, PN_NO },
	{ "inner boundary equals the outer",
	  MIXED "--b\nContent-Type: multipart/mixed; boundary=b\n\n--b\n" FONT "--b--\n", PN_YES, PN_YES },
	{ "From line at the head", "From me now\nContent-Type: font/woff\n\nx\n", PN_YES, PN_YES },
	{ "From line in the middle",
	  "Subject: x\nFrom me now\nContent-Type: font/woff\n\nx\n", PN_YES, PN_YES },
	{ "From line at the end starts the body",
	  "Content-Type: text/plain; charset=bogus\nFrom me now\n\n", PN_YES, PN_YES },
	{ "parts of a digest are mails", DIGEST "--b\n\n" FONT "--b--\n", PN_YES, PN_YES },
	{ "unless they say otherwise",
	  DIGEST "--b\nContent-Type: text/plain\n\n" FONT "--b--\n", PN_NO, PN_NO },
	{ "unknown transfer encoding", "Content-Transfer-Encoding: bogus\n\nx\n", PN_NO, PN_NO },
	{ "message/partial", "Content-Type: message/partial\n\n" FONT, PN_YES, PN_YES },
	{ "printed multipart that is no text for Python",
	  "Content-Type: message/partial\n\nContent-Type: multipart/mixed\n\n\xc3\xa9\n", PN_YES, PN_YES },
	{ "report without a boundary", "Content-Type: multipart/report\n\nx\n", PN_NO, PN_YES },
	{ "report with nothing in it", "Content-Type: multipart/report; boundary=b\n\n", PN_NO, PN_YES },
	{ "report closed at once", "Content-Type: multipart/report; boundary=b\n\n--b--\n", PN_NO, PN_YES },
	{ "report with one empty part", "Content-Type: multipart/report; boundary=b\n\n--b\n", PN_NO, PN_NO },
	{ "unknown charset of the bounced headers",
	  "Content-Type: multipart/report; boundary=b\n\n--b\n\nx\n--b\n"
	  "Content-Type: text/rfc822-headers; charset=bogus\n\nSubject: x\n--b--\n", PN_YES, PN_YES },
};

static void
check_readable(struct fixture *f, size_t i, const char *eol, size_t chunk)
{
	struct pn_str mail = with_eols(f, readable[i].mail, eol);
	struct pn_mime_result result = read_in_chunks(f, mail, chunk);

	if (result.unreadable_as_mail != readable[i].as_mail ||
	    result.unreadable_as_bounce != readable[i].as_bounce)
		fail_msg("%s (chunks of %zu): as mail %d, as bounce %d", readable[i].name, chunk,
		    result.unreadable_as_mail, result.unreadable_as_bounce);
	assert_false(result.limit_hit);
}

static void
test_readable(void **state)
{
	for (size_t i = 0; i < PN_COUNT(readable); i++)
		for (size_t e = 0; e < PN_COUNT(eols); e++)
			for (size_t c = 0; c < PN_COUNT(chunks); c++) {
				check_readable(*state, i, eols[e], chunks[c]);
				pn_arena_reset(((struct fixture *)*state)->arena);
			}
}

/* -- what does a bounce tell? ------------------------------------------------ */

#define REPORT "Content-Type: multipart/report; boundary=b\nMessage-Id: <outer@x>\n\n--b\n\nIt failed.\n"
#define STATUS "--b\nContent-Type: message/delivery-status\n\n"
#define MTA "Reporting-MTA: dns; mx\n\n"
#define JOE "Final-Recipient: rfc822; joe@b.example\nAction: failed\nStatus: 5.1.1\n" \
	"Diagnostic-Code: smtp; 550\n no\n"
#define MAIL "--b\nContent-Type: message/rfc822\n\nMessage-Id: <inner@x>\n\nhello\n"

static const struct {
	const char *name;
	const char *mail;
	bool has_dsn;
	const char *recipient;
	bool has_embedded;
	const char *message_id;
	const char *ms_id;
} bounces[] = {
	{ "usual", REPORT STATUS MTA JOE "\n" MAIL "--b--\n", true, "joe@b.example", true, "<inner@x>", "" },
	{ "only one block", REPORT STATUS MTA MAIL "--b--\n", false, "", true, "<inner@x>", "" },
	{ "one block without a blank line",
	  REPORT STATUS JOE MAIL "--b--\n", false, "", true, "<inner@x>", "" },
	{ "a blank line too many", REPORT STATUS MTA "\n" JOE "--b--\n", true, "", true, "", "" },
	{ "two recipients", REPORT STATUS MTA JOE "\nFinal-Recipient: rfc822; two@b.example\n--b--\n",
	  true, "joe@b.example", true, "", "" },
	{ "no type of address",
	  REPORT STATUS MTA "Final-Recipient: joe@b.example\n--b--\n", true, "", true, "", "" },
	{ "several semicolons",
	  REPORT STATUS MTA "Final-Recipient: a;b;c \n--b--\n", true, "b;c", true, "", "" },
	{ "twice",
	  REPORT STATUS MTA "Final-Recipient: x\nFinal-Recipient: rfc822;y\n--b--\n", true, "y",
	  true, "", "" },
	{ "the first report counts", REPORT STATUS MTA STATUS MTA JOE "--b--\n", false, "", true, "", "" },
	{ "also when the second has one",
	  REPORT STATUS MTA "Final-Recipient: rfc822;one\n" STATUS MTA JOE "--b--\n", true, "one",
	  true, "", "" },
	{ "headers as text", REPORT "--b\nContent-Type: text/rfc822-headers\n\nMessage-ID: <inner@x>\n"
	  "X-Microsoft-Original-Message-ID: <ms@x>\n--b--\n", false, "", true, "<inner@x>", "<ms@x>" },
	{ "headers in base64",
	  REPORT "--b\nContent-Type: text/rfc822-headers\nContent-Transfer-Encoding: base64\n\n"
	  "TWVzc2FnZS1JRDogPGlu\nbmVyQHg+DQo=\n--b--\n", false, "", true, "<inner@x>", "" },
	{ "headers in quoted-printable",
	  REPORT "--b\nContent-Type: text/rfc822-headers\nContent-Transfer-Encoding: quoted-printable\n\n"
	  "Message=2DID: <in=6eer@x>\n--b--\n", false, "", true, "<inner@x>", "" },
	{ "a folded id",
	  REPORT "--b\nContent-Type: message/rfc822\n\nX-Microsoft-Original-Message-ID: <ms\n @x>\n--b--\n",
	  false, "", true, "", "<ms @x>" },
	{ "two ids", REPORT "--b\nContent-Type: message/rfc822\n\nX-Microsoft-Original-Message-ID: <a@x>\n"
	  "X-Microsoft-Original-Message-ID: <b@x>\n--b--\n", false, "", true, "", "<a@x> <b@x>" },
	{ "none embedded: the first part's headers",
	  "Content-Type: multipart/report; boundary=b\n\n--b\nMessage-Id: <first@x>\n\nIt failed.\n--b--\n",
	  false, "", true, "<first@x>", "" },
	{ "the mail in a part without header counts as none",
	  "Content-Type: multipart/digest; boundary=b\n\n--b\n\n"
	  "Message-Id: <inner@x>\n\nx\n--b--\n", false, "",
	  false, "", "" },
	{ "no report at all", "Content-Type: text/plain\n\nMessage-Id: <x@x>\n", false, "", false, "", "" },
	{ "an attached mail", MIXED MAIL "--b--\n", false, "", true, "<inner@x>", "" },
	{ "an attached mail with one inside",
	  MIXED "--b\nContent-Type: message/rfc822\n\n"
	  "Content-Type: message/rfc822\nMessage-Id: <1@x>\n\nMessage-Id: <2@x>\n\n",
	  false, "", true, "<1@x>", "" },
};

static void
check_text(const char *name, const char *what, struct pn_str have, const char *want)
{
	if (!pn_str_eq(have, pn_str_c(want)))
		fail_msg("%s: %s is \"" PN_STR_FMT "\"", name, what, PN_STR_ARG(have));
}

static void
check_bounce(struct fixture *f, size_t i, const char *eol, size_t chunk)
{
	struct pn_mime_result r = read_in_chunks(f, with_eols(f, bounces[i].mail, eol), chunk);

	if (r.has_dsn != bounces[i].has_dsn || r.has_embedded != bounces[i].has_embedded)
		fail_msg("%s: dsn %d, embedded %d", bounces[i].name, r.has_dsn, r.has_embedded);
	check_text(bounces[i].name, "recipient", r.final_recipient, bounces[i].recipient);
	check_text(bounces[i].name, "id", r.embedded_message_id_text, bounces[i].message_id);
	check_text(bounces[i].name, "other id", r.embedded_ms_id_text, bounces[i].ms_id);
	assert_int_equal(r.unreadable_as_bounce, PN_NO);
	assert_true(r.embedded_known);
}

static void
test_bounce(void **state)
{
	for (size_t i = 0; i < PN_COUNT(bounces); i++)
		for (size_t e = 0; e < PN_COUNT(eols); e++)
			for (size_t c = 0; c < PN_COUNT(chunks); c++) {
				check_bounce(*state, i, eols[e], chunks[c]);
				pn_arena_reset(((struct fixture *)*state)->arena);
			}
}

static void
test_dsn_details(void **state)
{
	struct pn_mime_result r = read_in_chunks(*state, PN_STR(REPORT STATUS MTA JOE "--b--\n"), LIMIT);

	check_text("dsn", "type", r.top_type, "multipart/report");
	check_text("dsn", "action", r.action, "failed");
	check_text("dsn", "status", r.status, "5.1.1");
	check_text("dsn", "diagnostic", r.diagnostic, "smtp; 550 no");
}

static void
test_unreadable_encoding(void **state)
{
	struct pn_mime_result r = read_in_chunks(*state, PN_STR(REPORT
	    "--b\nContent-Type: text/rfc822-headers; charset=utf-16\n\n"
	    "Message-Id: <inner@x>\n--b--\n"), LIMIT);

	assert_true(r.has_embedded);
	assert_false(r.embedded_known);
	assert_int_equal(r.unreadable_as_mail, PN_NO);
	assert_int_equal(r.unreadable_as_bounce, PN_UNKNOWN);
}

/* -- as a milter feeds it ------------------------------------------------------ */

static const struct {
	const char *name;
	const char *type;	/* NULL: no such header */
	bool wants_body;
	const char *top_type;
} tops[] = {
	{ "no type", NULL, false, "text/plain" },
	{ "plain", " text/plain; charset=utf-8", false, "text/plain" },
	{ "case and folds", " TEXT/Html;\r\n\tcharset=utf-8", false, "text/html" },
	{ "no type at all", " nonsense", false, "text/plain" },
	{ "pdf", " application/pdf", false, "application/pdf" },
	{ "font", " font/woff", false, "font/woff" },
	{ "no boundary", " multipart/mixed", false, "multipart/mixed" },
	{ "multipart", " Multipart/Report; boundary=b", true, "multipart/report" },
	{ "mail", " message/rfc822", true, "message/rfc822" },
	{ "unknown charset", " text/plain; charset=bogus", true, "text/plain" },
};

static void
test_headers_one_by_one(void **state)
{
	struct fixture *f = *state;
	struct pn_mime_result r;

	for (size_t i = 0; i < PN_COUNT(tops); i++) {
		pn_mime_reset(f->mime);
		pn_mime_header(f->mime, PN_STR("Subject"), PN_STR(" x"));
		if (tops[i].type != NULL)
			pn_mime_header(f->mime, PN_STR("Content-Type"), pn_str_c(tops[i].type));
		pn_mime_end_of_headers(f->mime);
		if (pn_mime_wants_body(f->mime) != tops[i].wants_body)
			fail_msg("%s: wants body", tops[i].name);
		pn_mime_end(f->mime, f->arena, &r);
		check_text(tops[i].name, "type", r.top_type, tops[i].top_type);
	}
}

static void
test_wants_no_more_when_clear(void **state)
{
	struct fixture *f = *state;

	pn_mime_reset(f->mime);
	pn_mime_header(f->mime, PN_STR("Content-Type"), PN_STR("text/plain; charset=bogus"));
	assert_true(pn_mime_wants_body(f->mime));
	pn_mime_body(f->mime, PN_STR("\r"));
	assert_true(pn_mime_wants_body(f->mime));
	pn_mime_body(f->mime, PN_STR("\nx"));
	pn_mime_body(f->mime, PN_STR("\r\n"));
	assert_false(pn_mime_wants_body(f->mime));
}

/* "Content-Type : ..." is no header for Python: what follows is body. */
static void
test_header_name_with_blank(void **state)
{
	struct fixture *f = *state;
	struct pn_mime_result r;

	pn_mime_reset(f->mime);
	pn_mime_header(f->mime, PN_STR("Subject"), PN_STR("x"));
	pn_mime_header(f->mime, PN_STR("X-Odd "), PN_STR("x"));
	pn_mime_header(f->mime, PN_STR("Content-Type"), PN_STR("font/woff"));
	pn_mime_body(f->mime, PN_STR("x\r\n"));
	pn_mime_end(f->mime, f->arena, &r);
	check_text("blank", "type", r.top_type, "text/plain");
	assert_int_equal(r.unreadable_as_mail, PN_NO);
}

/* -- limits: bounded time and memory, no wrong answer ---------------------------- */

static void
repeat(struct pn_mime *mime, struct pn_str text, size_t times)
{
	while (times-- > 0)
		pn_mime_raw(mime, text);
}

static void
finish(struct fixture *f, struct pn_mime_result *r)
{
	pn_mime_end(f->mime, f->arena, r);
	pn_mime_reset(f->mime);
}

static void
test_deep_nesting(void **state)
{
	struct fixture *f = *state;
	struct pn_mime_result r;

	for (size_t depth = 90; depth <= 1000; depth += 910) {
		for (size_t i = 0; i < depth; i++) {
			struct pn_str part = pn_arena_printf(f->arena,
			    "Content-Type: multipart/mixed; boundary=b%zu\n\n--b%zu\n", i, i);

			pn_mime_raw(f->mime, part);
		}
		pn_mime_raw(f->mime, PN_STR(FONT));
		finish(f, &r);
		assert_int_equal(r.unreadable_as_mail, depth < 100 ? PN_YES : PN_UNKNOWN);
		assert_int_equal(r.limit_hit, depth > 100);
	}
	repeat(f->mime, PN_STR("Content-Type: message/rfc822\n\n"), 100000);
	finish(f, &r);
	assert_true(r.limit_hit);
	assert_int_equal(r.unreadable_as_mail, PN_UNKNOWN);
}

static void
test_many_parts(void **state)
{
	struct fixture *f = *state;
	struct pn_mime_result r;

	pn_mime_raw(f->mime, PN_STR(MIXED));
	repeat(f->mime, PN_STR("--b\nContent-Type: text/plain; charset=utf-8\n\nx\n"), 100000);
	pn_mime_raw(f->mime, PN_STR("--b\n" FONT));
	finish(f, &r);
	assert_false(r.limit_hit);
	assert_int_equal(r.unreadable_as_mail, PN_YES);
	assert_int_equal(r.unreadable_as_bounce, PN_NO);
}

static void
test_many_blocks(void **state)
{
	struct fixture *f = *state;
	struct pn_mime_result r;

	pn_mime_raw(f->mime, PN_STR("Content-Type: message/delivery-status\n\n"));
	repeat(f->mime, PN_STR("Final-Recipient: rfc822; x\n\n"), 100000);
	finish(f, &r);
	check_text("blocks", "recipient", r.final_recipient, "x");
	assert_int_equal(r.unreadable_as_bounce, PN_NO);
}

static void
test_long_lines(void **state)
{
	static const char *const heads[] = { "Subject: ", "Content-Type: text/plain; x=", "",
		"Content-Type: text/plain; charset=bogus\n\n", MIXED "--b", MIXED "--b\nSubject: ",
		MIXED "--b\n\n--b" };
	static const char *const fills[] = { "x", " ", "-", ";", "\"", "(", "\\", "=?", "a=b;" };
	struct fixture *f = *state;
	struct pn_mime_result r;

	for (size_t h = 0; h < PN_COUNT(heads); h++)
		for (size_t i = 0; i < PN_COUNT(fills); i++) {
			clock_t start = clock();

			pn_mime_raw(f->mime, pn_str_c(heads[h]));
			repeat(f->mime, pn_str_c(fills[i]), (1 << 20) / strlen(fills[i]));
			finish(f, &r);
			if (clock() - start > 10 * CLOCKS_PER_SEC)
				fail_msg("\"%s\" and 1 MB of \"%s\" take too long", heads[h], fills[i]);
		}
}

/* Past the kept start of a line it cannot be told from a boundary any more. */
static void
test_boundary_with_many_blanks(void **state)
{
	struct fixture *f = *state;
	struct pn_mime_result r;

	pn_mime_raw(f->mime, PN_STR(MIXED "--b"));
	repeat(f->mime, PN_STR(" "), 5000);
	pn_mime_raw(f->mime, PN_STR("\n" FONT));
	finish(f, &r);
	assert_true(r.limit_hit);
	assert_int_equal(r.unreadable_as_mail, PN_UNKNOWN);
}

static void
test_long_boundary(void **state)
{
	struct fixture *f = *state;
	struct pn_mime_result r;

	pn_mime_raw(f->mime, PN_STR("Content-Type: multipart/mixed; boundary="));
	repeat(f->mime, PN_STR("b"), 3000);
	pn_mime_raw(f->mime, PN_STR("\n\nx\n"));
	finish(f, &r);
	assert_true(r.limit_hit);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_readable, start),
		cmocka_unit_test_setup(test_bounce, start),
		cmocka_unit_test_setup(test_dsn_details, start),
		cmocka_unit_test_setup(test_unreadable_encoding, start),
		cmocka_unit_test_setup(test_headers_one_by_one, start),
		cmocka_unit_test_setup(test_wants_no_more_when_clear, start),
		cmocka_unit_test_setup(test_header_name_with_blank, start),
		cmocka_unit_test_setup(test_deep_nesting, start),
		cmocka_unit_test_setup(test_many_parts, start),
		cmocka_unit_test_setup(test_many_blocks, start),
		cmocka_unit_test_setup(test_long_lines, start),
		cmocka_unit_test_setup(test_boundary_with_many_blanks, start),
		cmocka_unit_test_setup(test_long_boundary, start),
	};

	return cmocka_run_group_tests_name("mime", tests, set_up, tear_down);
}
