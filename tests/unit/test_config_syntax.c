/* The reader of postern.conf: what it takes, what it refuses, and that it takes
 * it as libConfuse does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>
#include <confuse.h>

#include "../../lib/config/syntax.h"

struct read {
	struct pn_arena *arena;
	struct pn_conf_tree tree;
	struct pn_config_report report;
};

static void
read_text(struct read *r, struct pn_str text)
{
	r->arena = pn_arena_new(SIZE_MAX);
	pn_config_report_init(&r->report);
	pn_conf_tree_init(&r->tree, r->arena);
	pn_conf_read(&r->tree, text, "f", r->arena, &r->report);
}

static void
done(struct read *r)
{
	pn_config_report_done(&r->report);
	pn_arena_free(r->arena);
}

/* Everything that was read, in one line: "key=[a][b] gateway<main>{key=[c]}". */
static void
dump(const struct pn_conf_tree *tree, struct pn_buf *out)
{
	for (size_t i = 0; i < tree->n; i++) {
		const struct pn_conf_section *s = &tree->sections[i];

		if (i > 0)
			pn_buf_addf(out, PN_STR_FMT "<" PN_STR_FMT ">{", PN_STR_ARG(s->kind), PN_STR_ARG(s->title));
		for (size_t k = 0; k < s->key_count; k++) {
			pn_buf_add(out, s->keys[k].name);
			pn_buf_add_c(out, s->keys[k].append ? "+" : "=");
			for (size_t v = 0; v < s->keys[k].values.n; v++)
				pn_buf_addf(out, "[" PN_STR_FMT "]", PN_STR_ARG(s->keys[k].values.v[v]));
			pn_buf_add_char(out, ' ');
		}
		if (i > 0)
			pn_buf_add_c(out, "}");
	}
}

static const struct {
	const char *name, *text, *read;
	bool ours;	/* libConfuse refuses it or reads something else */
} good[] = {
	{ "nothing", "", "", false },
	{ "a word", "a = b", "a=[b] ", false },
	{ "no blanks", "a=b\nc=d", "a=[b] c=[d] ", false },
	{ "two on a line", "a = b c = d", "a=[b] c=[d] ", false },
	{ "dots in keys", "mail.gateway.loop.minutes = 120", "mail.gateway.loop.minutes=[120] ", false },
	{ "paths and addresses", "a = /var/lib/x b = unix:/run//x.sock c = sales@acme.example",
	    "a=[/var/lib/x] b=[unix:/run//x.sock] c=[sales@acme.example] ", false },
	{ "letters that are not ASCII", "a = caf\xc3\xa9", "a=[caf\xc3\xa9] ", false },
	{ "double quotes", "a = \"b c\"", "a=[b c] ", false },
	{ "single quotes", "a = 'b \"c\" ${x}'", "a=[b \"c\" ${x}] ", false },
	{ "empty string", "a = \"\" b = ''", "a=[] b=[] ", false },
	{ "backslashes", "a = \"\\\"\\\\\\t\\x41\\101\\q\\${x}\"", "a=[\"\\\tAAq${x}] ", false },
	{ "backslashes in single quotes", "a = '\\'\\\\\\n'", "a=['\\\\n] ", false },
	{ "a string goes on", "a = \"b\\\nc\" d = e", "a=[bc] d=[e] ", false },
	{ "marks in a string", "a = \"# // /* { } = , ( )\"", "a=[# // /* { } = , ( )] ", false },
	{ "a list", "a = {b, \"c d\" ,e}", "a=[b][c d][e] ", false },
	{ "a list over lines", "a = {\n  b,\n  c,\n}\n", "a=[b][c] ", false },
	{ "comments in a list", "a = {\n  b, # one\n  c, /* two */\n}\n", "a=[b][c] ", true },
	{ "an empty list", "a = {}", "a= ", false },
	{ "appended", "a = {b}\na += {c}", "a=[b] a+[c] ", false },
	{ "one for a list", "a = b\na += c", "a=[b] a+[c] ", false },
	{ "comments", "# x\n// y\n/* z = 1\n */ a = b # c = d\n// e", "a=[b] ", false },
	{ "a comment at the end", "a = b #", "a=[b] ", false },
	{ "a section", "gateway \"main\" { a = b }", "gateway<main>{a=[b] }", false },
	{ "a title without quotes", "gateway main{a=b}c=d", "c=[d] gateway<main>{a=[b] }", false },
	{ "sections", "gateway a {}\ngateway b {\nx = y\n}\n", "gateway<a>{}gateway<b>{x=[y] }", false },
	{ "CR LF", "a = b\r\ngateway \"x\" {\r\n}\r\n", "a=[b] gateway<x>{}", false },
	{ "a byte order mark", "\xef\xbb\xbf" "a = b", "a=[b] ", true },
};

