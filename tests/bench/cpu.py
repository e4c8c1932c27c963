"""Processor time of processes, in microseconds."""
import os


def cpu_us(pid, with_dead_children=False):
	with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as f:
		words = f.read().rpartition(")")[2].split()
	return sum(int(w) for w in words[11:15 if with_dead_children else 13]) * 1000000 / os.sysconf("SC_CLK_TCK")


def run_time_us(pid):
	"""Of a process with one thread; exact where cpu_us() counts ticks."""
	try:
		with open("/proc/%d/schedstat" % pid, encoding="ascii") as f:
			return int(f.read().split()[0]) / 1000
	except (FileNotFoundError, ProcessLookupError):
		return 0
