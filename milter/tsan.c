/* What ThreadSanitizer finds in libmilter itself while it stops (Debian's
 * 8.17.1.9): mutexes destroyed under threads that still look at them, a signal
 * thread nobody joins.  Each line names what never calls back into this program
 * or what it never calls, so that nothing of ours is hidden. */
typedef const char *suppressions(void);

#ifdef __SANITIZE_THREAD__
suppressions __tsan_default_suppressions;

const char *
__tsan_default_suppressions(void)
{
	return "thread:mi_control_startup\n"
	    "mutex:mi_stop_milters\n"
	    "race:mi_closener\n"
	    /* the pool, whose functions have no names; nothing here destroys a mutex or waits so */
	    "mutex:pthread_mutex_destroy\n"
	    "race_top:pthread_mutex_destroy\n"
	    /* a connection that comes then: the listener wakes the pool by a condition that is destroyed */
	    "race:mi_start_session\n"
	    /* they lock and unlock what was destroyed; hides the same mistake in a callback, but not in our own threads */
	    "mutex:libmilter.so\n"
	    "race_top:pthread_cond_timedwait\n";
}
#endif
