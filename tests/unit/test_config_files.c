/* Files and directories of a configuration, secrets, and the texts that are made
 * from the table of keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "postern/config.h"

/* -- a directory of our own ------------------------------------------------------- */

struct place {
	char dir[64];
	char path[128];		/* of the last file */
};

static const char *
path_of(struct place *p, const char *name)
{
	(void)snprintf(p->path, sizeof(p->path), "%s/%s", p->dir, name);
	return p->path;
}

static void
write_file(struct place *p, const char *name, const char *text, size_t n, mode_t mode)
{
	int fd = open(path_of(p, name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), n);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void
write_text(struct place *p, const char *name, const char *text)
{
	write_file(p, name, text, strlen(text), 0644);
}

static int
setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/postern-test-config-XXXXXX");
	if (mkdtemp(p->dir) == NULL)
		return -1;
	*state = p;
	return 0;
}

static int
teardown(void **state)
{
	struct place *p = *state;
	static const char *const names[] = { "conf.d/b.conf", "conf.d/a.conf", "conf.d/c.conf~", "conf.d/fifo.conf",
		"conf.d", "aliases.d/2", "aliases.d/1", "aliases.d/.hidden", "aliases.d/old~", "aliases.d",
		"postern.conf", "secret", "again.conf" };

	for (size_t i = 0; i < PN_COUNT(names); i++)
		(void)remove(path_of(p, names[i]));
	(void)rmdir(p->dir);
	free(p);
	return 0;
}

static void
test_directories(void **state)
{
	struct place *p = *state;
	struct pn_config_report report;
	struct pn_config *c;
	char socket[200];

	write_text(p, "postern.conf", "max_sessions = 1\nmap_socket = unix:map.sock\n"
	    "gateway g { target = keep }\ndomain a.example { }\n");
	assert_int_equal(mkdir(path_of(p, "conf.d"), 0755), 0);
	assert_int_equal(mkdir(path_of(p, "aliases.d"), 0755), 0);
	write_text(p, "conf.d/b.conf", "max_sessions = 3\noutbound_daemons += {two}\n");
	write_text(p, "conf.d/a.conf", "max_sessions = 2\noutbound_daemons = {one}\n");
	write_text(p, "conf.d/c.conf~", "nonsense");
	write_text(p, "aliases.d/2", "b@a.example crm.lead\n");
	write_text(p, "aliases.d/1", "a@a.example crm.lead\n");
	write_text(p, "aliases.d/.hidden", "nonsense");
	write_text(p, "aliases.d/old~", "nonsense");
	pn_config_report_init(&report);
	if (pn_config_load(path_of(p, "postern.conf"), &c, &report) != PN_OK)
		fail_msg("%s", pn_buf_c(&report.text));
	assert_int_equal(report.warnings, 0);
	assert_int_equal(c->max_sessions, 3);
	assert_int_equal(c->outbound_daemons.n, 2);
	assert_true(pn_str_eq(c->outbound_daemons.v[1], PN_STR("two")));
	assert_int_equal(c->alias_count, 2);
	assert_true(pn_str_eq(c->aliases[0].alias.local, PN_STR("a")));
	(void)snprintf(socket, sizeof(socket), "unix:%s/map.sock", p->dir);
	assert_true(pn_str_eq(c->map_socket, pn_str_c(socket)));
	pn_config_free(c);
	pn_config_report_done(&report);
}

static void
test_unreadable(void **state)
{
	struct place *p = *state;
	struct pn_config_report report;
	struct pn_config *c;

	pn_config_report_init(&report);
	assert_int_equal(pn_config_load(path_of(p, "postern.conf"), &c, &report), PN_TEMPFAIL);
	assert_int_equal(report.errors, 1);
	assert_true(pn_str_contains(pn_buf_str(&report.text), PN_STR("/postern.conf: cannot be read: No such file")));
	pn_config_report_done(&report);

	/* not a file: refused without waiting for a writer; the rest is read all the same */
	write_text(p, "postern.conf", "colour = red\n");
	assert_int_equal(mkdir(path_of(p, "conf.d"), 0755), 0);
	assert_int_equal(mkfifo(path_of(p, "conf.d/fifo.conf"), 0600), 0);
	pn_config_report_init(&report);
	assert_int_equal(pn_config_load(path_of(p, "postern.conf"), &c, &report), PN_INVALID);
	assert_int_equal(report.errors, 2);
	assert_true(pn_str_contains(pn_buf_str(&report.text), PN_STR("fifo.conf: is not a regular file; ")));
	assert_true(pn_str_contains(pn_buf_str(&report.text), PN_STR("postern.conf:1: no such key as \"colour\"")));
	pn_config_report_done(&report);
	pn_config_free(NULL);
}

