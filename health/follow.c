#include "follow.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "journal.h"
#include "place.h"
#include "postern/buf.h"

enum { BUFFER_SIZE = 65536, JOURNAL_OVERLAP = 2 /* seconds */ };

struct follow {
	struct journal *journal; /* NULL: a file */
	char *log; /* its path */
	char *note; /* where the place is noted */
	int fd; /* -1: not open */
	struct place at, noted; /* .offset is that of the first byte in the buffer */
	bool begun; /* a place is known: what is new is read from its start */
	size_t have;
	bool skipping; /* the rest of a line that was too long */
	char buffer[BUFFER_SIZE];
};

static char *
copy_text(struct pn_str text, const char *more)
{
	char *copy = NULL;

	if (asprintf(&copy, PN_STR_FMT "%s", PN_STR_ARG(text), more) < 0)
		pn_out_of_memory();
	return copy;
}

struct follow *
follow_new(struct pn_str log, struct pn_str state_directory)
{
	struct follow *f = calloc(1, sizeof(*f));

	if (f == NULL)
		pn_out_of_memory();
	f->log = copy_text(log, "");
	f->note = copy_text(state_directory, "/mail_log.place");
	f->fd = -1;
	if (!place_load(f->note, &f->at))
		f->at = (struct place) { .inode = 0 };
	f->noted = f->at;
	f->begun = f->at.inode != 0;
	if (pn_str_eq(log, PN_STR("journal")))
		f->journal = journal_new(f->at.time);
	return f;
}

static void
close_log(struct follow *f)
{
	if (f->fd >= 0 && f->journal == NULL)
		(void)close(f->fd);
	f->fd = -1;
	f->have = 0;
	f->skipping = false;
}

void
follow_free(struct follow *f)
{
	struct pn_error err;

	if (f == NULL)
		return;
	(void)(follow_note(f, &err) == PN_OK);
	close_log(f);
	journal_free(f->journal);
	free(f->log);
	free(f->note);
	free(f);
}

int
follow_fd(const struct follow *f)
{
	return f->journal == NULL ? -1 : f->fd;
}

/* -- opening ---------------------------------------------------------------------------- */

static enum pn_status
fail_errno(struct pn_error *err, const char *what, const char *path)
{
	char text[128];

	return pn_fail(err, PN_TEMPFAIL, "%s %s: %s", what, path, strerror_r(errno, text, sizeof(text)));
}

static void
go_to(struct follow *f, int fd, uint64_t offset)
{
	struct stat st;

	f->fd = fd;
	f->have = 0;
	f->skipping = false;
	if (fstat(fd, &st) != 0)
		st = (struct stat) { .st_ino = 0 };
	f->at = (struct place) { .device = st.st_dev, .inode = st.st_ino, .offset = offset };
	f->begun = true;
	(void)lseek(fd, (off_t)offset, SEEK_SET);
}

/* A file that holds what comes after the place where we stopped, if there is one. */
static bool
open_again(struct follow *f)
{
	struct place at = f->at;
	int fd = place_find(&at, f->log);

	if (fd < 0)
		return false;
	go_to(f, fd, at.offset);
	return true;
}

static enum pn_status
open_file(struct follow *f, struct pn_error *err)
{
	struct stat st;
	int fd;

	if (f->at.inode != 0 && open_again(f))
		return PN_OK;
	fd = open(f->log, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		/* once it comes it is new */
		f->begun = f->begun || errno == ENOENT;
		return fail_errno(err, "cannot read", f->log);
	}
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		(void)close(fd);
		return pn_fail(err, PN_TEMPFAIL, "%s is no file", f->log);
	}
	go_to(f, fd, f->begun ? 0 : (uint64_t)st.st_size);
	return PN_OK;
}

static enum pn_status
open_log(struct follow *f, struct pn_error *err)
{
	if (f->fd >= 0)
		return PN_OK;
	if (f->journal == NULL)
		return open_file(f, err);
	f->begun = true;
	return journal_open(f->journal, &f->fd, err);
}

/* -- reading ---------------------------------------------------------------------------- */

static void
drop_front(struct follow *f, size_t n)
{
	f->have -= n;
	f->at.offset += n;
	memmove(f->buffer, f->buffer + n, f->have);
}

/* What is complete in the buffer. */
static enum pn_status
hand_over(struct follow *f, follow_take *take, void *ctx, struct pn_error *err)
{
	struct pn_str all = pn_str_n(f->buffer, f->have), rest = all;
	enum pn_status st = PN_OK;
	size_t end;

	while (st == PN_OK && (end = pn_str_find(rest, '\n')) != PN_STR_NONE) {
		if (!f->skipping)
			st = take(ctx, pn_str_head(rest, end), err);
		if (st != PN_OK)
			break;
		f->skipping = false;
		rest = pn_str_from(rest, end + 1);
	}
	drop_front(f, all.n - rest.n);
	if (st == PN_OK && f->have == sizeof(f->buffer)) {
		drop_front(f, f->have);
		f->skipping = true;
	}
	return st;
}

/* Somebody has emptied the file. */
static bool
is_truncated(const struct follow *f)
{
	struct stat st;

	return fstat(f->fd, &st) == 0 && (uint64_t)st.st_size < f->at.offset + f->have;
}

/* Another file has the name now, and something stands in it: then nobody writes to
 * the old one any more. */
static bool
is_replaced(const struct follow *f)
{
	struct stat st;

	return stat(f->log, &st) == 0 && st.st_size > 0
	    && (st.st_ino != f->at.inode || st.st_dev != f->at.device);
}

static enum pn_status
at_end_of_file(struct follow *f, bool *more, struct pn_error *err)
{
	int fd;

	if (is_truncated(f)) {
		go_to(f, f->fd, 0);
		*more = true;
	} else if (is_replaced(f)) {
		fd = open(f->log, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (fd < 0)
			return fail_errno(err, "cannot read", f->log);
		close_log(f);
		go_to(f, fd, 0);
		*more = true;
	}
	return PN_OK;
}

static enum pn_status
at_end_of_journal(struct follow *f, struct pn_error *err)
{
	close_log(f);
	return journal_ended(f->journal, err);
}

enum pn_status
follow_read(struct follow *f, follow_take *take, void *ctx, bool *more, struct pn_error *err)
{
	enum pn_status st = open_log(f, err);
	ssize_t n = 0;

	*more = false;
	if (st == PN_OK)
		st = hand_over(f, take, ctx, err); /* what was not taken the last time */
	if (st != PN_OK)
		return st;
	n = read(f->fd, f->buffer + f->have, sizeof(f->buffer) - f->have);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? PN_OK : fail_errno(err, "cannot read", f->log);
	if (n == 0)
		return f->journal == NULL ? at_end_of_file(f, more, err) : at_end_of_journal(f, err);
	f->have += (size_t)n;
	*more = true;
	return hand_over(f, take, ctx, err);
}

/* -- the place -------------------------------------------------------------------------- */

enum pn_status
follow_note(struct follow *f, struct pn_error *err)
{
	if (!f->begun || f->fd < 0)
		return PN_OK;
	if (f->at.inode == f->noted.inode && f->at.offset == f->noted.offset)
		return PN_OK;
	if (f->journal == NULL)
		place_mark(&f->at, f->fd);
	else
		f->at.time = time(NULL) - JOURNAL_OVERLAP;
	if (!place_save(f->note, &f->at))
		return fail_errno(err, "cannot write", f->note);
	f->noted = f->at;
	return PN_OK;
}
