/* Tables, JSON and progress. */
#include "cli.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "postern/clock.h"
#include "postern/unicode.h"

/* -- text ----------------------------------------------------------------------------- */

static bool
is_shown(struct pn_str s, size_t n, uint32_t character)
{
	bool broken = character == PN_NO_CHARACTER && n == 1;
	/* what turns the order of a line around could show another address */
	bool turns =
	    (character >= 0x202a && character <= 0x202e) || (character >= 0x2066 && character <= 0x2069);

	return s.n > 0 && !broken && !turns && character >= 0x20 && !(character >= 0x7f && character < 0xa0);
}

struct pn_str
text_shown(struct pn_str text, struct pn_arena *arena)
{
	char *p = pn_arena_alloc(arena, 4 * text.n + 1);
	size_t n = 0;

	while (text.n > 0) {
		uint32_t character;
		size_t bytes = pn_utf8_next(text, &character);
		bool shown = is_shown(text, bytes, character);

		for (size_t i = 0; i < bytes; i++) {
			unsigned char c = (unsigned char)text.p[i];

			if (shown) {
				p[n++] = text.p[i];
				continue;
			}
			p[n++] = '\\';
			p[n++] = 'x';
			p[n++] = "0123456789abcdef"[c >> 4];
			p[n++] = "0123456789abcdef"[c & 15];
		}
		text = pn_str_from(text, bytes);
	}
	return pn_str_n(p, n);
}

struct pn_str
time_shown(int64_t seconds, struct pn_arena *arena)
{
	time_t when = (time_t)seconds;
	struct tm parts;
	char text[32];

	if (seconds == 0 || localtime_r(&when, &parts) == NULL)
		return PN_STR("-");
	return pn_arena_dup(arena, pn_str_n(text, strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &parts)));
}

/* -- JSON ----------------------------------------------------------------------------- */

json_t *
json_text(struct pn_str text)
{
	json_t *value = json_stringn(text.p, text.n);
	struct pn_buf clean;

	if (value != NULL)
		return value;
	pn_buf_init(&clean, 3 * text.n);
	while (text.n > 0) {
		uint32_t character;
		size_t bytes = pn_utf8_next(text, &character);

		if (character == PN_NO_CHARACTER && bytes == 1)
			pn_buf_add_c(&clean, "\xef\xbf\xbd");
		else
			pn_buf_add(&clean, pn_str_head(text, bytes));
		text = pn_str_from(text, bytes);
	}
	value = json_stringn(pn_buf_c(&clean), clean.n);
	pn_buf_done(&clean);
	if (value == NULL)
		pn_out_of_memory();
	return value;
}

json_t *
json_number(uint64_t number)
{
	return json_integer(number > INT64_MAX ? INT64_MAX : (json_int_t)number);
}

json_t *
json_time(int64_t seconds)
{
	time_t when = (time_t)seconds;
	struct tm parts;
	char text[32];
	size_t n;

	if (seconds == 0 || gmtime_r(&when, &parts) == NULL)
		return json_null();
	n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
	return json_stringn(text, n);
}

json_t *
json_list(struct pn_strs list)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list.n; i++)
		json_array_append_new(array, json_text(list.v[i]));
	return array;
}

void
json_print(json_t *value)
{
	(void)json_dumpf(value, stdout, JSON_INDENT(2));
	(void)fputc('\n', stdout);
	json_decref(value);
}

/* -- tables --------------------------------------------------------------------------- */

enum { ROWS_MEASURED = 500, WIDTH_MAX = 60, SMALL_ARENA = 1 << 20 };

static size_t
width_of(struct pn_str text)
{
	size_t width = 0;

	/* bytes that continue a character take no room of their own */
	for (size_t i = 0; i < text.n; i++)
		width += ((unsigned char)text.p[i] & 0xc0) != 0x80;
	return width;
}

static void
print_cell(const struct rows *rows, size_t column, struct pn_str text)
{
	size_t width = width_of(text), room = rows->widths[column];
	int blanks = width < room ? (int)(room - width) : 0;
	bool last = column + 1 == rows->n;

	if (rows->columns[column].right)
		(void)printf("%*s", blanks, "");
	(void)fwrite(text.p, 1, text.n, stdout);
	if (last)
		(void)fputc('\n', stdout);
	else
		(void)printf("%*s", rows->columns[column].right ? 2 : blanks + 2, "");
}

static void
measure(struct rows *rows, size_t column, struct pn_str text)
{
	size_t width = width_of(text);

	if (width > WIDTH_MAX)
		width = WIDTH_MAX;
	if (width > rows->widths[column])
		rows->widths[column] = width;
}

static struct pn_str
title_of(const struct column *column, struct pn_arena *arena)
{
	struct pn_str title = pn_str_c(column->key);
	char *p = pn_arena_alloc(arena, title.n + 1);

	for (size_t i = 0; i < title.n; i++)
		p[i] = (char)(title.p[i] == '_' ? ' ' : title.p[i] - 'a' + 'A');
	return pn_str_n(p, title.n);
}

/* The first rows give the widths; from then on each is printed as it comes. */
static void
print_held(struct rows *rows)
{
	for (size_t i = 0; i < rows->n; i++)
		measure(rows, i, title_of(&rows->columns[i], rows->arena));
	for (size_t i = 0; i < rows->cell_count; i++)
		measure(rows, i % rows->n, rows->cells[i]);
	for (size_t i = 0; i < rows->n; i++)
		print_cell(rows, i, title_of(&rows->columns[i], rows->arena));
	for (size_t i = 0; i < rows->cell_count; i++)
		print_cell(rows, i % rows->n, rows->cells[i]);
	rows->widths_known = true;
}