static void
test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(good); i++) {
		struct pn_buf out;
		struct read r;

		read_text(&r, pn_str_c(good[i].text));
		pn_buf_init(&out, 4096);
		dump(&r.tree, &out);
		if (r.report.errors > 0 || !pn_str_eq(pn_buf_str(&out), pn_str_c(good[i].read)))
			fail_msg("%s: read as %s\n%s", good[i].name, pn_buf_c(&out), pn_buf_c(&r.report.text));
		pn_buf_done(&out);
		done(&r);
	}
}

static const struct {
	const char *name, *text, *report, *read;
} bad[] = {
	{ "no value", "a =\nb = c",
	    "f:1: a: has no value; write one behind the =\n", "b=[c] " },
	{ "no value at the end", "a =", "f:1: a: has no value; write one behind the =\n", "" },
	{ "no equals sign", "a b\nc = d",
	    "f:1: a: neither a key nor a section; write key = value or section \"name\" { ... }\n", "c=[d] " },
	{ "a word alone", "a\nb = c",
	    "f:1: a: neither a key nor a section; write key = value or section \"name\" { ... }\n", "b=[c] " },
	{ "open string", "a = \"b\nc = d",
	    "f:1: the string is not closed on its line; add the missing quote\n", "c=[d] " },
	{ "open string at the end", "a = 'b",
	    "f:1: the string is not closed on its line; add the missing quote\n", "" },
	{ "open string with a backslash at the end", "a = \"b\\",
	    "f:1: the string is not closed on its line; add the missing quote\n", "" },
	{ "open comment", "a = b\n/* c", "f:2: the comment that begins here has no end; add */\n", "a=[b] " },
	{ "open section", "a = b\n# one\n/* two\n */\ngateway x {\nc = d\n",
	    "f:5: gateway: the section is not closed; add }\n", "a=[b] gateway<x>{c=[d] }" },
	{ "open list", "a = {b,\nc", "f:1: a: the list is broken; write it as {\"a\", \"b\"}\n", "" },
	{ "list without commas", "a = {b c}\nd = e",
	    "f:1: a: the list is broken; write it as {\"a\", \"b\"}\n", "d=[e] " },
	{ "too many braces", "}\na = b", "f:1: } closes nothing; remove it\n", "a=[b] " },
	{ "nested", "gateway x {\ndomain y {\na = b\n}\n",
	    "f:2: domain: sections do not nest; close the section of line 1 with } first\n",
	    "gateway<x>{}domain<y>{a=[b] }" },
	{ "environment", "a = \"${HOME}\"\nb = ${HOME}\nc = d",
	    "f:1: ${...} is not replaced here; write the value itself, or \\${\n"
	    "f:2: ${...} is not replaced here; write the value itself, or put it in single quotes\n", "c=[d] " },
	{ "include", "include(\"x\")\na = b",
	    "f:1: there are no functions here; more files go into conf.d/ beside this one\n", "a=[b] " },
	{ "plus", "a = b+c@d\ne = f", "f:1: a value with + or * needs quotes; write it as \"...\"\n", "e=[f] " },
	{ "star", "a = *\ne = f", "f:1: a value with + or * needs quotes; write it as \"...\"\n", "e=[f] " },
	{ "a zero in a string", "a = \"\\0\"\nb = c",
	    "f:1: not a backslash sequence; write \\\\ for a backslash itself\n", "b=[c] " },
	{ "octal over a byte", "a = \"\\777\"",
	    "f:1: not a backslash sequence; write \\\\ for a backslash itself\n", "" },
	{ "a byte that is not UTF-8", "a = \"\\xff\"\nb = \"\\xc3\\xa9\"",
	    "f:1: not a backslash sequence; write \\\\ for a backslash itself\n", "b=[\xc3\xa9] " },
	{ "a control character", "a = b\x01\nb = c", "f:1: a control character stands here; remove it\n",
	    "a=[b] b=[c] " },
	{ "not UTF-8", "a = b\nc = \xff\n", "f:2: the byte \\xff is not UTF-8; save the file as UTF-8\n", "" },
	{ "only marks", "= , { +=\na = b",
	    "f:1: a key or a section must begin here\n", "a=[b] " },
};

