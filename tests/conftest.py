"""For all tests: children that can be interrupted.

A suite that is started in the background inherits an ignored SIGINT, and so would every child of a test. A handler
of our own becomes the default action in a child.
"""

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