/* All errors of a broken file at once, as they are shown. */
static void
test_broken(void **state)
{
	struct pn_config_report report;
	struct pn_config *c;
	struct pn_buf expected;
	char part[4096];
	size_t n;
	FILE *f = fopen("tests/data/config/broken.expected", "r");

	(void)state;
	assert_non_null(f);
	pn_buf_init(&expected, 1 << 20);
	while ((n = fread(part, 1, sizeof(part), f)) > 0)
		pn_buf_add(&expected, pn_str_n(part, n));
	fclose(f);
	pn_config_report_init(&report);
	assert_int_equal(pn_config_load("tests/data/config/broken.conf", &c, &report), PN_INVALID);
	assert_string_equal(pn_buf_c(&report.text), pn_buf_c(&expected));
	assert_true(report.errors > 25);
	pn_config_report_done(&report);
	pn_buf_done(&expected);
}

/* -- printing --------------------------------------------------------------------------- */

static void
test_print_set(void **state)
{
	static const char text[] = "# comment\nmodel \"x.y\" { blacklist = yes }\nmax_sessions=5\n"
	    "gateway 'g' { target = 'redirect to a@b.example'\n mail.gateway.allowed = {\"x@y.example\"} }\n"
	    "max_sessions = 6\ndomain a.example { default_from = '' }\noutbound_daemons += {'a b'}\n"
	    "gateway h { target = keep }\n";
	static const char printed[] = "max_sessions = 6\noutbound_daemons += {\"a b\"}\n"
	    "gateway \"g\" {\n\ttarget = \"redirect to a@b.example\"\n\tmail.gateway.allowed = {x@y.example}\n}\n"
	    "gateway \"h\" {\n\ttarget = keep\n}\n"
	    "domain \"a.example\" {\n\tdefault_from = \"\"\n}\n"
	    "model \"x.y\" {\n\tblacklist = yes\n}\n";
	struct place *p = *state;

	/* printing what was printed gives the same */
	for (int i = 0; i < 2; i++) {
		struct pn_config_report report;
		struct pn_buf out;

		write_text(p, "again.conf", i == 0 ? text : printed);
		pn_config_report_init(&report);
		pn_buf_init(&out, 1 << 20);
		assert_int_equal(pn_config_print(p->path, PN_CONFIG_SET, &out, &report), PN_OK);
		assert_string_equal(pn_buf_c(&out), printed);
		pn_buf_done(&out);
		pn_config_report_done(&report);
	}
}

/* Is there a line that begins so, behind blanks and perhaps a comment sign? */
static bool
has_line(const struct pn_buf *text, const char *begin)
{
	struct pn_str rest = pn_buf_str(text), line;

	while (pn_str_split(&rest, '\n', &line)) {
		line = pn_str_trim(line);
		if (pn_str_starts(line, PN_STR("#")))
			line = pn_str_from(line, 1);
		if (pn_str_starts(line, pn_str_c(begin)))
			return true;
	}
	return false;
}

static void
test_print_defaults(void **state)
{
	static const char *const lines[] = { "state_directory = /var/lib/postern", "thread_lifetime = 400d",
		"socket_mode = 0660", "gateway \"NAME\" {", " target must be set", "mail.gateway.loop.minutes = 120",
		"bounce_alias = bounce", "contact = everyone", "relay \"NAME\" {", "priority = 10", "accepts_mail = yes" };
	struct pn_config_report report;
	struct pn_buf out;

	(void)state;
	pn_config_report_init(&report);
	pn_buf_init(&out, 1 << 20);
	assert_int_equal(pn_config_print("/nowhere", PN_CONFIG_DEFAULTS, &out, &report), PN_OK);
	for (size_t i = 0; i < PN_COUNT(lines); i++)
		if (!has_line(&out, lines[i]))
			fail_msg("no line %s", lines[i]);
	pn_buf_done(&out);
	pn_config_report_done(&report);
}

