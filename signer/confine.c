#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <sys/ptrace.h>
#include <sys/prctl.h>

#include "postern/str.h"

static const int refused[] = {
	/* the network, and connections that others would hand over */
	SCMP_SYS(socket), SCMP_SYS(socketpair), SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(listen),
	SCMP_SYS(recvmsg), SCMP_SYS(recvmmsg), SCMP_SYS(pidfd_getfd),
	/* other programs, other processes */
	SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
	SCMP_SYS(kcmp), SCMP_SYS(setns), SCMP_SYS(unshare), SCMP_SYS(perf_event_open), SCMP_SYS(bpf),
	/* files; to open one for writing: below */
	SCMP_SYS(creat), SCMP_SYS(openat2), SCMP_SYS(open_by_handle_at), SCMP_SYS(truncate), SCMP_SYS(rename),
	SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(link), SCMP_SYS(linkat), SCMP_SYS(symlink),
	SCMP_SYS(symlinkat), SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(mknod), SCMP_SYS(mknodat),
	SCMP_SYS(chmod), SCMP_SYS(fchmod), SCMP_SYS(fchmodat), SCMP_SYS(chown), SCMP_SYS(fchown),
	SCMP_SYS(lchown), SCMP_SYS(fchownat), SCMP_SYS(setxattr), SCMP_SYS(lsetxattr), SCMP_SYS(fsetxattr),
	SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(chroot), SCMP_SYS(pivot_root),
	/* ways that go round a filter of system calls */
	SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register), SCMP_SYS(userfaultfd),
};

/* Of the flags of open(2). */
static const struct {
	unsigned mask, value;
} writing[] = {
	{ O_ACCMODE, O_WRONLY }, { O_ACCMODE, O_RDWR }, { O_ACCMODE, O_ACCMODE }, { O_CREAT, O_CREAT },
	{ O_TRUNC, O_TRUNC },
};

static int
refuse_writing(scmp_filter_ctx filter)
{
	int st = 0;

	for (size_t i = 0; st == 0 && i < PN_COUNT(writing); i++) {
		st = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(open), 1,
		    SCMP_A1(SCMP_CMP_MASKED_EQ, writing[i].mask, writing[i].value));
		if (st == 0)
			st = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(openat), 1,
			    SCMP_A2(SCMP_CMP_MASKED_EQ, writing[i].mask, writing[i].value));
	}
	return st;
}

static int
refuse_ptrace(scmp_filter_ctx filter)
{
#ifdef PN_SAN
	/* the search for leaks at the end looks at the process's own threads with it */
	return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ptrace), 1,
	    SCMP_A0(SCMP_CMP_EQ, PTRACE_TRACEME));
#else
	return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ptrace), 0);
#endif
}

static int
install(scmp_filter_ctx filter)
{
	int st = 0;

	/* For a sanitizer's thread, the only other one.  A supervisor's filter may refuse seccomp(2) itself, as
	 * systemd's @system-service does: then it is prctl(2) that loads ours, for what this thread starts. */
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	for (size_t i = 0; st == 0 && i < PN_COUNT(refused); i++)
		st = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
	if (st == 0)
		st = refuse_ptrace(filter);
	if (st == 0)
		st = refuse_writing(filter);
	return st == 0 ? seccomp_load(filter) : st;
}

enum pn_status
confine(struct pn_error *err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int st;

	if (filter == NULL)
		pn_out_of_memory();
	st = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? install(filter) : -errno;
	seccomp_release(filter);
	return st == 0 ? PN_OK
	    : pn_fail(err, PN_TEMPFAIL, "the kernel takes no filter of system calls: %s", strerrordesc_np(-st));
}
