/* Dates, RFC 5322 section 3.3 and its obsolete forms, as Python's email.utils reads and rewrites them. */
#include "header_value_internal.h"

enum { WORDS = 5, INT_DIGITS_MAX = 4300 };

/* A number beyond these is as good as any other that is. */
#define NUMBER_MAX INT64_C(1000000000000000)

struct when {
	int64_t year, month, day, hour, minute, second;
	int64_t offset;		/* seconds east of UTC */
	bool has_offset;
};

static const char months[12][10] = {
	"january", "february", "march", "april", "may", "june", "july", "august", "september",
	"october", "november", "december",
};

static uint32_t
lower(uint32_t c)
{
	return c < 128 ? (unsigned char)pn_to_lower((char)c) : c;
}

static bool
is_name(struct pn_wide text, const char *name, size_t n)
{
	if (text.n != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (lower(text.p[i]) != (unsigned char)name[i])
			return false;
	return true;
}

/* 1 to 12, or 0. */
static int
month_number(struct pn_wide text)
{
	for (int i = 0; i < 12; i++)
		if (is_name(text, months[i], 3) || is_name(text, months[i], strlen(months[i])))
			return i + 1;
	return 0;
}

static bool
is_day_name(struct pn_wide text)
{
	static const char days[7][4] = { "mon", "tue", "wed", "thu", "fri", "sat", "sun" };

	for (size_t i = 0; i < PN_COUNT(days); i++)
		if (is_name(text, days[i], 3))
			return true;
	return false;
}

static struct pn_wide
part(struct pn_wide text, size_t from, size_t to)
{
	return (struct pn_wide){ text.p + from, to - from };
}

/* Where the first c is, or text.n. */
static size_t
find(struct pn_wide text, uint32_t c)
{
	size_t i = 0;

	while (i < text.n && text.p[i] != c)
		i++;
	return i;
}

static struct pn_wide
after_last_comma(struct pn_wide text)
{
	for (size_t i = text.n; i > 0; i--)
		if (text.p[i - 1] == ',')
			return part(text, i, text.n);
	return text;
}

static bool
drop_comma(struct pn_wide *text)
{
	if (text->n == 0 || text->p[text->n - 1] != ',')
		return false;
	text->n--;
	return true;
}

/* int(text): a sign, digits, single underlines between them. */
static bool
number(struct pn_wide text, int64_t *out)
{
	bool minus = text.n > 0 && text.p[0] == '-', digit = false;
	int64_t value = 0;
	size_t digits = 0;

	if (text.n > 0 && (text.p[0] == '-' || text.p[0] == '+'))
		text = part(text, 1, text.n);
	for (size_t i = 0; i < text.n; i++) {
		uint32_t c = text.p[i];

		if (c == '_' && digit) {
			digit = false;
			continue;
		}
		digit = c < 128 && pn_is_digit((char)c);
		if (!digit)
			return false;
		digits++;
		value = value >= NUMBER_MAX ? NUMBER_MAX : value * 10 + (int64_t)(c - '0');
	}
	*out = minus ? -value : value;
	return digit && digits <= INT_DIGITS_MAX;
}

/* Splits at c into at most max parts; more of them is max + 1. */
static size_t
split(struct pn_wide text, uint32_t c, struct pn_wide parts[], size_t max)
{
	for (size_t n = 0; n < max; n++) {
		size_t at = find(text, c);

		parts[n] = part(text, 0, at);
		if (at == text.n)
			return n + 1;
		text = part(text, at + 1, text.n);
	}
	return max + 1;
}

/* The first six words between white space; returns how many. */
static size_t
split_words(struct pn_wide text, struct pn_wide words[WORDS + 1])
{
	size_t n = 0, i = 0;

	while (n <= WORDS) {
		size_t from;

		while (i < text.n && pn_is_text_space(text.p[i]))
			i++;
		if (i == text.n)
			break;
		for (from = i; i < text.n && !pn_is_text_space(text.p[i]); i++)
			;
		words[n++] = part(text, from, i);
	}
	return n;
}

/* Brings the words into the order day, month, year, time, zone.  The number of
 * words decides between the forms, so it must be exact up to five. */
static bool
arrange(struct pn_wide text, struct pn_wide w[WORDS + 1])
{
	struct pn_wide date[3];
	size_t n = split_words(text, w), zone;

	if (n == 0)
		return false;
	if (w[0].p[w[0].n - 1] == ',' || is_day_name(w[0])) {
		n--;
		memmove(w, w + 1, n * sizeof(*w));
	} else
		w[0] = after_last_comma(w[0]);
	if (n == 3 && split(w[0], '-', date, 3) == 3) {
		/* RFC 850: 06-Nov-94 */
		w[4] = w[2];
		w[3] = w[1];
		memcpy(w, date, sizeof(date));
		n = 5;
	}
	if (n == 4) {
		zone = find(w[3], '+');
		if (zone == w[3].n)
			zone = find(w[3], '-');
		if (zone == 0 || zone == w[3].n)
			w[4] = part(w[3], w[3].n, w[3].n);
		else {
			w[4] = part(w[3], zone, w[3].n);
			w[3] = part(w[3], 0, zone);
		}
		n = 5;
	}
	return n >= 5 && w[0].n > 0 && w[1].n > 0 && w[2].n > 0;
}

static void
swap(struct pn_wide *a, struct pn_wide *b)
{
	struct pn_wide c = *a;

	*a = *b;
	*b = c;
}

static bool
read_time(struct pn_wide time, struct when *out)
{
	struct pn_wide parts[3];
	size_t n;

	drop_comma(&time);
	n = split(time, ':', parts, 3);
	if (n == 1)
		n = split(time, '.', parts, 3);
	out->second = 0;
	return (n == 2 || n == 3) && number(parts[0], &out->hour) && number(parts[1], &out->minute)
	    && (n == 2 || number(parts[2], &out->second));
}

/* Names of zones are known for North America only; others count as "-0000". */
static void
read_zone(struct pn_wide zone, struct when *out)
{
	static const struct {
		char name[4];
		int offset;
	} zones[] = {
		{ "ut", 0 }, { "utc", 0 }, { "gmt", 0 }, { "z", 0 }, { "ast", -400 }, { "adt", -300 },
		{ "est", -500 }, { "edt", -400 }, { "cst", -600 }, { "cdt", -500 }, { "mst", -700 },
		{ "mdt", -600 }, { "pst", -800 }, { "pdt", -700 },
	};
	int64_t offset = 0;

	out->has_offset = number(zone, &offset) && (offset != 0 || zone.p[0] != '-');
	for (size_t i = 0; i < PN_COUNT(zones); i++)
		if (is_name(zone, zones[i].name, strlen(zones[i].name))) {
			offset = zones[i].offset;
			out->has_offset = true;
		}
	out->offset = offset / 100 * 3600 + offset % 100 * 60;
}

static bool
read_date(struct pn_wide text, struct when *out)
{
	struct pn_wide w[WORDS + 1], *day = &w[0], *month = &w[1], *year = &w[2];
	struct pn_wide *time = &w[3], *zone = &w[4];
	size_t colon;

	if (!arrange(text, w))
		return false;
	if (month_number(*month) == 0)
		swap(day, month);
	out->month = month_number(*month);
	if (out->month == 0)
		return false;
	drop_comma(day);
	colon = find(*year, ':');
	if (colon > 0 && colon < year->n)
		swap(year, time);
	if (drop_comma(year) && year->n == 0)
		return false;
	if (year->p[0] >= 128 || !pn_is_digit((char)year->p[0]))
		swap(year, zone);
	if (!number(*year, &out->year) || !number(*day, &out->day) || !read_time(*time, out))
		return false;
	if (out->year < 100)
		out->year += out->year > 68 ? 1900 : 2000;
	read_zone(*zone, out);
	return true;
}

static bool
is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int
days_in(const struct when *when)
{
	static const int days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[when->month - 1] + (when->month == 2 && is_leap(when->year));
}

/* 0 is Monday. */
static unsigned
weekday(const struct when *when)
{
	int64_t y = when->year - (when->month < 3), m = (when->month + 9) % 12;

	return (unsigned)((y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + when->day + 1) % 7);
}

static bool
fits_int(int64_t n)
{
	return n >= INT32_MIN && n <= INT32_MAX;
}

/* PN_NOT_FOUND: not a date, which Python leaves as it is.
 * PN_INVALID: a number too large for its datetime. */
static enum pn_status
check_date(const struct when *w)
{
	enum { DAY = 24 * 3600, DAYS_MAX = 999999999 };
	int64_t magnitude = w->offset < 0 ? -w->offset : w->offset;

	if (w->has_offset && (magnitude / DAY > DAYS_MAX
	    || (w->offset < 0 && magnitude > (int64_t)DAY * DAYS_MAX)))
		return PN_INVALID;
	if (w->has_offset && magnitude >= DAY)
		return PN_NOT_FOUND;
	if (!fits_int(w->year) || !fits_int(w->day) || !fits_int(w->hour) || !fits_int(w->minute)
	    || !fits_int(w->second))
		return PN_INVALID;
	return w->year >= 1 && w->year <= 9999 && w->day >= 1 && w->day <= days_in(w) && w->hour >= 0
	    && w->hour < 24 && w->minute >= 0 && w->minute < 60 && w->second >= 0 && w->second < 60
	    ? PN_OK : PN_NOT_FOUND;
}

static void
add_number(struct pn_wide_buf *out, int64_t n, int64_t unit)
{
	for (; unit > 0; unit /= 10)
		pn_wide_add(out, (uint32_t)('0' + n / unit % 10));
}

static void
write_date(const struct when *w, struct pn_wide_buf *out)
{
	static const char days[7][6] = { "Mon, ", "Tue, ", "Wed, ", "Thu, ", "Fri, ", "Sat, ", "Sun, " };
	int64_t minutes = (w->offset < 0 ? -w->offset : w->offset) / 60;
	const char *month = months[w->month - 1];

	pn_wide_add_c(out, days[weekday(w)]);
	add_number(out, w->day, 10);
	pn_wide_add(out, ' ');
	pn_wide_add(out, (unsigned char)month[0] - 32u);
	pn_wide_add(out, (unsigned char)month[1]);
	pn_wide_add(out, (unsigned char)month[2]);
	pn_wide_add(out, ' ');
	add_number(out, w->year, 1000);
	pn_wide_add(out, ' ');
	add_number(out, w->hour, 10);
	pn_wide_add(out, ':');
	add_number(out, w->minute, 10);
	pn_wide_add(out, ':');
	add_number(out, w->second, 10);
	pn_wide_add_c(out, !w->has_offset || w->offset < 0 ? " -" : " +");
	add_number(out, w->has_offset ? minutes / 60 * 100 + minutes % 60 : 0, 1000);
}

enum pn_status
pn_hv_date(struct pn_hv *r, struct pn_wide_buf *out)
{
	struct pn_wide text = { r->text + r->pos, r->end - r->pos };
	struct when when;
	enum pn_status st = read_date(text, &when) ? check_date(&when) : PN_NOT_FOUND;

	if (st == PN_NOT_FOUND)
		pn_wide_add_text(out, text);
	if (st == PN_OK)
		write_date(&when, out);
	return st == PN_INVALID ? st : PN_OK;
}
