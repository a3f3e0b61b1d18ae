"""A Keystone from scratch in the current folder: serve.py ADDRESS PASSWORD.

Loading it takes longer than all that its commands do, so they are forked from
one process, as are two servers. It prints their ports: that of keystone.conf,
and that of short.conf over it.
"""

import ctypes
import os
import signal
import sqlite3
import sys
import traceback
from wsgiref import simple_server

from keystone.cmd import cli
from keystone.server import wsgi

PR_SET_PDEATHSIG = 1


def fork(work, *args):
    pid = os.fork()
    if pid:
        return pid
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        work(*args)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def manage(*args):
    pid = fork(cli.main, ["keystone-manage", "--config-file", "keystone.conf", *args])
    if os.waitpid(pid, 0)[1]:
        sys.exit("keystone-manage %s failed" % args[0])


def serve(server, *configs):
    os.environ["OS_KEYSTONE_CONFIG_FILES"] = ";".join(configs)
    server.set_app(wsgi.initialize_public_application())
    server.serve_forever()


ports = os.fdopen(os.dup(sys.stdout.fileno()), "w")
os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # of Keystone's log
address, password = sys.argv[1:]
del sys.argv[1:]  # which Keystone reads, too
manage("db_sync")
# With SQLite's other journal, what Keystone still reads locks out what it writes.
sqlite3.connect("keystone.db").execute("pragma journal_mode=wal").connection.close()
manage("fernet_setup")
manage("bootstrap", "--bootstrap-password", password, "--bootstrap-region-id", "RegionOne",
       "--bootstrap-public-url", address, "--bootstrap-internal-url", address)
lasting, short = (simple_server.make_server("127.0.0.1", 0, None) for _ in range(2))
fork(serve, lasting, "keystone.conf")
fork(serve, short, "keystone.conf", "short.conf")
print(lasting.server_port, short.server_port, file=ports, flush=True)
os.wait()
sys.exit("a server ended")