static void
read_file(const char *name, struct pn_buf *out)
{
	char part[4096];
	size_t n;
	FILE *f = fopen(name, "r");

	assert_non_null(f);
	while ((n = fread(part, 1, sizeof(part), f)) > 0)
		pn_buf_add(out, pn_str_n(part, n));
	fclose(f);
}

/* The sample in the repository is the one made from the table. */
static void
test_sample(void **state)
{
	struct pn_buf made, file;

	(void)state;
	pn_buf_init(&made, 1 << 20);
	pn_buf_init(&file, 1 << 20);
	pn_config_sample(&made);
	read_file("postfix-conf/postern.conf.sample", &file);
	assert_string_equal(pn_buf_c(&file), pn_buf_c(&made));
	pn_buf_done(&made);
	pn_buf_done(&file);
}

/* The sample loads, and so it does when every key in it is set. */
static void
test_sample_loads(void **state)
{
	struct place *p = *state;
	struct pn_buf sample, all;
	struct pn_str rest, line;

	pn_buf_init(&sample, 1 << 20);
	pn_buf_init(&all, 1 << 20);
	pn_config_sample(&sample);
	rest = pn_buf_str(&sample);
	while (pn_str_split(&rest, '\n', &line)) {
		struct pn_str key = pn_str_trim(line);

		if (key.n > 1 && key.p[0] == '#' && key.p[1] != ' ')
			line = pn_str_from(key, 1);
		pn_buf_add(&all, line);
		pn_buf_add_char(&all, '\n');
	}
	for (int i = 0; i < 2; i++) {
		struct pn_config_report report;
		struct pn_config *c;

		write_text(p, "again.conf", pn_buf_c(i == 0 ? &sample : &all));
		pn_config_report_init(&report);
		if (pn_config_load(p->path, &c, &report) != PN_OK || report.warnings > 0)
			fail_msg("%d: %s", i, pn_buf_c(&report.text));
		assert_int_equal(c->alias_count, 1);
		assert_int_equal(c->outbound_networks.n, i == 0 ? 0 : 2);
		assert_int_equal(c->directory.gateways[0].allowed_senders.n, i);
		assert_int_equal(c->relays.n, i);
		pn_config_free(c);
		pn_config_report_done(&report);
	}
	pn_buf_done(&sample);
	pn_buf_done(&all);
}

/* Every key of the defaults stands in the manual, in the form of a list item. */
static void
test_manual(void **state)
{
	struct pn_buf manual, defaults;
	struct pn_config_report report;
	struct pn_str rest, line;
	size_t keys = 0;

	(void)state;
	pn_buf_init(&manual, 1 << 20);
	pn_buf_init(&defaults, 1 << 20);
	pn_config_report_init(&report);
	pn_config_manual(&manual);
	assert_int_equal(pn_config_print("", PN_CONFIG_DEFAULTS, &defaults, &report), PN_OK);
	rest = pn_buf_str(&defaults);
	while (pn_str_split(&rest, '\n', &line)) {
		struct pn_str name = pn_str_trim(line);
		char item[200];

		if (pn_str_find(name, '=') == PN_STR_NONE)
			continue;
		name = pn_str_head(name, pn_str_find(name, ' '));
		(void)snprintf(item, sizeof(item), ".It Ic " PN_STR_FMT " No = Ar ", PN_STR_ARG(name));
		if (!has_line(&manual, item))
			fail_msg("no %s", item);
		keys++;
	}
	assert_true(keys > 50);
	for (size_t i = 0; i < pn_preset_count; i++) {
		char item[200];

		(void)snprintf(item, sizeof(item), ".It Cm %s", pn_presets[i].name);
		assert_true(has_line(&manual, item));
	}
	/* what roff would take for a macro is none of ours */
	rest = pn_buf_str(&manual);
	while (pn_str_split(&rest, '\n', &line))
		if (pn_str_starts(line, PN_STR(".")) && !(line.n >= 3 && pn_is_upper(line.p[1])))
			fail_msg("looks like a macro: " PN_STR_FMT, PN_STR_ARG(line));
	pn_buf_done(&manual);
	pn_buf_done(&defaults);
	pn_config_report_done(&report);
}