static void
test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(bad); i++) {
		struct pn_buf out;
		struct read r;

		read_text(&r, pn_str_c(bad[i].text));
		pn_buf_init(&out, 4096);
		dump(&r.tree, &out);
		if (!pn_str_eq(pn_buf_str(&r.report.text), pn_str_c(bad[i].report)))
			fail_msg("%s: reported\n%s", bad[i].name, pn_buf_c(&r.report.text));
		if (!pn_str_eq(pn_buf_str(&out), pn_str_c(bad[i].read)))
			fail_msg("%s: read as %s", bad[i].name, pn_buf_c(&out));
		pn_buf_done(&out);
		done(&r);
	}
}

static void
test_nul(void **state)
{
	static const char text[] = "a = b\nc = d\0e\n";
	struct read r;

	(void)state;
	read_text(&r, pn_str_n(text, sizeof(text) - 1));
	assert_string_equal(pn_buf_c(&r.report.text),
	    "f:2: a NUL byte stands here; save the file as plain UTF-8 text\n");
	done(&r);
}

/* -- against libConfuse --------------------------------------------------------- */

/* What libConfuse makes of a text, in the form of dump(). */
static bool
dump_confuse(const char *text, struct pn_buf *out)
{
	/* all keys of the rows above; lists, so that every form of value passes */
	cfg_opt_t gateway[] = { CFG_STR_LIST("a", NULL, CFGF_NONE), CFG_STR_LIST("x", NULL, CFGF_NONE), CFG_END() };
	cfg_opt_t opts[] = { CFG_STR_LIST("a", NULL, CFGF_NONE), CFG_STR_LIST("b", NULL, CFGF_NONE),
		CFG_STR_LIST("c", NULL, CFGF_NONE), CFG_STR_LIST("d", NULL, CFGF_NONE),
		CFG_STR_LIST("mail.gateway.loop.minutes", NULL, CFGF_NONE),
		CFG_SEC("gateway", gateway, CFGF_MULTI | CFGF_TITLE), CFG_END() };
	cfg_t *cfg = cfg_init(opts, CFGF_NONE);
	bool good_text = cfg_parse_buf(cfg, text) == CFG_SUCCESS;

	for (size_t i = 0; good_text && i < PN_COUNT(opts) - 2; i++)
		for (unsigned v = 0; v < cfg_size(cfg, opts[i].name); v++)
			pn_buf_addf(out, "%s[%s]", opts[i].name, cfg_getnstr(cfg, opts[i].name, v));
	for (unsigned s = 0; good_text && s < cfg_size(cfg, "gateway"); s++) {
		cfg_t *section = cfg_getnsec(cfg, "gateway", s);

		pn_buf_addf(out, "<%s>", cfg_title(section));
		for (size_t i = 0; i < PN_COUNT(gateway) - 1; i++)
			for (unsigned v = 0; v < cfg_size(section, gateway[i].name); v++)
				pn_buf_addf(out, "%s[%s]", gateway[i].name,
				    cfg_getnstr(section, gateway[i].name, v));
	}
	cfg_free(cfg);
	return good_text;
}

/* The values of one key as libConfuse keeps them: = begins anew, += adds. */
static void
add_values(const struct pn_conf_section *s, const char *name, struct pn_buf *out)
{
	size_t from = 0;

	for (size_t k = 0; k < s->key_count; k++)
		if (pn_str_eq(s->keys[k].name, pn_str_c(name)) && !s->keys[k].append)
			from = k;
	for (size_t k = from; k < s->key_count; k++)
		for (size_t v = 0; pn_str_eq(s->keys[k].name, pn_str_c(name)) && v < s->keys[k].values.n; v++)
			pn_buf_addf(out, "%s[" PN_STR_FMT "]", name, PN_STR_ARG(s->keys[k].values.v[v]));
}

static void
dump_like_confuse(const struct pn_conf_tree *tree, struct pn_buf *out)
{
	static const char *const top[] = { "a", "b", "c", "d", "mail.gateway.loop.minutes" };

	for (size_t i = 0; i < PN_COUNT(top); i++)
		add_values(&tree->sections[0], top[i], out);
	for (size_t s = 1; s < tree->n; s++) {
		pn_buf_addf(out, "<" PN_STR_FMT ">", PN_STR_ARG(tree->sections[s].title));
		add_values(&tree->sections[s], "a", out);
		add_values(&tree->sections[s], "x", out);
	}
}

