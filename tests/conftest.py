"""For all tests: children that can be interrupted.

A suite in the background of a shell inherits an ignored SIGINT, under nohup an ignored SIGHUP, and so would every
child of a test. A handler of our own becomes the default action in a child. Nothing else is touched: the worker, which
runs the mapped tests in its own process, is to die of a SIGINT.
"""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)