/* -- secrets ------------------------------------------------------------------------------ */

static void
test_secret(void **state)
{
	static const struct {
		const char *name, *text;
		mode_t mode;
		enum pn_status status;
		const char *says;	/* the secret, or part of the error */
	} rows[] = {
		{ "good", "s3cret\n", 0600, PN_OK, "s3cret" },
		{ "read-only", "s3cret", 0400, PN_OK, "s3cret" },
		{ "blanks are part of it", " a b \r\n\n", 0600, PN_OK, " a b " },
		{ "others may read", "x", 0604, PN_INVALID, "has mode 0604" },
		{ "others may write", "x", 0602, PN_INVALID, "has mode 0602" },
		{ "a group may read", "x", 0640, PN_INVALID, "has mode 0640" },
		{ "a group may write", "x", 0620, PN_INVALID, "has mode 0620" },
		{ "empty", "", 0600, PN_INVALID, "is empty" },
		{ "only a newline", "\n", 0600, PN_INVALID, "is empty" },
	};
	struct place *p = *state;
	struct pn_arena *arena = pn_arena_new(1 << 20);
	struct pn_error err;
	struct pn_str secret;

	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		enum pn_status st;

		write_file(p, "secret", rows[i].text, strlen(rows[i].text), rows[i].mode);
		st = pn_config_secret(p->path, arena, &secret, &err);
		if (st != rows[i].status)
			fail_msg("%s: %s", rows[i].name, pn_status_name(st));
		if (st == PN_OK ? !pn_str_eq(secret, pn_str_c(rows[i].says)) : strstr(err.text, rows[i].says) == NULL)
			fail_msg("%s: %s", rows[i].name, st == PN_OK ? secret.p : err.text);
		(void)remove(p->path);
	}
	pn_arena_free(arena);
}

static void
test_secret_files(void **state)
{
	struct place *p = *state;
	struct pn_arena *arena = pn_arena_new(1 << 20);
	struct pn_error err;
	struct pn_str secret;
	char large[4097];

	assert_int_equal(pn_config_secret(path_of(p, "secret"), arena, &secret, &err), PN_NOT_FOUND);
	assert_int_equal(pn_config_secret(p->dir, arena, &secret, &err), PN_INVALID);
	assert_non_null(strstr(err.text, "is not a regular file"));
	assert_int_equal(mkfifo(path_of(p, "secret"), 0600), 0);
	assert_int_equal(pn_config_secret(p->path, arena, &secret, &err), PN_INVALID);
	(void)remove(p->path);
	memset(large, 'x', sizeof(large));
	write_file(p, "secret", large, sizeof(large), 0600);
	assert_int_equal(pn_config_secret(p->path, arena, &secret, &err), PN_INVALID);
	assert_non_null(strstr(err.text, "is larger than 4096 bytes"));
	write_file(p, "secret", large, sizeof(large) - 1, 0600);
	assert_int_equal(pn_config_secret(p->path, arena, &secret, &err), PN_OK);
	assert_int_equal(secret.n, 4096);
	write_file(p, "secret", "a\0b", 3, 0600);
	assert_int_equal(pn_config_secret(p->path, arena, &secret, &err), PN_INVALID);
	/* only root can give a file away */
	if (geteuid() == 0) {
		write_file(p, "secret", "x", 1, 0600);
		assert_int_equal(chown(p->path, 65534, 65534), 0);
		assert_int_equal(pn_config_secret(p->path, arena, &secret, &err), PN_INVALID);
		assert_non_null(strstr(err.text, "belongs to user 65534"));
	}
	pn_arena_free(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_directories, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unreadable, setup, teardown),
		cmocka_unit_test(test_broken),
		cmocka_unit_test_setup_teardown(test_print_set, setup, teardown),
		cmocka_unit_test(test_print_defaults),
		cmocka_unit_test(test_sample),
		cmocka_unit_test_setup_teardown(test_sample_loads, setup, teardown),
		cmocka_unit_test(test_manual),
		cmocka_unit_test_setup_teardown(test_secret, setup, teardown),
		cmocka_unit_test_setup_teardown(test_secret_files, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