void
rows_begin(struct rows *rows, const struct cli *cli, const struct column *columns, size_t n)
{
	*rows = (struct rows){ .cli = cli, .columns = columns, .n = n, .arena = pn_arena_new(SMALL_ARENA) };
	if (cli->json)
		(void)fputc('[', stdout);
}

/* Rows go out one by one: a list of a million needs no memory. */
static void
end_json_row(struct rows *rows)
{
	(void)fputs(rows->count > 1 ? ",\n" : "\n", stdout);
	(void)json_dumpf(rows->object, stdout, JSON_COMPACT);
	json_decref(rows->object);
	rows->object = NULL;
}

static void
advance(struct rows *rows)
{
	if (++rows->at < rows->n)
		return;
	rows->at = 0;
	rows->count++;
	if (rows->cli->json)
		end_json_row(rows);
	else if (!rows->widths_known && rows->count == ROWS_MEASURED)
		print_held(rows);
	else if (rows->widths_known)
		pn_arena_reset(rows->arena);
}

static void
add_json(struct rows *rows, json_t *value)
{
	if (rows->at == 0)
		rows->object = json_object();
	(void)json_object_set_new(rows->object, rows->columns[rows->at].key, value);
	advance(rows);
}

static void
add_text(struct rows *rows, struct pn_str text)
{
	if (rows->widths_known) {
		print_cell(rows, rows->at, text);
	} else {
		rows->cells = pn_arena_grow(rows->arena, rows->cells, rows->cell_count, &rows->cell_cap,
		    rows->cell_count + 1, sizeof(*rows->cells));
		rows->cells[rows->cell_count++] = text;
	}
	advance(rows);
}

void
rows_text(struct rows *rows, struct pn_str text)
{
	if (rows->cli->json)
		add_json(rows, json_text(text));
	else
		add_text(rows, text.n == 0 ? PN_STR("-") : text_shown(text, rows->arena));
}

void
rows_number(struct rows *rows, uint64_t number)
{
	if (rows->cli->json)
		add_json(rows, json_number(number));
	else
		add_text(rows, pn_arena_printf(rows->arena, "%llu", (unsigned long long)number));
}

void
rows_time(struct rows *rows, int64_t seconds)
{
	if (rows->cli->json)
		add_json(rows, json_time(seconds));
	else
		add_text(rows, time_shown(seconds, rows->arena));
}

void
rows_end(struct rows *rows)
{
	if (rows->cli->json)
		(void)fputs(rows->count > 0 ? "\n]\n" : "]\n", stdout);
	else if (!rows->widths_known)
		print_held(rows);
	json_decref(rows->object);
	pn_arena_free(rows->arena);
}

/* -- progress ------------------------------------------------------------------------- */

enum { FIRST_AFTER_US = 1000000, AGAIN_AFTER_US = 500000, ASK_CLOCK_EVERY = 256, TICK_MS = 1000 };

static void
show(struct cli *cli, int64_t now, const char *text)
{
	bool terminal = isatty(STDERR_FILENO) == 1;

	if (!terminal && !cli->verbose)
		return;
	(void)fprintf(stderr, "%spostern: %s%s", terminal ? "\r" : "", text, terminal ? "\033[K" : "\n");
	cli->shown_us = now;
	cli->shown = terminal;
}

void
progress(struct cli *cli, const char *what, uint64_t n)
{
	char text[200];
	int64_t now;

	if (n % ASK_CLOCK_EVERY != 0)
		return;
	now = pn_clock_mono_us();
	if (now - cli->started_us < FIRST_AFTER_US || now - cli->shown_us < AGAIN_AFTER_US)
		return;
	if (n > 0)
		(void)snprintf(text, sizeof(text), "%llu %s", (unsigned long long)n, what);
	else
		(void)snprintf(text, sizeof(text), "%s", what);
	show(cli, now, text);
}

struct ticker {
	struct cli *cli;
	const char *what;
};

static void *
tick(void *arg)
{
	struct ticker *ticker = arg;
	struct pollfd end = { .fd = ticker->cli->ticker_end, .events = POLLIN };
	int64_t begun = pn_clock_mono_us();

	while (poll(&end, 1, TICK_MS) == 0) {
		int64_t now = pn_clock_mono_us();
		char text[200];

		(void)snprintf(text, sizeof(text), "%s, %lld s", ticker->what,
		    (long long)((now - begun) / 1000000));
		show(ticker->cli, now, text);
	}
	return NULL;
}

void
progress_begin(struct cli *cli, const char *what)
{
	struct ticker *ticker = PN_ARENA_NEW(cli->arena, struct ticker);

	*ticker = (struct ticker){ cli, what };
	cli->ticker_end = eventfd(0, EFD_CLOEXEC);
	if (cli->ticker_end > 0 && pthread_create(&cli->ticker, NULL, tick, ticker) == 0)
		return;
	/* the work goes on without it */
	if (cli->ticker_end > 0)
		(void)close(cli->ticker_end);
	cli->ticker_end = 0;
}

void
progress_done(struct cli *cli)
{
	if (cli->ticker_end > 0) {
		(void)eventfd_write(cli->ticker_end, 1);
		(void)pthread_join(cli->ticker, NULL);
		(void)close(cli->ticker_end);
		cli->ticker_end = 0;
	}
	if (cli->shown)
		(void)fputs("\r\033[K", stderr);
	cli->shown = false;
}
