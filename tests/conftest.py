"""What all tests need: Ctrl-C as in a terminal, also where the tests run in the background of a shell, which ignores it."""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # programs that the tests start would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