static void
test_like_confuse(void **state)
{
	size_t compared = 0;

	(void)state;
	for (size_t i = 0; i < PN_COUNT(good); i++) {
		struct pn_buf ours, theirs;
		struct read r;

		if (good[i].ours)
			continue;
		read_text(&r, pn_str_c(good[i].text));
		pn_buf_init(&ours, 4096);
		pn_buf_init(&theirs, 4096);
		dump_like_confuse(&r.tree, &ours);
		if (!dump_confuse(good[i].text, &theirs))
			fail_msg("%s: libConfuse refuses it", good[i].name);
		if (!pn_str_eq(pn_buf_str(&ours), pn_buf_str(&theirs)))
			fail_msg("%s: ours %s, libConfuse's %s", good[i].name, pn_buf_c(&ours), pn_buf_c(&theirs));
		compared++;
		pn_buf_done(&ours);
		pn_buf_done(&theirs);
		done(&r);
	}
	assert_true(compared > 20);
}

/* -- printing --------------------------------------------------------------------- */

static void
test_quote(void **state)
{
	static const char *const values[] = { "word", "", "two words", "a\"b\\c", "${HOME}", "$", "//x", "/*x",
		"/var/lib", "a+b", "caf\xc3\xa9", "tab\there", "line\nend", "'", "{}", "a,b", "x#y", "1\x01" "2" };

	(void)state;
	for (size_t i = 0; i < 2 * PN_COUNT(values); i++) {
		struct pn_str value = pn_str_c(values[i / 2]);
		struct pn_buf text;
		struct read r;

		pn_buf_init(&text, 1000);
		pn_buf_add_c(&text, "a = ");
		pn_conf_quote(&text, value, i % 2 == 1);
		read_text(&r, pn_buf_str(&text));
		if (r.tree.sections[0].key_count != 1 || !pn_str_eq(r.tree.sections[0].keys[0].values.v[0], value))
			fail_msg("%s does not come back\n%s", pn_buf_c(&text), pn_buf_c(&r.report.text));
		done(&r);
		pn_buf_done(&text);
	}
}

/* -- hostile ------------------------------------------------------------------------ */

static void
repeat(struct pn_buf *out, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		pn_buf_add_c(out, text);
}

static void
test_hostile(void **state)
{
	static const struct {
		const char *name, *start, *again;
		bool good;
	} rows[] = {
		{ "a line of 1 MB", "a = \"", "x", false },
		{ "a word of 1 MB", "a = ", "x", true },
		{ "open braces", "", "{", false },
		{ "nested sections", "", "a {", false },
		{ "lists in lists", "a = ", "{", false },
		{ "closing braces", "", "}\n", false },
		{ "open comments", "", "/*", false },
		{ "closed comments", "", "/**/", true },
		{ "quotes", "", "\"", false },
		{ "backslashes", "a = \"", "\\\\", false },
		{ "plus signs", "", "+", false },
		{ "keys", "", "a=b ", true },
		{ "long lists", "a = {", "a,", false },
		{ "appending", "", "a+=b ", true },
		{ "sections", "", "a{}", true },
		{ "control characters", "", "\x01", false },
		{ "words", "", "a ", false },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct timespec from, to;
		struct pn_buf text;
		struct read r;

		pn_buf_init(&text, 4 << 20);
		pn_buf_add_c(&text, rows[i].start);
		repeat(&text, rows[i].again, (1 << 20) / strlen(rows[i].again));
		clock_gettime(CLOCK_MONOTONIC, &from);
		read_text(&r, pn_buf_str(&text));
		clock_gettime(CLOCK_MONOTONIC, &to);
		if ((r.report.errors == 0) != rows[i].good)
			fail_msg("%s: %zu errors", rows[i].name, r.report.errors);
		if (to.tv_sec - from.tv_sec > 5)
			fail_msg("%s: takes %ld s", rows[i].name, (long)(to.tv_sec - from.tv_sec));
		assert_true(r.report.text.n < 64 * 1024);
		done(&r);
		pn_buf_done(&text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_like_confuse),
		cmocka_unit_test(test_quote),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
