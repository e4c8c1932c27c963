"""The test lab: a real private Postfix and its peers, for the tests in tests/postfix, tests/wire and the demo.

    from lab import Postfix, Sink, Client

Everything is a context manager and is also closed at exit, on exceptions and on SIGTERM, SIGINT, SIGHUP.
README.md has one example of each.
"""

from base import LabError, TempDir, close_all, crlf, free_port, note, wait_until
from client import Client, Reply, Result, send_mail
from contentfilter import ContentFilter
from mapserver import MapServer
from milter import AddHeader, Filter, Greylist, Milter, Redirect
from milterclient import MailResult, MilterClient, Verdict, split_message
from policyclient import PolicyClient, SocketmapClient
from postfix import REINJECT, SUBMISSION, Postfix, parse_main_cf
from programs import MilterProcess, PolicyProcess, Program, run
from relay import Authority, Relay
from runner import cases, timeout
from sasl import SaslServer
from sink import DROP, HANG, Sink

__all__ = [
	"AddHeader", "Authority", "Client", "ContentFilter", "DROP", "Filter", "Greylist", "HANG", "LabError",
	"MailResult", "MapServer", "Milter", "MilterClient", "MilterProcess", "PolicyClient", "PolicyProcess", "Postfix",
	"Program", "REINJECT", "Redirect", "Relay", "Reply", "Result", "SUBMISSION", "SaslServer", "Sink", "SocketmapClient", "TempDir", "Verdict", "cases",
	"close_all", "crlf", "free_port", "note", "parse_main_cf", "run", "send_mail", "split_message", "timeout",
	"wait_until",
]
